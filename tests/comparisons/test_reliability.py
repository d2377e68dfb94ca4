"""When two runs were not measured alike."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.comparisons.comparable import aligned
from proofrig.comparisons.comparison import Terms
from proofrig.comparisons.reliability import doubts
from proofrig.comparisons.sample import Sample
from proofrig.comparisons.sampling import pool
from samples import a_sample, agent


def found(base: Sample, now: Sample, **terms: Any) -> list[str]:
    return doubts(base, now, aligned(base, now), Terms(**terms))


def with_infra(count: int, *, seed: int = 1, cases: int = 50) -> Sample:
    """A run of 200 trials, of which so many failed for reasons around the agent."""
    sample = a_sample(cases=cases, seed=seed)
    for trial in sample.trials[:count]:
        trial.passed, trial.failure = None, "infra"
    sample.infra = count
    return sample


def test_two_runs_alike_raise_no_doubt() -> None:
    assert found(with_infra(0), with_infra(0, seed=2)) == []
    assert found(with_infra(4), with_infra(2, seed=2)) == []


@pytest.mark.parametrize(("base", "now", "whose"), [(5, 4, "the base"), (4, 5, "this run")])
def test_a_share_of_infra_failures_above_the_ceiling(base: int, now: int, whose: str) -> None:
    [said] = found(with_infra(base), with_infra(now, seed=2))
    assert f"5 of 200 trials of {whose}" in said
    assert "more than 2 %" in said
    assert found(with_infra(base), with_infra(now, seed=2), infra_ceiling=0.03) == []


def test_shares_of_infra_failures_that_differ() -> None:
    [said] = found(with_infra(0), with_infra(16, seed=2), infra_ceiling=0.2)
    assert said.startswith("16 of 200 trials failed for reasons around the agent, and 0 of 200")
    assert found(with_infra(0), with_infra(4, seed=2), infra_ceiling=0.2) == []


def test_runs_of_a_base_that_disagree() -> None:
    alike = pool([a_sample(agent(0.8), seed=n, run=f"r{n}") for n in range(3)])
    apart = pool([a_sample(agent(rate), seed=n, run=f"r{n}") for n, rate in enumerate((0.95, 0.5))])
    now = a_sample(agent(0.8), seed=9)
    assert found(alike, now) == []
    [said] = found(apart, now)
    assert "the 2 pooled runs of the base disagree" in said
    assert found(now, apart) == []  # this run is one, however it came to be


def test_cases_that_were_not_measured() -> None:
    now = a_sample(cases=10, seed=2)
    for trial in now.trials:
        if trial.case >= "case_004":
            trial.passed, trial.failure = None, "unfired"
    [said] = found(a_sample(cases=10), now)
    assert said.startswith("only 4 of 10 cases were measured in both")
