"""Answers of thousands of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from answers_in_forms import APIS, PLAIN, mcp_result, tool_call, tool_result, value_of
from fault_rig import Bench, fault_rig, says, through, whole
from llm_rig import CALL
from proofrig.faults.huge_result import HugeResult

SIZE = 32_000


def size(value: Any) -> int:
    return len(msgspec.json.encode(value))


@pytest.mark.parametrize(
    "value",
    ["short", "", {"a": 1}, {}, [{"id": 1, "name": "x"}], [], 7, None],
    ids=str,
)
async def test_a_result_grows_to_about_its_size(value: Any) -> None:
    seen = await through([HugeResult()], tool_result(value), tool_call())
    got = value_of("tool", seen.body)
    assert SIZE <= size(got) <= SIZE * 1.3
    assert type(got) is (str if value in (7, None) else type(value))
    assert [one["tokens"] for one in seen.facts] == [8_000]


async def test_what_was_there_is_there() -> None:
    fault = HugeResult(tokens=100)

    async def grown(value: Any) -> Any:
        seen = await through([fault], tool_result(value), tool_call())
        return value_of("tool", seen.body)

    assert (await grown("short")).startswith("short\n\n")
    assert (await grown({"a": 1}))["a"] == 1
    rows = await grown([{"id": 1}, {"id": 2}])
    assert rows[:4] == [{"id": 1}, {"id": 2}] * 2


async def test_instead_of_what_was_there() -> None:
    fault = HugeResult(tokens=10, instead=True)
    seen = await through([fault], tool_result({"a": 1}), tool_call())
    assert len(value_of("tool", seen.body)) == 40


async def test_the_text_is_drawn_by_the_seed() -> None:
    async def text(seed: int) -> str:
        bench = Bench([HugeResult(tokens=50, instead=True)], seed=seed)
        return str(value_of("tool", (await bench.through(tool_result(1), tool_call())).body))

    assert await text(1) == await text(1) != await text(2)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_a_model_says_more(tmp_path: Path, api: str, stream: bool) -> None:
    handler = says("hello", tool_calls=(CALL,), finish="tool_calls")
    async with fault_rig(tmp_path, [HugeResult(tokens=500)], handler=handler) as rig:
        turn = (await rig.ask(api, stream=stream)).turn(api)
        assert turn.text.startswith("hello\n\n") and len(turn.text) == 7 + 2000
        assert (turn.tool_calls, turn.finish, turn.complete) == ((CALL,), "tool_calls", True)
        (action,) = rig.actions()
        assert (action.outcome, action.attr("struck")) == ("ok", ["huge_result"])


async def test_mcp_and_plain() -> None:
    fault = HugeResult(tokens=100)
    seen = await through([fault], mcp_result("x", identity="i"), tool_call("mcp"))
    assert msgspec.json.decode(seen.body)["id"] == "i"
    assert len(value_of("mcp", seen.body)) == 403
    seen = await through([fault], whole(b"page", "text/plain"), PLAIN)
    assert (len(seen.body), seen.body[:6]) == (406, b"page\n\n")
    seen = await through([fault], whole(b"\x89PNG", "image/png"), PLAIN)
    assert (seen.body, seen.facts) == (b"\x89PNG", [])
