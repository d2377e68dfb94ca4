"""Lines over runs: changes of level as ruptures finds them, slopes and trends as scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kendalltau, theilslopes

from proofrig.stats.trend import change_points, mann_kendall, noise, theil_sen
from vectors import vectors


@pytest.mark.parametrize("vector", vectors("trend", prefix="pelt_change"))
def test_change_points(vector: dict) -> None:
    """The library names the end of the line too; it is no change."""
    y = vector["inputs"]["y"]
    found = change_points(y, vector["inputs"]["penalty"])
    assert [*found, len(y)] == vector["expected"]["breakpoints"]
    assert change_points(y) == found


def by_hand(y: np.ndarray, penalty: float) -> list[int]:
    """Optimal partitioning without any pruning (Jackson et al. 2005)."""
    best, before = [-penalty] + [math.inf] * len(y), [0] * (len(y) + 1)
    for end in range(2, len(y) + 1):
        for start in range(end - 1):
            cost = best[start] + float(np.var(y[start:end])) * (end - start) + penalty
            if cost < best[end]:
                best[end], before[end] = cost, start
    found, at = [], len(y)
    while before[at]:
        at = before[at]
        found.append(at)
    return found[::-1]


@pytest.mark.parametrize("penalty", [0.2, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("n", [2, 3, 4, 7, 30, 45])
def test_pruning_loses_nothing(n: int, penalty: float) -> None:
    rng = np.random.default_rng(n)
    for _ in range(6):
        y = rng.normal(size=n) + np.repeat(2 * rng.normal(size=9), 5)[:n]
        assert change_points(list(y), penalty) == by_hand(y, penalty)


@pytest.mark.parametrize(("n", "most"), [(8, 0.1), (20, 0.1), (60, 0.04)])
def test_a_steady_line_seldom_changes(n: int, most: float) -> None:
    rng = np.random.default_rng(1)
    lines = [*rng.normal(size=(150, n)), *rng.binomial(200, 0.9, (150, n)) / 200]
    assert sum(bool(change_points(list(y))) for y in lines) / 300 <= most


def test_a_step_is_found_where_it_is() -> None:
    rng = np.random.default_rng(4)
    y = rng.normal(0.9, 0.01, 40)
    y[25:] -= 0.06
    assert change_points(list(y)) == [25]
    assert change_points([0.9] * 12 + [0.5] * 12) == [12]  # most steps are 0


@pytest.mark.parametrize("y", [[], [1.0], [1.0] * 30, [1.0, 2.0], [0.5] * 9 + [0.0] + [0.5] * 9])
def test_no_change(y: list[float]) -> None:
    assert change_points(y) == []


@pytest.mark.parametrize("y", [[], [1.0], [1.0] * 30])
def test_no_change_at_a_given_penalty(y: list[float]) -> None:
    assert change_points(y, 0.1) == []


def test_a_penalty_is_above_0() -> None:
    with pytest.raises(ValueError, match="expected a penalty above 0"):
        change_points([1.0, 2.0], 0.0)


def test_noise_is_that_around_the_level() -> None:
    y = np.random.default_rng(6).normal(0, 0.3, 4000)
    assert noise(list(y)) == pytest.approx(0.3, rel=0.05)
    assert noise(list(y + 5 * (np.arange(4000) // 500))) == pytest.approx(0.3, rel=0.05)
    assert noise([5 * x for x in y]) == pytest.approx(5 * noise(list(y)))


@pytest.mark.parametrize(
    ("y", "expected"),
    [([], 0), ([1.0], 0), ([1.0] * 5, 0), ([0.0, 0.0, 0.0, 0.0, 1.0], math.sqrt(1 / 4 / 2))],
)
def test_noise_of_little(y: list[float], expected: float) -> None:
    assert noise(y) == pytest.approx(expected)


@pytest.mark.parametrize("vector", vectors("trend", prefix="theil_sen"))
def test_theil_sen(vector: dict) -> None:
    found, expected = theil_sen(vector["inputs"]["y"]), vector["expected"]
    assert (found.estimate, found.low, found.high) == pytest.approx(
        (expected["slope"], expected["low"], expected["high"]), abs=vector["abs_tol"]
    )


@pytest.mark.parametrize("vector", vectors("trend", prefix="mann_kendall"))
def test_mann_kendall(vector: dict) -> None:
    found, expected = mann_kendall(vector["inputs"]["y"]), vector["expected"]
    assert (found.tau, found.p) == pytest.approx(
        (expected["tau"], expected["p"]), abs=vector["abs_tol"]
    )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [3, 4, 9, 20, 33, 34, 50])
def test_both_as_scipy(n: int, ties: bool) -> None:
    rng = np.random.default_rng(n)
    y = list(map(float, rng.integers(0, 4, n) if ties else rng.normal(size=n)))
    found, oracle = mann_kendall(y), kendalltau(range(n), y)
    assert (found.tau, found.p) == pytest.approx((oracle.statistic, oracle.pvalue))
    slope, expected = theil_sen(y), theilslopes(y)
    assert (slope.estimate, slope.low, slope.high) == pytest.approx(
        (expected.slope, expected.low_slope, expected.high_slope)
    )


def test_a_flat_line_has_no_trend() -> None:
    found = mann_kendall([0.9] * 8)
    assert (found.tau, found.p) == (0, 1)
    slope = theil_sen([0.9] * 8)
    assert (slope.estimate, slope.low, slope.high) == (0, 0, 0)


@pytest.mark.parametrize("function", [theil_sen, mann_kendall])
def test_a_point_has_no_trend(function: object) -> None:
    with pytest.raises(ValueError, match="expected at least two points"):
        function([1.0])
