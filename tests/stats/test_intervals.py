"""Intervals reproduce vectors computed with independent libraries."""

from __future__ import annotations

import random

import pytest

from proofrig.stats.intervals import clustered_se, clustered_wilson, difference, wilson
from vectors import vectors

WILSON = [v for v in vectors("proportion_interval", prefix="ci_wilson") if "_cc_" not in str(v.id)]


@pytest.mark.parametrize("vector", WILSON)
def test_wilson(vector: dict) -> None:
    inputs = vector["inputs"]
    found = wilson(inputs["successes"], inputs["n"], inputs["confidence"])
    assert found.low == pytest.approx(vector["expected"]["low"], abs=vector["abs_tol"])
    assert found.high == pytest.approx(vector["expected"]["high"], abs=vector["abs_tol"])


@pytest.mark.parametrize("vector", vectors("clustered_se", prefix="clustered_se"))
def test_clustered_se(vector: dict) -> None:
    correct = vector["id"] == "clustered_se_cr1"
    found = clustered_se(vector["inputs"]["outcomes_by_case"], correct=correct)
    assert found == pytest.approx(vector["expected"]["se"], abs=vector["abs_tol"])


def test_one_repeat_a_case_is_nearly_plain_wilson() -> None:
    found = clustered_wilson([[1]] * 40 + [[0]] * 10)
    plain = wilson(40, 50)
    assert found.low == pytest.approx(plain.low, abs=0.005)
    assert found.high == pytest.approx(plain.high, abs=0.005)


def test_repeats_that_only_agree_add_nothing() -> None:
    agreed = clustered_wilson([[1] * 8] * 16 + [[0] * 8] * 4)
    assert agreed.high - agreed.low > 0.95 * (wilson(16, 20).high - wilson(16, 20).low)


def test_all_passed_is_no_wider_than_the_cases_allow() -> None:
    assert clustered_wilson([[1, 1, 1, 1]] * 10) == wilson(10, 10)


def test_no_measured_trial_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one case"):
        clustered_wilson([[], []])
    with pytest.raises(ValueError, match="n > 0"):
        wilson(0, 0)


def test_coverage_is_near_its_claim_where_naive_wilson_fails() -> None:
    """50 cases of different difficulty, 8 repeats: nominal 95 % intervals, seeded simulation."""
    dice = random.Random(20)
    hits = naive_hits = 0
    rounds = 400
    for _ in range(rounds):
        cases = []
        for _ in range(50):
            p = dice.betavariate(1.6, 0.4)
            cases.append([int(dice.random() < p) for _ in range(8)])
        found, plain = clustered_wilson(cases), wilson(sum(map(sum, cases)), 400)
        hits += found.low <= 0.8 <= found.high
        naive_hits += plain.low <= 0.8 <= plain.high
    assert hits / rounds > 0.91
    assert naive_hits / rounds < 0.82


@pytest.mark.parametrize("vector", vectors("unpaired", prefix="newcombe_diff"))
def test_the_difference_of_two_rates_by_vector(vector: dict) -> None:
    inputs = vector["inputs"]
    one, other = (wilson(*inputs[name], inputs["confidence"]) for name in ("cand", "base"))
    found = difference(one, other)
    assert found.low == pytest.approx(vector["expected"]["low"], abs=vector["abs_tol"])
    assert found.high == pytest.approx(vector["expected"]["high"], abs=vector["abs_tol"])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        # Newcombe 1998, table II, method 10.
        ((56, 70), (48, 80), (0.2, 0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.6, 0.1705, 0.8090)),
        ((10, 10), (0, 10), (1.0, 0.6075, 1.0)),
    ],
)
def test_the_difference_of_two_rates(
    one: tuple[int, int], other: tuple[int, int], expected: tuple[float, float, float]
) -> None:
    found = difference(wilson(*one), wilson(*other))
    assert (found.estimate, found.low, found.high) == pytest.approx(expected, abs=5e-5)
