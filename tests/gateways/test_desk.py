"""What the calls of one gateway share: the conversations that they go on from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proofrig.gateways.conversations import Conversations
from proofrig.gateways.desk import Desk, LlmSettings
from proofrig.gateways.retries import Retries
from proofrig.gateways.upstream import open_client
from proofrig.wire.turn import Message, Request, Tool, Turn, Usage
from tool_rig import make_context

ONE = Request("responses", "m", (Message("user", "one"),))
REPLY = Turn("responses", "r1", "m", "eins", usage=Usage(input=70, output=7))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_client() as client:
        context = make_context(tmp_path, client, lambda: 0)
        settings = LlmSettings(endpoints={}, unknown_conversation_tokens=900)
        yield Desk(context, settings, {}, {}, Conversations(), Retries(), hold_ns=1)
        context.journal.close()


@pytest.mark.parametrize(
    ("trial", "previous", "conversation", "carried"),
    [
        ("t", "", "", (0, 0)),
        ("t", "r1", "", (77, 0)),
        ("t", "r2", "", (0, 900)),
        ("u", "r1", "", (0, 900)),
        ("t", "", "conv_1", (0, 900)),
        ("t", "r1", "conv_1", (77, 900)),
    ],
)
async def test_what_a_conversation_adds_is_counted_or_assumed(
    desk: Desk, trial: str, previous: str, conversation: str, carried: tuple[int, int]
) -> None:
    desk.conversations.keep("t", ONE, REPLY, size=10)
    asked = Request("responses", "m", previous_id=previous, conversation=conversation)
    assert desk.carried(trial, asked) == carried


async def test_what_the_provider_alone_keeps_is_never_whole(desk: Desk) -> None:
    desk.conversations.keep("t", ONE, REPLY, size=10)
    two = Request("responses", "m", (Message("user", "two"),), previous_id="r1")
    whole = desk.whole("t", two)
    assert whole is not None
    assert [message.text for message in whole.messages] == ["one", "eins", "two"]
    unknown = Request("responses", "m", (Message("user", "two"),), conversation="conv_1")
    assert desk.whole("t", unknown) is None


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("search", "search"),
        ("mcp__web__search", "search"),
        ("web-search", "search"),
        ("mcp__web__deep_search", "deep_search"),
        ("deep_search", "deep_search"),
        ("research", ""),
        ("search_all", ""),
    ],
)
async def test_names_with_a_servers_prefix_mean_the_tool_that_is_served(
    tmp_path: Path, asked: str, served: str
) -> None:
    """Of a tool that is served as `search` no call is left, nor of `deep_search` where it is one;
    `research` is none of the rig's."""
    limits = {"calls:tool.search": 0, "calls:tool.deep_search": 0, "calls:tool.research": 1}
    policy = {"limits": {"acme": limits}}
    async with open_client() as client:
        context = make_context(tmp_path, client, lambda: 0, policy=policy)
        settings = LlmSettings(endpoints={})
        desk = Desk(context, settings, {}, {}, Conversations(), Retries(), hold_ns=1)
        request = Request("messages", "m", tools=(Tool(asked),))
        before = desk.closed_tools("acme/f/a/r", request)
        assert before == ([asked] if asked == served else [])  # nothing else is known yet
        context.tools |= {"search", "deep_search", "arch"}
        assert desk.closed_tools("acme/f/a/r", request) == ([asked] if served else [])
        context.journal.close()
