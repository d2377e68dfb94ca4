"""A result that is held back: the tool is called at once, and once."""

from __future__ import annotations

from answers_in_forms import tool_call
from fault_rig import Bench, whole
from proofrig.faults.late_result import LateResult


async def test_the_result_comes_late_and_whole() -> None:
    bench = Bench([LateResult(by_s=3)])
    seen = await bench.through(lambda: whole(b'{"result":1}'), tool_call())
    assert (seen.body, seen.calls, seen.slept) == (b'{"result":1}', 1, [3.0])
    (fact,) = bench.facts
    assert (fact["kind"], fact["at"], fact["lasts_ns"]) == ("late_result", "tool", 3_000_000_000)
