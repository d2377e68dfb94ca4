"""The metrics: each is a figure of the catalogue, and read from a trial."""

from __future__ import annotations

import pytest

from proofrig.comparisons.metrics import (
    AMOUNTS,
    QUANTILES,
    RATES,
    duration_metric,
    figure_named,
    measures,
)
from proofrig.comparisons.sample import Sample, TrialSample
from proofrig.figures import FIGURES

TRIAL = TrialSample(
    "a",
    usd_micro=1,
    tokens=2,
    llm_calls=3,
    tool_calls=4,
    retries=5,
    denied=6,
    failure="limit",
)


def test_amounts_are_read_from_a_trial() -> None:
    read = {amount.name: amount.read(TRIAL) for amount in AMOUNTS}
    assert read == {
        "cost": 1,
        "tokens": 2,
        "llm_calls": 3,
        "tool_calls": 4,
        "retries": 5,
        "denied": 6,
    }


@pytest.mark.parametrize(
    ("failure", "hits"),
    [
        ("timeout", {"timeout_rate"}),
        ("limit", {"limit_rate"}),
        ("infra", {"infra_rate"}),
        ("harness", {"infra_rate"}),
        ("agent", set()),
        ("", set()),
    ],
)
def test_rates_say_which_failures_they_count(failure: str, hits: set[str]) -> None:
    assert {rate.name for rate in RATES if rate.hit(TrialSample("a", failure=failure))} == hits


@pytest.mark.parametrize("name", [one.name for one in (*AMOUNTS, *RATES)])
def test_each_is_a_figure_of_the_catalogue(name: str) -> None:
    assert name in FIGURES


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("p95(duration)", "duration"),
        (duration_metric(QUANTILES[0]), "duration"),
        ("amplification:llm", "amplification"),
        ("pass_hat_4", "pass_hat_k"),
        ("measure:own", None),
        ("no_such_thing", None),
        ("not a name", None),
    ],
)
def test_a_measure_is_found_in_the_catalogue(name: str, figure: str | None) -> None:
    found = figure_named(name)
    assert (found.name if found else None) == figure


def sample(**measured: dict[str, float]) -> Sample:
    named = {name.replace("plain", ""): figures for name, figures in measured.items()}
    return Sample(suite="desk", suite_digest="d", runs=["r"], measures=named)


def test_measures_are_what_is_not_compared_by_the_trial() -> None:
    base = sample(
        plain={"accuracy": 1.0, "cost": 3.0, "p95(llm_latency)": 2e6, "measure:own": 1.0},
        burst={"tool_429_rate": 0.1, "p95(duration)": 4.0},
        ramp={"lost_updates": 1.0},
    )
    now = sample(
        plain={"accuracy": 0.5, "p95(llm_latency)": 3e6, "measure:own": 2.0},
        burst={"leak_rate": 0.2, "tool_429_rate": 0.3},
    )
    found = {one.name: (one.unit, one.better, one.base, one.now) for one in measures(base, now)}
    assert found == {
        "measure:own": ("", "", 1.0, 2.0),
        "p95(llm_latency)": ("ns", "lower", 2e6, 3e6),
        "burst:tool_429_rate": ("share", "lower", 0.1, 0.3),
        "burst:leak_rate": ("share", "lower", None, 0.2),
    }
