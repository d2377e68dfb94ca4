"""Results that overtake each other: which, and what is left when nothing follows."""

from __future__ import annotations

import asyncio

import msgspec

from answers_in_forms import tool_call
from fault_rig import Bench, whole
from proofrig.faults.reordered_results import ReorderedResults
from proofrig.wire.outbound import Outbound

WAITS = 30.0


class Held(Bench):
    """Waits of `WAITS` seconds never end."""

    async def _sleep(self, seconds: float) -> None:
        if seconds == WAITS:
            await asyncio.Event().wait()
        await super()._sleep(seconds)


def call(action: str, trial: str = "case:1") -> Outbound:
    return msgspec.structs.replace(tool_call(), action=action, trial=trial)


async def test_a_result_is_overtaken_by_the_one_after_it() -> None:
    bench, order = Held([ReorderedResults(within_s=WAITS)]), list[str]()

    async def ask(action: str) -> None:
        await bench.through(lambda: whole(b"{}"), call(action))
        order.append(action)

    first = asyncio.create_task(ask("a1"))
    await asyncio.sleep(0)
    await ask("a2")
    await first
    assert order == ["a2", "a1"]
    assert [fact["overtaken_by"] for fact in bench.facts] == ["a2"]


async def test_one_that_nothing_follows_is_late_and_waits_for_nobody_after() -> None:
    bench = Bench([ReorderedResults(within_s=2)])
    for action in ("a1", "a2"):
        seen = await bench.through(lambda: whole(b"{}"), call(action))
        assert seen.slept == [2.0]
    assert [("overtaken_by" in fact) for fact in bench.facts] == [False, False]


async def test_only_results_of_the_same_trial_overtake_each_other() -> None:
    bench = Bench([ReorderedResults(within_s=2)])
    await asyncio.gather(
        *(bench.through(lambda: whole(b"{}"), call("a", trial)) for trial in ("c:1", "c:2"))
    )
    assert [("overtaken_by" in fact) for fact in bench.facts] == [False, False]


async def test_a_call_that_is_given_up_while_it_waits_leaves_nothing_behind() -> None:
    bench = Held([ReorderedResults(within_s=WAITS)])
    waiting = asyncio.create_task(bench.through(lambda: whole(b"{}"), call("a1")))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    later = asyncio.create_task(bench.through(lambda: whole(b"{}"), call("a2")))
    await asyncio.sleep(0)
    assert not later.done()
    await bench.through(lambda: whole(b"{}"), call("a3"))
    await later
    assert [fact["overtaken_by"] for fact in bench.facts] == ["a3"]


async def test_a_result_is_overtaken_by_one_that_was_not_drawn() -> None:
    fault = ReorderedResults.model_validate({"within_s": WAITS, "on": {"nth": 1}})
    bench = Held([fault])
    first = asyncio.create_task(bench.through(lambda: whole(b"{}"), call("a1")))
    await asyncio.sleep(0)
    await bench.through(lambda: whole(b"{}"), call("a2"))
    await first
    assert [fact["overtaken_by"] for fact in bench.facts] == ["a2"]


async def test_a_result_that_waits_when_its_trial_ends_breaks() -> None:
    bench = Held([ReorderedResults(within_s=WAITS)])
    waiting = asyncio.create_task(bench.through(lambda: whole(b"{}"), call("a1")))
    for _ in range(5):
        await asyncio.sleep(0)
    bench.injector.end("case:1")
    assert ((await waiting).cut, bench.facts) == ("reset", [])
    assert len(asyncio.all_tasks()) == 1
