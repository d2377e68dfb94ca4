"""Non-inferiority keeps its level at the boundary and finds what is there; TOST as statsmodels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom, ttest_1samp
from statsmodels.stats.proportion import tost_proportions_2indep

from proofrig.stats.equivalence import non_inferior, tost_paired, tost_two_proportions
from vectors import vectors

MARGIN = 0.05
Rates = Callable[[int, float], tuple[np.ndarray, np.ndarray]]


def alike(n: int, p: float) -> tuple[np.ndarray, np.ndarray]:
    return np.full(n, p), np.full(n, p - MARGIN)


def in_proportion(n: int, p: float) -> tuple[np.ndarray, np.ndarray]:
    rates = np.random.default_rng(n).beta(2 * p, 2 * (1 - p), n)
    return rates, rates * (1 - MARGIN / rates.mean())


def beside_hopeless_ones(n: int, p: float) -> tuple[np.ndarray, np.ndarray]:
    rates = np.where(np.arange(n) < n // 2, p, 0.0)
    return rates, np.where(rates > 0, p - 2 * MARGIN, 0.0)


def shares(rates: Rates, n: int, k: tuple[int, int], p: float) -> float:
    """How often 5 % rejects when the drop is exactly the margin."""
    base, now = rates(n, p)
    rng = np.random.default_rng(7)
    draws = 1000
    before = rng.binomial(k[0], base, (draws, n)).tolist()
    after = rng.binomial(k[1], now, (draws, n)).tolist()
    rejected = sum(
        non_inferior([(k[0], x) for x in xs], [(k[1], y) for y in ys], MARGIN) <= 0.05
        for xs, ys in zip(before, after, strict=True)
    )
    return rejected / draws


@pytest.mark.parametrize("rates", [alike, in_proportion, beside_hopeless_ones])
@pytest.mark.parametrize(
    ("n", "k", "p"), list(itertools.product((20, 50, 100), ((1, 1), (4, 4)), (0.8, 0.95)))
)
def test_a_drop_of_the_margin_is_rarely_called_harmless(
    rates: Rates, n: int, k: tuple[int, int], p: float
) -> None:
    assert shares(rates, n, k, p) <= 0.06


@pytest.mark.parametrize("k", [(20, 1), (20, 4), (2, 8), (8, 1)])
@pytest.mark.parametrize("rates", [alike, beside_hopeless_ones])
def test_nor_with_unequal_arms(rates: Rates, k: tuple[int, int]) -> None:
    assert shares(rates, 50, k, 0.95) <= 0.06


@pytest.mark.parametrize("repeats", [1, 2, 4])
@pytest.mark.parametrize("n", [10, 20, 54, 58, 60, 72, 100, 200])
def test_all_passing_proves_no_more_than_the_exact_chance_of_it(n: int, repeats: int) -> None:
    """Were the base perfect, `now` would pass everywhere with chance (1 - margin)^trials."""
    all_pass = [(repeats, repeats)] * n
    exact = binom.pmf(0, n * repeats, MARGIN)
    p = non_inferior(all_pass, all_pass, MARGIN)
    assert p > 0.05 or exact <= 0.05
    if exact < 1e-3:
        assert p < 0.02


def test_no_change_is_found_harmless_where_there_are_enough_trials() -> None:
    rng = np.random.default_rng(3)
    rates = rng.beta(1.6, 0.4, 100)
    found = 0
    for _ in range(200):
        base, now = rng.binomial(8, rates).tolist(), rng.binomial(8, rates).tolist()
        arms = ([(8, x) for x in base], [(8, x) for x in now])
        found += non_inferior(*arms, MARGIN) <= 0.05
    assert found / 200 > 0.8


def test_a_drop_beyond_the_margin_is_no_evidence() -> None:
    assert non_inferior([(4, 4)] * 20, [(4, 3)] * 20, MARGIN) == 1.0


def test_more_passes_never_make_it_worse() -> None:
    base = [(4, 3)] * 30
    found = [
        non_inferior(base, [(4, 4)] * more + [(4, 3)] * (30 - more), 0.1) for more in range(31)
    ]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.05 > found[-1]


def test_unmeasured_cases_are_left_out() -> None:
    base, now = [(4, 3), (4, 4)] * 20, [(4, 4), (4, 3)] * 20
    with_holes = non_inferior([*base, (0, 0), (4, 0)], [*now, (4, 0), (0, 0)], MARGIN)
    assert with_holes == non_inferior(base, now, MARGIN)


@pytest.mark.parametrize(
    ("base", "now", "margin", "expected"),
    [
        ([(4, 4)], [(4, 4)], 5, "expected a margin between 0 and 1"),
        ([(4, 4)], [(4, 4)], 0, "expected a margin between 0 and 1"),
        ([(4, 4)], [(4, 4), (4, 4)], 0.1, "expected the same cases in both arms"),
        ([(4, 5)], [(4, 4)], 0.1, "0 <= passed <= measured"),
        ([(0, 0)], [(4, 4)], 0.1, "expected at least one case measured in both arms"),
    ],
)
def test_what_cannot_be_is_refused(base: list, now: list, margin: float, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        non_inferior(base, now, margin)


@pytest.mark.parametrize("vector", vectors("trend", prefix="tost_paired"))
def test_tost_paired(vector: dict) -> None:
    i = vector["inputs"]
    found = tost_paired(i["base"], i["cand"], i["low"], i["high"])
    assert found == pytest.approx(vector["expected"]["p"], abs=vector["abs_tol"])


def test_tost_paired_is_two_t_tests() -> None:
    changes = np.random.default_rng(1).normal(0.01, 0.1, 25)
    sides = [
        ttest_1samp(changes, -0.05, alternative="greater").pvalue,
        ttest_1samp(changes, 0.05, alternative="less").pvalue,
    ]
    assert tost_paired([0.0] * 25, list(changes), -0.05, 0.05) == pytest.approx(max(sides))


@pytest.mark.parametrize(("change", "expected"), [(0.0, 0.0), (0.25, 1.0), (0.5, 1.0)])
def test_tost_paired_without_scatter(change: float, expected: float) -> None:
    assert tost_paired([0.5, 0.25], [0.5 + change, 0.25 + change], -0.25, 0.25) == expected


@pytest.mark.parametrize(
    ("base", "now", "low", "high", "expected"),
    [
        ([1.0], [1.0], -0.1, 0.1, "at least two"),
        ([1.0, 1.0], [1.0], -0.1, 0.1, "the same cases"),
        ([1.0, 0.0], [1.0, 0.0], 0.1, -0.1, "low < high"),
    ],
)
def test_tost_paired_refuses(base: list, now: list, low: float, high: float, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        tost_paired(base, now, low, high)


@pytest.mark.parametrize("vector", vectors("trend", prefix="tost_two_prop"))
def test_tost_two_proportions(vector: dict) -> None:
    i = vector["inputs"]
    found = tost_two_proportions(*i["a"], *i["b"], i["margin"])
    assert found == pytest.approx(vector["expected"]["p"], abs=vector["abs_tol"])


@pytest.mark.parametrize("counts", [(10, 12, 9, 11), (0, 30, 2, 40), (4, 5, 5, 6), (90, 100, 1, 9)])
def test_tost_two_proportions_as_statsmodels(counts: tuple[int, int, int, int]) -> None:
    oracle = tost_proportions_2indep(*counts, -0.1, 0.1, method="agresti-caffo")
    assert tost_two_proportions(*counts, 0.1) == pytest.approx(float(oracle.pvalue))
    assert math.isfinite(float(oracle.pvalue))


@pytest.mark.parametrize(
    ("counts", "margin", "expected"),
    [
        ((1, 0, 1, 1), 0.1, "passed <= measured"),
        ((0, 0, 1, 1), 0.1, "measured > 0"),
        ((1, 1, 1, 1), 10, "a share, not percent"),
    ],
)
def test_tost_two_proportions_refuses(counts: tuple, margin: float, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        tost_two_proportions(*counts, margin)
