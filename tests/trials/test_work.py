"""What a run has to do, and what of it is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofrig.errors import UsageError
from proofrig.suites import Suite
from proofrig.trials.manifest import Manifest
from proofrig.trials.rundir import Finished
from proofrig.trials.work import Work

SUITE = {
    "suite": "s",
    "agent": {"type": "null"},
    "tenants": {"a": 1, "b": 1},
    "cases": [
        {"id": one, "task": one, "verify": [{"type": "contains", "any": ["x"]}]}
        for one in ("one", "two")
    ],
}
NOTHING = Finished(frozenset(), {}, ())


def work(*scenarios: str, only: tuple[str, ...] = (), **manifest: object) -> Work:
    return Work(
        Suite.model_validate(SUITE),
        Path(),
        Manifest(
            run="r",
            started_ns=0,
            suite="s",
            suite_path="",
            repeats=2,
            concurrency=1,
            seed=0,
            only=list(only),
            scenarios=list(scenarios),
            **manifest,  # type: ignore[arg-type]
        ),
    )


def trials(work: Work, before: Finished = NOTHING) -> list[str]:
    return [planned.trial for planned in work.missing(before)]


def test_a_plan_is_its_baselines_and_each_repeat() -> None:
    assert trials(work()) == ["one:null", "two:null", "one:1", "two:1", "one:2", "two:2"]
    assert trials(work(baselines=False, only=("two",))) == ["two:1", "two:2"]


def test_of_a_plan_what_is_done_is_not_missing() -> None:
    before = Finished(frozenset({"one:1", "two:null", "one:null"}), {}, ())
    assert trials(work(), before) == ["two:1", "one:2", "two:2"]


def test_a_scenario_that_was_cut_off_is_missing_whole() -> None:
    before = Finished(
        frozenset({"one@sequential:1", "two@sequential:2", "one@burst:1"}),
        {"one@burst:1": 1},
        (),
        frozenset({"sequential"}),
    )
    both = work("sequential", "burst", agents=3)
    assert trials(both, before) == ["one@burst:1", "two@burst:2", "one@burst:3"]
    assert trials(both)[:2] == ["one@sequential:1", "two@sequential:2"]


def test_a_scenario_the_suite_cannot_serve_shows_before_the_run() -> None:
    with pytest.raises(UsageError, match=r"interleaved.*two or more cases"):
        work("interleaved", only=("one",)).check()


def test_so_does_a_placeholder_that_cannot_be_read() -> None:
    broken = work()
    case = broken.suite.cases[0].model_copy(update={"task": "say {fact.colour}"})
    suite = broken.suite.model_copy(update={"cases": (case,)})
    with pytest.raises(UsageError, match=r"fact\.colour"):
        Work(suite, Path(), broken.manifest).check()
