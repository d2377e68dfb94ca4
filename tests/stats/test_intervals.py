"""Intervals reproduce vectors computed with independent libraries."""

from __future__ import annotations

import math
import random

import pytest

from proofrig.stats.intervals import (
    clopper_pearson,
    clustered_se,
    clustered_wilson,
    difference,
    jeffreys,
    none_seen,
    wilson,
)
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


@pytest.mark.parametrize("n", [1, 20, 1000])
def test_an_exact_interval_at_its_ends(n: int) -> None:
    none, every = clopper_pearson(0, n), clopper_pearson(n, n)
    assert (none.low, every.high) == (0.0, 1.0)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / n))
    assert every.low == pytest.approx(0.025 ** (1 / n))


def test_an_exact_interval_never_covers_less_than_it_claims() -> None:
    for n, p in ((12, 0.03), (12, 0.5), (40, 0.9)):
        covered = sum(
            math.comb(n, x) * p**x * (1 - p) ** (n - x)
            for x in range(n + 1)
            if clopper_pearson(x, n, 0.9).low <= p <= clopper_pearson(x, n, 0.9).high
        )
        assert covered >= 0.9


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (3, 10), (10, 10), (97, 100)])
def test_jeffreys_lies_within_the_exact_interval(successes: int, n: int) -> None:
    inner, outer = jeffreys(successes, n), clopper_pearson(successes, n)
    assert outer.high - outer.low > inner.high - inner.low
    assert outer.low <= inner.low <= inner.estimate or successes == 0
    assert outer.high >= inner.high >= inner.estimate or successes == n


def test_what_no_event_leaves_room_for() -> None:
    assert none_seen(60) == pytest.approx(1 - 0.05 ** (1 / 60))
    assert none_seen(10**6) == pytest.approx(3e-6, rel=0.002)
    assert none_seen(1, 0.9) == pytest.approx(0.9)
    assert none_seen(59) < 0.05 < none_seen(58)


@pytest.mark.parametrize("interval", [clopper_pearson, jeffreys])
@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 2)])
def test_impossible_counts_are_refused(interval, successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="0 <= successes <= n and n > 0"):
        interval(successes, n)
    with pytest.raises(ValueError, match="n > 0, got 0 of 0"):
        none_seen(0)
