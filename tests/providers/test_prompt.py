"""Prompts: what a model can read in a conversation; seeds, digests, token counts, replies."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.errors import UsageError
from proofrig.providers.prompt import (
    Prompt,
    Reply,
    conversation_digest,
    count_tokens,
    hash64,
    input_tokens,
    output_tokens,
    reply_of,
    turns_in,
)
from proofrig.wire.turn import Message, Tool, ToolCall, ToolResult, Turn

TALK = (
    Message("system", "Be kind."),
    Message("user", "Where is order 12?"),
    Message("assistant", "", (ToolCall("c1", "shop_lookup", '{"id":12}'),)),
    Message("tool", tool_results=(ToolResult("c1", '{"status":"lost"}'),)),
)


def with_ids(conversation: tuple[Message, ...], call_id: str) -> tuple[Message, ...]:
    call = ToolCall(call_id, "shop_lookup", '{"id":12}')
    result = ToolResult(call_id, '{"status":"lost"}')
    return (
        *conversation[:2],
        Message("assistant", "", (call,)),
        Message("tool", tool_results=(result,)),
    )


def test_a_prompt_reads_the_conversation() -> None:
    prompt = Prompt(TALK, (Tool("shop_lookup"),))
    assert (prompt.user, prompt.system, prompt.turn) == ("Where is order 12?", "Be kind.", 1)
    assert [(tool, content) for tool, _, content in prompt.answered] == [
        ("shop_lookup", '{"status":"lost"}')
    ]
    assert prompt.just_answered == {"shop_lookup"}
    assert Prompt((*TALK, Message("assistant", "Lost."))).just_answered == set()


def test_text_beside_tool_results_is_the_users() -> None:
    message = Message("tool", "And hurry.", tool_results=(ToolResult("c1", "{}"),))
    assert Prompt((*TALK, message)).user == "And hurry."


def test_tools_are_found_below_the_prefix_of_a_framework() -> None:
    prompt = Prompt(TALK, (Tool("mcp__shop__lookup"), Tool("lookup_all")))
    assert prompt.tool_name("lookup") == "mcp__shop__lookup"
    assert prompt.tool_name("lookup_all") == "lookup_all"
    assert prompt.tool_name("refund") == "refund"


def test_turns_are_runs_of_assistant_messages() -> None:
    split = (TALK[1], Message("assistant", "Let me see."), TALK[2], TALK[3])
    assert turns_in(split) == 1
    assert turns_in((*split, Message("assistant", "Lost."))) == 2


def test_draws_follow_from_seed_and_name() -> None:
    first, again, other = (Prompt(TALK, seed=seed) for seed in (1, 1, 2))
    assert first.chance("a", 1) == again.chance("a", 1) != first.chance("a", 2)
    assert first.chance("a", 1) != other.chance("a", 1)
    assert first.rng.random() == again.rng.random() != other.rng.random()
    mean = sum(Prompt((), seed=seed).chance("x") for seed in range(2000)) / 2000
    assert mean == pytest.approx(0.5, abs=0.03)


def test_a_digest_ignores_ids_and_nothing_else() -> None:
    digest = conversation_digest(TALK)
    assert conversation_digest(with_ids(TALK, "c9")) == digest
    assert conversation_digest(TALK[:3]) != digest
    assert conversation_digest((Message("user", "Be kind."), *TALK[1:])) != digest


def test_hashes_keep_their_parts_apart() -> None:
    assert hash64("ab", "c") != hash64("a", "bc")
    assert 0 <= hash64("x") < 2**64


def test_tokens_are_counted_from_text() -> None:
    assert [count_tokens(text) for text in ("", "a", "abcd", "abcde")] == [0, 1, 1, 2]
    short, long = (Message("user", "x" * size) for size in (40, 400))
    assert input_tokens([long]) - input_tokens([short]) == 90
    assert input_tokens([short], [Tool("t", "d" * 100)]) > input_tokens([short]) + 25
    assert output_tokens(Reply("x" * 40, (ToolCall("", "look", '{"a":1}'),))) == 10 + 4 + 1 + 2


@pytest.mark.parametrize(
    ("returned", "reply"),
    [
        ("Hello.", Reply("Hello.")),
        (Turn("messages", text="Hi.", finish="length"), Reply("Hi.", finish="length")),
        ({"text": "Hi.", "tool_calls": []}, Reply("Hi.")),
        (
            {"tool_calls": [{"name": "look", "arguments": {"a": 1}}]},
            Reply(calls=(ToolCall("", "look", '{"a":1}'),)),
        ),
        (
            {"tool_calls": [{"name": "look", "arguments": '{"a', "id": "c7"}]},
            Reply(calls=(ToolCall("c7", "look", '{"a'),)),
        ),
    ],
)
def test_what_functions_may_return(returned: Any, reply: Reply) -> None:
    assert reply_of(returned) == reply


@pytest.mark.parametrize(
    "returned",
    [
        None,
        7,
        {"say": "x"},
        {"text": 5},
        {"finish": "tired"},
        {"tool_calls": [{"arguments": {}}]},
        Reply(text=5),  # type: ignore[arg-type]
    ],
)
def test_what_functions_may_not_return(returned: Any) -> None:
    with pytest.raises(UsageError, match="expected"):
        reply_of(returned)
