"""The runner keeps to its concurrency, retries infra failures within a budget, and stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proofrig.errors import InfraError
from proofrig.suites import Planned
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
