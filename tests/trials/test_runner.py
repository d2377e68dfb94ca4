"""The runner keeps to its concurrency, retries infra failures within a budget, and stops; what an
allowance lets begin is in test_allowance.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from proofrig.errors import InfraError
from proofrig.history.journal import Journal
from proofrig.suites import Planned
from proofrig.trials.allowance import Allowance, Limits, Overdrawn, Why
from proofrig.trials.runner import Runner, Settings
from proofrig.trials.trial import Outcome

INFRA = Outcome("", None, "infra", "connection refused")


def plan(count: int) -> list[Planned]:
    return [Planned(f"c:{n}", "c", n, "t", n) for n in range(1, count + 1)]


class Attempts:
    """Answers attempts from a function and remembers them."""

    def __init__(self, answer: Callable[[Planned, int], Outcome]) -> None:
        self.answer = answer
        self.made: list[tuple[str, int, bool]] = []
        self.running = self.most = 0

    async def __call__(self, planned: Planned, number: int, last: bool) -> Outcome:
        self.made.append((planned.trial, number, last))
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        return self.answer(planned, number)


def passed(planned: Planned, number: int) -> Outcome:
    return Outcome(planned.trial, True, "")


async def test_all_trials_run_in_order_and_no_more_than_allowed_at_once() -> None:
    attempts = Attempts(passed)
    runner = Runner(attempts, Settings(concurrency=3))
    await runner.run(plan(10))
    assert [trial for trial, _, _ in attempts.made] == [f"c:{n}" for n in range(1, 11)]
    assert attempts.most == 3
    assert (runner.progress.done, runner.progress.passed, runner.progress.total) == (10, 10, 10)


async def test_a_baseline_is_done_and_neither_passes_nor_fails() -> None:
    runner = Runner(Attempts(passed), Settings())
    await runner.run([Planned("c:null", "c", 0, "t", 0), *plan(1)])
    assert (runner.progress.done, runner.progress.passed, runner.progress.baselines) == (2, 1, 1)


async def test_infra_failures_are_tried_again_until_measured() -> None:
    attempts = Attempts(lambda p, number: INFRA if number < 3 else passed(p, number))
    runner = Runner(attempts, Settings(retries=2))
    await runner.run(plan(1))
    assert attempts.made == [("c:1", 1, False), ("c:1", 2, False), ("c:1", 3, True)]
    assert (runner.progress.passed, runner.progress.retried) == (1, 2)


async def test_retries_share_one_budget() -> None:
    attempts = Attempts(lambda p, number: INFRA)
    runner = Runner(attempts, Settings(concurrency=1, retries=2, retry_budget=3))
    await runner.run(plan(4))
    assert len(attempts.made) == 4 + 3
    assert (runner.progress.unmeasured, runner.progress.retried) == (4, 3)


async def test_other_failures_are_not_tried_again() -> None:
    attempts = Attempts(lambda p, number: Outcome(p.trial, False, "agent"))
    await Runner(attempts, Settings()).run(plan(2))
    assert len(attempts.made) == 2


async def test_attempts_go_on_counting_after_a_kill() -> None:
    attempts = Attempts(passed)
    await Runner(attempts, Settings(first_attempt={"c:1": 3})).run(plan(1))
    assert attempts.made == [("c:1", 3, False)]


async def test_stop_cancels_what_runs_and_starts_nothing_new() -> None:
    started: asyncio.Queue[str] = asyncio.Queue()

    async def hang(planned: Planned, number: int, last: bool) -> Outcome:
        started.put_nowait(planned.trial)
        await asyncio.sleep(3600)
        raise AssertionError

    runner = Runner(hang, Settings(concurrency=2))
    work = asyncio.create_task(runner.run(plan(5)))
    assert [await started.get(), await started.get()] == ["c:1", "c:2"]
    runner.stop()
    await work
    assert started.empty()
    assert runner.progress.done == 0


async def test_a_history_that_cannot_be_written_stops_the_run_and_says_why() -> None:
    async def full(planned: Planned, number: int, last: bool) -> Outcome:
        raise InfraError("no space left")

    runner = Runner(full, Settings(concurrency=2))
    await runner.run(plan(5))
    assert str(runner.failure) == "no space left"
    assert runner.stopped


async def test_an_outage_stops_the_run_instead_of_burning_the_plan() -> None:
    attempts = Attempts(lambda p, number: INFRA)
    runner = Runner(attempts, Settings(concurrency=1, retries=0, outage=5))
    await runner.run(plan(50))
    assert len(attempts.made) == 5
    assert "the last 5 trials failed for reasons around the agent" in str(runner.failure)
    assert "connection refused" in str(runner.failure)


async def test_infra_failures_now_and_then_are_no_outage() -> None:
    attempts = Attempts(lambda p, number: INFRA if p.repeat % 3 else passed(p, number))
    runner = Runner(attempts, Settings(concurrency=1, retries=0, outage=3))
    await runner.run(plan(30))
    assert runner.failure is None
    assert runner.progress.done == 30


class Spender:
    """Attempts that cost ten micro-dollars each, as the history of a run has it."""

    def __init__(self, run_dir: Path, **limits: int | None) -> None:
        self.allowance = Allowance(Limits(**limits), run_dir, lambda: 0)  # type: ignore[arg-type]
        self.journal = Journal(run_dir, "runner", lambda: 0)
        self.attempts = Attempts(passed)

    async def __call__(self, planned: Planned, number: int, last: bool) -> Outcome:
        trial, estimate = planned.trial, {"usd_micro": 10}
        write = self.journal.write
        write("trial", "begin", trial=trial, attrs={"role": "subject"})
        asked = {"decision": "allow", "estimate": estimate}
        write("reserve", "llm.x", trial=trial, id=trial, attrs=asked)
        outcome = await self.attempts(planned, number, last)
        write("commit", "llm.x", trial=trial, id=trial, attrs={"actual": estimate})
        write("trial", "end", trial=trial)
        self.journal.flush()
        return outcome


def left(runner: Runner) -> list[str]:
    return [planned.trial for planned in runner.left]


@pytest.mark.parametrize(
    ("usd_micro", "cap", "done", "most"), [(65, None, 6, 5), (65, 10, 6, 6), (5, None, 1, 1)]
)
async def test_no_trial_begins_that_is_not_paid_for(
    tmp_path: Path, usd_micro: int, cap: int | None, done: int, most: int
) -> None:
    spender = Spender(tmp_path, usd_micro=usd_micro, trial_usd_micro=cap)
    runner = Runner(spender, Settings(concurrency=10, allowance=spender.allowance))
    await runner.run(plan(10))
    assert left(runner) == [f"c:{number}" for number in range(done + 1, 11)]
    assert runner.why is not None
    assert runner.why.reason == "usd"
    assert not runner.stopped
    assert (runner.progress.done, runner.progress.total) == (done, done)
    assert spender.attempts.most == most
    await runner.run(plan(2))  # whatever comes after that is cut too
    assert left(runner)[-2:] == ["c:1", "c:2"]


async def test_of_a_scenario_none_is_held_back(tmp_path: Path) -> None:
    spender = Spender(tmp_path, usd_micro=15)
    settings = Settings(concurrency=5, allowance=spender.allowance, one_by_one=False)
    runner = Runner(spender, settings)
    await runner.run(plan(5))
    assert (runner.progress.done, spender.attempts.most, runner.left) == (5, 5, [])


async def test_the_end_of_the_runs_time_cancels_what_runs(tmp_path: Path) -> None:
    async def answer(planned: Planned, number: int, last: bool) -> Outcome:
        if planned.repeat > 2:
            await asyncio.sleep(3600)
        return passed(planned, number)

    allowance = Allowance(Limits(ns=20_000_000), tmp_path, lambda: 0)
    runner = Runner(answer, Settings(concurrency=2, allowance=allowance))
    await runner.run(plan(5))
    assert left(runner) == ["c:3", "c:4", "c:5"]
    assert runner.why == Why("minutes", "the time budget of 0.000333 min was reached")


async def test_a_cut_is_no_stop_and_the_first_of_both_counts() -> None:
    started = asyncio.Event()

    async def hang(planned: Planned, number: int, last: bool) -> Outcome:
        started.set()
        await asyncio.sleep(3600)
        raise AssertionError

    for cut_first in (True, False):
        started.clear()
        runner = Runner(hang, Settings(concurrency=1))
        work = asyncio.create_task(runner.run(plan(2)))
        await started.wait()
        why = Why("gate", "accuracy >= 90 % has failed for good")
        if cut_first:
            runner.cut(why)
        else:
            runner.stop()
            runner.cut(why)
        await work
        assert runner.over
        assert (runner.why == why, runner.stopped) == (cut_first, not cut_first)
        assert left(runner) == (["c:1", "c:2"] if cut_first else [])


async def test_what_the_ledger_refuses_for_the_run_cuts_it(tmp_path: Path) -> None:
    async def refused(planned: Planned, number: int, last: bool) -> Outcome:
        if planned.repeat == 2:
            raise Overdrawn(planned.trial)
        return passed(planned, number)

    allowance = Allowance(Limits(usd_micro=100), tmp_path, lambda: 0)
    runner = Runner(refused, Settings(concurrency=1, allowance=allowance))
    await runner.run(plan(3))
    assert left(runner) == ["c:2", "c:3"]
    assert runner.why is not None
    assert "what is left does not cover a call" in runner.why.says


async def test_a_mistake_of_the_harness_lets_the_others_end(tmp_path: Path) -> None:
    async def broken(planned: Planned, number: int, last: bool) -> Outcome:
        if planned.repeat == 1:
            raise ValueError("a mistake")
        return passed(planned, number)

    allowance = Allowance(Limits(usd_micro=100), tmp_path, lambda: 0)
    runner = Runner(broken, Settings(concurrency=2, allowance=allowance))
    with pytest.raises(ValueError, match="a mistake"):
        await runner.run(plan(3))
    assert runner.progress.done == 2
