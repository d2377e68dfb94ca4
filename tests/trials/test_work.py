"""What a run has to do, what of it is missing, and what it may use; how it is done is in
end_to_end/test_lanes.py and end_to_end/test_adaptive.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from proofrig.errors import UsageError
from proofrig.suites import Suite
from proofrig.trials.allowance import Limits
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


def test_the_plan_runs_beside_scenarios_where_both_are_asked_for() -> None:
    both = work("burst", agents=2, plain=True, baselines=False)
    assert trials(both) == ["one:1", "two:1", "one:2", "two:2", "one@burst:1", "two@burst:2"]


def test_a_settled_run_misses_no_further_repeats() -> None:
    before = Finished(frozenset({"one:1"}), {}, (), settled=1)
    assert trials(work(baselines=False, looks=[1, 2]), before) == ["two:1"]


@pytest.mark.parametrize(
    ("usd", "own", "cap", "limits"),
    [
        (None, None, None, Limits(hard=False)),
        (0.5, None, 0.02, Limits(500_000, None, 20_000)),
        (0.5, 2.0, None, Limits(500_000)),
        (0.5, 0.1, None, Limits(500_000, hard=False)),  # the suite's own is what holds
    ],
)
def test_the_ledger_holds_a_run_to_the_lower_amount(
    usd: float | None, own: float | None, cap: float | None, limits: Limits
) -> None:
    budgets = {"suite": {"usd": own} if own else {}, "run": {"usd": cap} if cap else {}}
    begun = work(usd=usd)
    suite = Suite.model_validate(SUITE | {"budgets": budgets})
    held = Work(suite, begun.run_dir, begun.manifest)
    assert held.limits() == limits
    policy = held.staged().whole_policy()
    least = min((one for one in (usd, own) if one), default=None)
    assert (policy.limits["@suite"].usd if policy else None) == least
    assert held.suite.budgets.suite.usd == own  # the suite stays what it is


def test_so_many_minutes_are_a_limit_too() -> None:
    assert work(minutes=1.5).limits().ns == 90 * 10**9


def test_a_scenario_the_suite_cannot_serve_shows_before_the_run() -> None:
    with pytest.raises(UsageError, match=r"interleaved.*two or more cases"):
        work("interleaved", only=("one",)).check()


def test_so_does_a_placeholder_that_cannot_be_read() -> None:
    broken = work()
    case = broken.suite.cases[0].model_copy(update={"task": "say {fact.colour}"})
    suite = broken.suite.model_copy(update={"cases": (case,)})
    with pytest.raises(UsageError, match=r"fact\.colour"):
        Work(suite, Path(), broken.manifest).check()


@pytest.mark.parametrize(("mode", "usd"), [("shadow", None), ("enforce", 0.5)])
def test_money_is_kept_by_an_authority_that_enforces(mode: str, usd: float | None) -> None:
    suite = Suite.model_validate(SUITE | {"authority": {"mode": mode}})
    replace(work(usd=usd), suite=suite).check()


def test_in_shadow_mode_nobody_would_keep_the_money() -> None:
    suite = Suite.model_validate(SUITE | {"authority": {"mode": "shadow"}})
    with pytest.raises(UsageError, match=r"enforces the run's budget of 0\.5 USD"):
        replace(work(usd=0.5), suite=suite).check()
