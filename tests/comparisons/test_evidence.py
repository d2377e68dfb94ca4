"""Evidence for changes of metrics: the right side, the right size, within cases."""

from __future__ import annotations

import math
from typing import Any

import pytest

from proofrig.comparisons.comparable import aligned
from proofrig.comparisons.evidence import Change, changes, passes
from proofrig.comparisons.sample import TrialSample
from samples import Agent, a_sample, agent

SMALL = 0.001


def found(base: Agent, now: Agent, **how: Any) -> dict[str, Change]:
    """What was changes, by name, of two runs of these agents."""
    arms = aligned(a_sample(base, **how), a_sample(now, seed=2, **how))
    return {one.name: one for one in changes(arms)}


def test_all_metrics_are_tested_and_an_unchanged_agent_changes_none() -> None:
    every = found(agent(), agent())
    assert list(every) == [
        *("cost", "tokens", "llm_calls", "tool_calls", "retries", "denied"),
        *("p50(duration)", "p95(duration)", "timeout_rate", "limit_rate", "infra_rate"),
        "pass_hat_4",
    ]
    assert min(min(one.less, one.more) for one in every.values()) > SMALL


@pytest.mark.parametrize(
    ("metric", "change"),
    [
        ("cost", {"cost": 1200.0}),
        ("retries", {"retries": 3}),
        ("denied", {"denied": 1}),
        ("p50(duration)", {"duration_ns": 9 * 10**9}),
        ("p95(duration)", {"duration_ns": 9 * 10**9}),
        ("timeout_rate", {"passed": False, "failure": "timeout"}),
        ("limit_rate", {"passed": False, "failure": "limit"}),
    ],
)
def test_more_of_what_should_be_less_is_worse(metric: str, change: dict[str, Any]) -> None:
    one = found(agent(), agent(**change))[metric]
    assert one.better == "lower"
    assert one.worse <= SMALL < one.improved
    assert one.harm > 0
    interval = one.at(0.95)
    assert interval is not None
    assert interval.low > 0
    back = found(agent(**change), agent())[metric]
    assert back.improved <= SMALL < back.worse
    assert back.harm < 0


def test_failures_around_the_agent_count_among_all_trials() -> None:
    one = found(agent(), agent(passed=None, failure="infra"))["infra_rate"]
    assert (one.base, one.now) == (0.0, 1.0)
    assert one.worse <= SMALL


def test_cases_may_differ_as_they_like() -> None:
    """A case that costs a hundred times as much does not hide what the others cost more."""

    def costs(factor: float) -> Agent:
        def attempt(case: str, chance: Any) -> TrialSample:
            scale = 100 if case == "case_000" else 1
            spread = chance.uniform(0.95, 1.05)
            return TrialSample(case, passed=True, usd_micro=round(1000 * scale * factor * spread))

        return attempt

    assert found(costs(1.0), costs(1.2))["cost"].worse <= SMALL


def test_pass_hat_is_told_at_the_largest_k_that_cases_have_trials_for() -> None:
    for repeats, k in ((2, 2), (3, 2), (4, 4), (7, 4), (8, 8)):
        names = found(agent(), agent(), repeats=repeats)
        assert f"pass_hat_{k}" in names
    assert not any(name.startswith("pass_hat") for name in found(agent(), agent(), repeats=1))
    one = found(agent(1.0), agent(0.5))["pass_hat_4"]
    assert one.base == 1.0
    assert one.worse <= SMALL


def test_a_few_cases_that_always_pass_do_not_rule_out_that_pass_hat_fell() -> None:
    one = found(agent(1.0), agent(1.0), cases=3, repeats=2)["pass_hat_2"]
    assert one.most_harm(0.05) > 0.3


def test_what_is_the_same_has_a_change_of_nothing() -> None:
    """To the last digit: 0 and not 2e-13."""
    sample = a_sample(agent(), cases=13, repeats=3)
    for one in changes(aligned(sample, sample)):
        interval = one.at(0.9)
        assert one.harm == 0
        assert interval is not None
        assert interval.estimate == 0


def test_a_scenario_has_a_pass_rate_of_its_own() -> None:
    def breaks(case: str, chance: Any) -> TrialSample:
        return TrialSample(case, passed=chance.random() < 0.9)

    base = a_sample(breaks, scenarios=("sequential", "burst"))
    now = a_sample(breaks, scenarios=("sequential", "burst"), seed=2)
    for trial in now.trials:
        if trial.scenario == "burst":
            trial.passed = trial.repeat == 1 and trial.passed
    every = {one.name: one for one in changes(aligned(base, now))}
    assert every["burst:accuracy"].worse <= SMALL
    assert every["sequential:accuracy"].worse > SMALL
    assert every["burst:accuracy"].better == "higher"


def test_what_was_measured_once_has_an_interval_from_how_cases_differ() -> None:
    one = found(agent(), agent(), repeats=1)["cost"]
    interval = one.at(0.95)
    assert interval is not None
    assert interval.low < one.now - one.base < interval.high


def test_one_case_run_once_has_no_interval_and_rules_nothing_out() -> None:
    one = found(agent(), agent(), cases=1, repeats=1)["cost"]
    assert one.at(0.95) is None
    assert one.most_harm(0.05) == math.inf


def test_the_end_of_a_quantile_that_so_few_trials_cannot_bound_is_infinite() -> None:
    interval = found(agent(), agent(), cases=4, repeats=2)["p95(duration)"].at(0.95)
    assert interval is not None
    assert interval.high == math.inf


def test_where_nothing_was_measured_only_what_counts_all_trials_is_tested() -> None:
    nothing = agent(passed=None, failure="infra")
    assert list(found(nothing, nothing)) == ["infra_rate"]


def test_passes_are_counts_by_case() -> None:
    base, now = a_sample(agent(1.0), cases=2, repeats=3), a_sample(agent(0.0), cases=2, repeats=2)
    now.trials[0].passed = None
    assert passes(aligned(base, now)) == ([(3, 3), (3, 3)], [(1, 0), (2, 0)])
