"""Looks at a run that goes on: from its history so far, seldom, and without harm to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from proofrig.adaptive import Question, rate_gate
from proofrig.comparisons.gate import Gate
from proofrig.conclusion import Options, Run
from proofrig.history.journal import Journal
from proofrig.suites import Suite
from proofrig.thresholds import parse
from proofrig.trials.allowance import Why
from proofrig.trials.manifest import Manifest
from proofrig.trials.runner import Progress
from proofrig.trials.stopping import Stopping, Worker
from proofrig.watching import Watch, question_of, so_far

SUITE = {
    "suite": "s",
    "agent": {"type": "null"},
    "cases": [
        {"id": one, "task": one, "verify": [{"type": "contains", "any": ["x"]}]}
        for one in ("one", "two")
    ],
}
HOPELESS = Gate(rule="accuracy >= 90 %", threshold=parse("accuracy >= 90 %"), abort=True)


def held(run_dir: Path, **more: Any) -> Run:
    fields = {"run": "r", "started_ns": 0, "suite": "s", "suite_path": "", "seed": 0}
    manifest = Manifest(**fields | {"repeats": 4, "concurrency": 1} | more)
    return Run(Suite.model_validate(SUITE), run_dir, manifest, Options())


def write(run_dir: Path, *passed: bool) -> None:
    """A history of that many trials of case one, the last line of which is being written."""
    journal = Journal(run_dir, "runner", count().__next__)
    for number, one in enumerate(passed, start=1):
        begun = {"case": "one", "repeat": number, "attempt": 1}
        failure = "" if one else "agent"
        journal.write("trial", "begin", trial=f"one:{number}", attrs=begun)
        ended = {"passed": one, "failure": failure, "verdicts": []}
        journal.write("trial", "end", trial=f"one:{number}", attrs=ended)
    journal.close()
    with journal.path.open("ab") as file:
        file.write(b'{"seq": 99, "t": 1, "kind": "tri')


def test_what_is_looked_at_is_the_history_so_far(tmp_path: Path) -> None:
    write(tmp_path, True, False)
    found = so_far(held(tmp_path))
    assert (found.summary.overall.measured, found.summary.overall.passed) == (2, 1)
    assert [row.repeat for row in found.rows] == [1, 2]


def test_a_question_knows_the_whole_plan(tmp_path: Path) -> None:
    question = question_of(held(tmp_path, looks=[1, 2, 4]))
    assert (question.cases, question.planned, question.looks) == (2, {"": 8}, [1, 2, 4])
    staged = question_of(held(tmp_path, scenarios=["burst"], agents=3, plain=True))
    assert staged.planned == {"": 11, "burst": 3}


async def test_a_look_says_why_the_run_is_settled(tmp_path: Path) -> None:
    write(tmp_path, False, False)
    question = Question(gates=[rate_gate(90)], cases=2, planned={"": 8}, looks=[1, 2, 4])
    watch = Watch(held(tmp_path), question, lambda progress: None)
    assert "has failed for good" in await watch.settled(1, 1)


async def test_a_look_that_fails_settles_nothing_and_is_said(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "runner", count().__next__)
    journal.write("trial", "end", trial="one:1", attrs={"passed": True})  # of no trial that began
    journal.close()
    question = Question(gates=[HOPELESS], cases=2, planned={"": 8}, looks=[1, 2, 4])
    watch = Watch(held(tmp_path), question, lambda progress: None)
    assert await watch.settled(1, 1) == ""
    [said] = watch.problems
    assert said.startswith("after 1 repeats nothing could settle the run: ")


class Doing:
    """Work on a run that goes on until it is cut, or until its trials are over."""

    def __init__(self, watch: Watch, *, trials: int) -> None:
        self.watch = watch
        self.trials = trials
        self.why: Why | None = None
        self.failure = None
        self.stopped = False

    async def __call__(self, stopping: Stopping) -> Worker:
        over = asyncio.Event()

        def cut(why: Why) -> None:
            self.why = why
            over.set()

        stopping.cut = cut
        for number in range(1, self.trials + 1):
            self.watch.seen(Progress(total=8, failed=number))
        if self.trials < 8:
            await over.wait()
        return self


@pytest.fixture
async def done() -> AsyncIterator[Stopping]:
    """What stops the work; signals are left to themselves after the test."""
    stopping = Stopping(lambda: None)
    yield stopping
    stopping.close()


@pytest.mark.parametrize(("trials", "aborted"), [(2, True), (8, False)])
async def test_a_gate_that_failed_for_good_cuts_the_run(
    tmp_path: Path, done: Stopping, trials: int, aborted: bool
) -> None:
    write(tmp_path, False, False)
    question = Question(gates=[HOPELESS], cases=2, planned={"": 8})
    seen: list[int] = []
    watch = Watch(held(tmp_path), question, lambda progress: seen.append(progress.done))
    doing = Doing(watch, trials=trials)
    await watch.over(doing, done)
    assert seen == list(range(1, trials + 1))
    assert (doing.why is not None) is aborted
    if doing.why is not None:
        assert doing.why.reason == "gate"
        assert doing.why.says.startswith("accuracy >= 90 % has failed for good")
    assert watch.problems == []


async def test_a_look_that_fails_is_said_and_the_run_goes_on(
    tmp_path: Path, done: Stopping
) -> None:
    journal = Journal(tmp_path, "runner", count().__next__)
    journal.write("trial", "end", trial="one:1", attrs={"passed": True})  # of no trial that began
    journal.close()
    question = Question(gates=[HOPELESS], cases=2, planned={"": 8})
    said = asyncio.Event()

    class Problems(list[str]):
        def append(self, text: str) -> None:
            super().append(text)
            said.set()

    watch = Watch(held(tmp_path), question, lambda progress: None)
    watch.problems = Problems()
    doing = Doing(watch, trials=0)

    async def do(stopping: Stopping) -> Worker:
        watch.seen(Progress(total=8, failed=2))
        await said.wait()
        return doing

    assert await watch.over(do, done) is doing
    assert "no gate could end the run early" in watch.problems[0]


async def test_without_such_a_gate_nobody_looks(tmp_path: Path, done: Stopping) -> None:
    question = Question(gates=[rate_gate(90)], cases=2, planned={"": 8})
    watch = Watch(held(tmp_path / "nowhere"), question, lambda progress: None)
    doing = Doing(watch, trials=8)
    assert await watch.over(doing, done) is doing
    assert watch.problems == []
