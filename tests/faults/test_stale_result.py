"""Answers that were given before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from answers_in_forms import APIS, PLAIN, events, mcp_result, tool_call, tool_result, value_of
from fault_rig import Bench, Seen, fault_rig, scripted, whole
from llm_rig import turn
from proofrig.faults.stale_result import StaleResult
from proofrig.wire.answer import Made
from proofrig.wire.outbound import Outbound


class Counting:
    """Faults before a tool that counts its calls."""

    def __init__(self, fault: StaleResult, form: str = "tool", sse: bool = False) -> None:
        self.bench = Bench([fault])
        self.form, self.sse, self.made = form, sse, 0

    def _answer(self) -> Made:
        self.made += 1
        if self.form == "mcp":
            return mcp_result({"n": self.made}, identity=self.made, sse=self.sse)
        return tool_result(self.made) if self.form == "tool" else whole(b"%d" % self.made)

    async def call(self, call: Outbound) -> Seen:
        return await self.bench.through(self._answer, call)


async def values(tool: Counting, *calls: Outbound) -> list[Any]:
    return [value_of("tool", (await tool.call(call)).body) for call in calls]


A, B = tool_call(q="a"), tool_call(q="b")
OTHER = tool_call(name="refund", q="a")


async def test_an_equal_call_gets_its_first_answer_again() -> None:
    tool = Counting(StaleResult(match="equal"))
    assert await values(tool, A, B, A, B, A, OTHER) == [1, 2, 1, 2, 1, 3]
    assert tool.made == 3
    told = [(one["of"], one["equal"], one["executed"]) for one in tool.bench.facts]
    assert told == [(1, True, False), (2, True, False), (1, True, False)]


async def test_another_call_of_the_same_tool_gets_it_too() -> None:
    tool = Counting(StaleResult())
    assert await values(tool, A, B, OTHER, B) == [1, 1, 2, 1]
    assert [one["equal"] for one in tool.bench.facts] == [False, False]


async def test_the_first_call_has_none() -> None:
    tool = Counting(StaleResult())
    assert await values(tool, A, OTHER) == [1, 2] and tool.bench.facts == []


async def test_calls_are_remembered_before_the_nth() -> None:
    tool = Counting(StaleResult.model_validate({"on": {"nth": 3}}))
    assert await values(tool, A, A, A, A) == [1, 2, 1, 3]
    assert [one["nth"] for one in tool.bench.facts] == [3]


async def test_a_written_fault_keeps_what_it_remembers() -> None:
    on = {"nth": {"from": 2}, "tool": ["search", "x"]}
    written = StaleResult.model_validate({"on": on}).model_dump(mode="json", by_alias=True)
    assert written["on"] == StaleResult.model_validate(written).on.model_dump(
        mode="json", by_alias=True
    )
    tool = Counting(StaleResult.model_validate(written))
    assert await values(tool, A, A, A) == [1, 1, 1]


async def test_the_call_can_be_carried_out_all_the_same() -> None:
    tool = Counting(StaleResult(executed=True))
    assert await values(tool, A, A, A) == [1, 1, 1]
    assert tool.made == 3 and [one["executed"] for one in tool.bench.facts] == [True, True]


async def test_trials_remember_apart() -> None:
    tool = Counting(StaleResult())
    elsewhere = msgspec.structs.replace(A, trial="case:2")
    assert await values(tool, A, elsewhere, elsewhere) == [1, 2, 2]


async def test_failures_are_not_remembered() -> None:
    bench = Bench([StaleResult()])
    assert (await bench.through(whole(b"no", status=500), A)).status == 500
    assert (await bench.through(tool_result(1), A)).body == b'{"result":1}'
    assert (await bench.through(tool_result(2), A)).body == b'{"result":1}'


@pytest.mark.parametrize("sse", [False, True])
@pytest.mark.parametrize("executed", [False, True])
async def test_an_mcp_answer_comes_without_the_old_id(executed: bool, sse: bool) -> None:
    tool = Counting(StaleResult(executed=executed), "mcp", sse)
    await tool.call(tool_call("mcp"))
    seen = await tool.call(tool_call("mcp"))
    message = events(seen.body)[-1] if sse else msgspec.json.decode(seen.body)
    assert (message["id"], message["result"]["content"][0]["text"]) == (None, '{"n":1}')
    assert seen.headers["content-type"] == ("text/event-stream" if sse else "application/json")


async def test_places_are_told_apart_at_the_egress_gateway() -> None:
    tool = Counting(StaleResult(), "plain")
    paths = [msgspec.structs.replace(PLAIN, path=path) for path in ("/a", "/b", "/a", "/b")]
    assert [(await tool.call(call)).body for call in paths] == [b"1", b"2", b"1", b"2"]


@pytest.mark.parametrize("api", APIS)
async def test_a_model_repeats_itself_but_not_across_streams(tmp_path: Path, api: str) -> None:
    said = iter(["first", "second", "third"])
    handler = scripted(lambda asked: turn(asked, text=next(said)))
    async with fault_rig(tmp_path, [StaleResult(match="equal")], handler=handler) as rig:
        texts = []
        for stream in (False, True, False, True):
            got = await rig.ask(api, stream=stream)
            texts.append(got.turn(api).text)
        assert texts == ["first", "second", "first", "second"]
        assert rig.calls == 2 and [one["nth"] for one in rig.facts()] == [3, 4]
        assert [one.outcome for one in rig.actions()] == ["ok"] * 4


async def test_calls_are_remembered_that_chance_or_time_leave_out() -> None:
    tool = Counting(StaleResult.model_validate({"when": {"after_s": 5}, "match": "equal"}))
    assert await values(tool, A, A) == [1, 2]
    tool.bench.now_ns = 5_000_000_000
    assert await values(tool, B, A) == [3, 1]
    assert [one["of"] for one in tool.bench.facts] == [1]


async def test_of_a_trial_so_many_bytes_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proofrig.faults.stale_result._MOST", 30)
    tool = Counting(StaleResult(match="equal"))
    assert await values(tool, A, B, OTHER, A, B, OTHER) == [1, 2, 3, 1, 2, 4]
