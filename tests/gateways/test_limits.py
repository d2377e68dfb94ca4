"""Limits that gateways hold: tools, retries and context, over every way that calls come in."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters

from gateways.test_mcp_stdio import tapped
from llm_rig import BINDING, CHAT, answer, post, rig, says_hello, turn
from proofrig.authority.decision import Decision
from proofrig.gateways.gateway import Binding
from proofrig.gateways.limits import CallLimits, Limiter
from proofrig.gateways.retries import FIRST, Attempt
from proofrig.gateways.tool_settings import PYTHON_SERVER
from proofrig.history.action import Action
from proofrig.wire import CODECS
from proofrig.wire.turn import Usage
from tool_rig import ToolRig, tool_rig

UPSTREAM = Path(__file__).parents[1] / "mcp_upstream.py"
TOOLS = """
__all__ = ["search", "read_file", "refund", "flaky"]
CALLS = []

def search(text: str = "") -> str:
    return "found"

def read_file(path: str = "") -> str:
    return "text"

def refund(order: int = 1) -> str:
    return "refunded"

def flaky(fails: int) -> str:
    CALLS.append(fails)
    if CALLS.count(fails) <= fails:
        raise ValueError("no luck")
    return "at last"
"""
AGAIN = Attempt(2, "a1", 5)
STRANGER = Binding("", "", "unattributed", "unattributed")


def code(decision: Decision | None) -> str:
    return "" if decision is None else decision.code


# ---- by itself


@pytest.mark.parametrize(
    ("lists", "allowed"),
    [
        ((), {"search", "read_file", "refund"}),
        ((("search", "read_*"),), {"search", "read_file"}),
        ((("search", "read_*"), ("read_file", "refund")), {"read_file"}),
        (((),), set()),
        ((("Search",),), set()),
    ],
)
def test_a_tool_must_fit_every_list(lists: tuple[tuple[str, ...], ...], allowed: set[str]) -> None:
    limiter = Limiter(CallLimits(allowed_tools=lists))
    names = ("search", "read_file", "refund")
    assert {name for name in names if limiter.allows(name)} == allowed
    denied = {name for name in names if code(limiter.tool("x", BINDING, name)) == "limit_tools"}
    assert denied == set(names) - allowed


def test_retries_are_one_budget_of_a_trial() -> None:
    limiter = Limiter(CallLimits(retries=2))
    other = msgspec.structs.replace(BINDING, token="other")
    assert limiter.retry("x", BINDING, FIRST) is None and limiter.marked(BINDING, FIRST) == {}
    for number in (1, 2):
        assert limiter.retry("x", BINDING, AGAIN) is None
        assert limiter.marked(BINDING, AGAIN) == {"retry": number}
        limiter.retried(BINDING, AGAIN)
        limiter.retried(BINDING, FIRST)  # which is none
    assert code(limiter.retry("x", BINDING, AGAIN)) == "limit_retries"
    assert limiter.retry("x", BINDING, FIRST) is None
    assert limiter.retry("x", other, AGAIN) is None
    limiter.end(BINDING.token)
    assert limiter.retry("x", BINDING, AGAIN) is None


def test_input_is_counted_as_the_provider_counted_it_last() -> None:
    limiter = Limiter(CallLimits(context_tokens=1000))
    assert limiter.context("x", BINDING, 0, 3000) is None  # three bytes a token
    assert code(limiter.context("x", BINDING, 0, 3003)) == "limit_context"
    assert code(limiter.context("x", BINDING, 1, 3000)) == "limit_context"
    limiter.counted(BINDING, 250, 1000)  # four
    assert limiter.context("x", BINDING, 0, 4000) is None
    assert code(limiter.context("x", BINDING, 100, 4000)) == "limit_context"
    limiter.counted(BINDING, 0, 1000)  # says nothing
    assert limiter.context("x", BINDING, 0, 4000) is None


def test_nothing_is_limited_of_nobody_or_without_limits() -> None:
    strict = Limiter(CallLimits(retries=0, context_tokens=1))
    assert strict.retry("x", STRANGER, AGAIN) is None
    assert strict.context("x", STRANGER, 0, 10**6) is None
    free = Limiter(CallLimits())
    assert free.tool("x", BINDING, "any") is free.retry("x", BINDING, AGAIN) is None
    assert free.context("x", BINDING, 0, 10**9) is None


# ---- calls of tools


def tools(tmp_path: Path, limits: CallLimits, **options: Any) -> Any:
    folder = tmp_path / "suite"
    folder.mkdir(exist_ok=True)
    (folder / "limited.py").write_text(TOOLS)
    settings = [{"type": "python", "target": "limited"}]
    return _limited(tool_rig(tmp_path, settings, folder, **options), limits)


class _limited:
    """A rig whose gateways hold these limits."""

    def __init__(self, opening: Any, limits: CallLimits) -> None:
        self._opening, self._limits = opening, limits

    async def __aenter__(self) -> Any:
        opened = await self._opening.__aenter__()
        opened.context.admission.limiter = Limiter(self._limits)
        return opened

    async def __aexit__(self, *error: Any) -> Any:
        return await self._opening.__aexit__(*error)


async def by_post(r: ToolRig, name: str, **arguments: Any) -> tuple[bool, str]:
    async with r.client.post(f"{r.base}/tools/{name}", json=arguments) as said:
        return said.status == 200, await said.text()


async def by_mcp(r: ToolRig, name: str, **arguments: Any) -> tuple[bool, str]:
    async with Client(f"{r.base}/mcp/{PYTHON_SERVER}", cache=None) as client:
        said = await client.call_tool(name, arguments)
        return not said.is_error, said.content[0].text


WAYS = pytest.mark.parametrize("way", [by_post, by_mcp], ids=["post", "mcp"])
Way = Callable[..., Awaitable[tuple[bool, str]]]


def denials(actions: list[Action]) -> list[str]:
    return [str(action.attr("code", "")) for action in actions]


@WAYS
async def test_a_tool_that_is_not_allowed_is_denied(tmp_path: Path, way: Way) -> None:
    async with tools(tmp_path, CallLimits((("search", "read_*"),))) as r:
        assert (await way(r, "search"))[0] and (await way(r, "read_file"))[0]
        good, said = await way(r, "refund", order=7)
        assert not good
        assert "limit_tools" in said and "search, read_*" in said
        assert denials(r.actions()) == ["", "", "limit_tools"]
        assert r.actions()[2].start is None  # it was not carried out


async def test_a_stdio_server_is_held_to_them_too(tmp_path: Path) -> None:
    async with tool_rig(tmp_path) as r:
        r.context.admission.limiter = Limiter(CallLimits((("add",),)))
        argv = tapped(r, tmp_path, sys.executable, str(UPSTREAM), "stdio")
        parameters = StdioServerParameters(command=argv[0], args=argv[1:])
        async with Client(parameters, cache=None) as client:
            assert not (await client.call_tool("add", {"a": 1, "b": 2})).is_error
            denied = await client.call_tool("fail", {})
        assert denied.is_error and "limit_tools" in denied.content[0].text
        assert denials(r.actions()) == ["", "limit_tools"]


@WAYS
async def test_a_retry_beyond_the_budget_is_denied(tmp_path: Path, way: Way) -> None:
    async with tools(tmp_path, CallLimits(retries=2)) as r:
        assert [(await way(r, "flaky", fails=1))[0] for _ in range(2)] == [False, True]
        assert (await way(r, "flaky", fails=1))[0]  # it went well: again is no retry
        tried = [await way(r, "flaky", fails=9) for _ in range(3)]
        assert "limit_retries" in tried[2][1] and "limit_retries" not in tried[1][1]
        assert (await way(r, "search"))[0]  # what did not fail goes on
        actions = r.actions()
    assert [action.attr("retry") for action in actions] == [None, 1, None, None, 2, 3, None]
    assert actions[1].attr("retry_of") == actions[0].id
    assert denials(actions) == ["", "", "", "", "", "limit_retries", ""]


async def test_retries_are_told_where_nothing_is_limited(tmp_path: Path) -> None:
    async with tools(tmp_path, CallLimits()) as r:
        for _ in range(4):
            await by_post(r, "flaky", fails=9)
        assert [action.attr("retry") for action in r.actions()] == [None, 1, 2, 3]
        assert not any(action.denied for action in r.actions())


async def test_shadow_notes_what_a_limit_would_have_denied(tmp_path: Path) -> None:
    async with tools(tmp_path, CallLimits((("search",),)), shadow=True) as r:
        assert (await by_post(r, "refund"))[0]
        (action,) = r.actions()
    assert action.outcome == "ok" and action.attr("shadow")["code"] == "limit_tools"


# ---- calls of models


def told(said: bytes) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(said)["error"]["proofrig"]
    return found


def big(size: int) -> dict[str, Any]:
    return CHAT | {"messages": [{"role": "user", "content": "x" * size}]}


async def test_a_context_that_is_too_long_is_denied_before_it_is_sent(tmp_path: Path) -> None:
    async with _limited(rig(tmp_path, says_hello), CallLimits(context_tokens=1000)) as r:
        url = f"{r.trial_url()}/chat/completions"
        status, headers, said = await post(url, big(3000))
        assert (status, headers["x-should-retry"], told(said)["code"]) == (
            *(400, "false"),
            "limit_context",
        )
        assert "may have 1,000" in told(said)["fix"]
        assert r.bodies == [] and not any(r.reserved().values())
        assert (await post(url, CHAT))[0] == 200


async def test_what_the_provider_counted_is_believed(tmp_path: Path) -> None:
    async def counts(request: web.Request) -> web.StreamResponse:
        tokens = len(await request.read()) // 10
        return answer(CODECS["chat_completions"].encode_response(turn(usage=Usage(tokens, 5))))

    async with _limited(rig(tmp_path, counts), CallLimits(context_tokens=1000)) as r:
        url = f"{r.trial_url()}/chat/completions"
        statuses = [(await post(url, big(size)))[0] for size in (5000, 2000, 5000, 11_000)]
    assert statuses == [400, 200, 200, 400]


async def test_retries_of_models_and_tools_are_one_budget(tmp_path: Path) -> None:
    async def busy(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503, body=b'{"error":{"message":"busy"}}')

    async with _limited(rig(tmp_path, busy), CallLimits(retries=1)) as r:
        url = f"{r.trial_url()}/chat/completions"
        found = [await post(url, CHAT) for _ in range(3)]
        assert [status for status, _, _ in found] == [503, 503, 429]
        assert found[2][1]["x-should-retry"] == "false"
        assert told(found[2][2])["code"] == "limit_retries"
        assert len(r.bodies) == 2
        other = await post(url, big(10))
        assert other[0] == 503  # another request is no retry
        actions = r.actions()
    assert [action.attr("retry") for action in actions] == [None, 1, 2, None]
    assert [action.attr("attempt") for action in actions] == [1, 2, 3, 1]


async def test_a_model_is_not_told_of_tools_that_may_not_be_called(tmp_path: Path) -> None:
    offered = [{"type": "function", "function": {"name": name}} for name in ("search", "refund")]
    async with _limited(rig(tmp_path, says_hello), CallLimits((("search",),))) as r:
        url = f"{r.trial_url()}/chat/completions"
        assert (await post(url, CHAT | {"tools": offered}))[0] == 200
        (action,) = r.actions()
        sent = msgspec.json.decode(r.bodies[0])
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["search"]
    assert action.attr("amended") == ["tools"]


async def test_shadow_notes_a_context_that_would_have_been_denied(tmp_path: Path) -> None:
    limits = CallLimits(context_tokens=1)
    async with _limited(rig(tmp_path, says_hello, shadow=True), limits) as r:
        assert (await post(f"{r.trial_url()}/chat/completions", CHAT))[0] == 200
        (action,) = r.actions()
    assert action.attr("shadow")["code"] == "limit_context"


async def test_the_end_of_a_trial_frees_what_was_kept_of_it(tmp_path: Path) -> None:
    async with tools(tmp_path, CallLimits(retries=5)) as r:
        for _ in range(2):
            await by_post(r, "flaky", fails=9)
        assert r.context.admission.limiter._used and r.calls._retries._failed
        r.context.bindings.end(next(iter(r.context.bindings._live)))
        assert not r.context.admission.limiter._used and not r.calls._retries._failed
