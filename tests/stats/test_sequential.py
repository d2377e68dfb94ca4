"""Looks that share alpha: known bounds, and as simulated paths and the normal distribution say;
looks at any time: crossing rates of simulated suites whose cases are not alike."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta, multivariate_normal

from proofrig.stats.sequential import (
    boundaries,
    confidence_sequence,
    constant_bounds,
    e_value,
    obrien_fleming_spending,
    pocock_spending,
    sprt,
    sprt_bounds,
)
from vectors import vectors

AGAINST_8 = [8 * k / (8 + k) / 4 for k in (1, 2, 4, 8)]  # looks at k repeats, 8 cached
UNLIKE = np.array([1.0] * 8 + [0.97] * 4 + [0.9, 0.8, 0.6, 0.5, 0.4, 0.2, 0.0, 0.0])


def z_of(levels: list[float]) -> list[float]:
    return [-NormalDist().inv_cdf(level) for level in levels]


@pytest.mark.parametrize("vector", vectors("sequential", prefix="group_sequential_"))
def test_constant_bounds(vector: dict) -> None:
    i = vector["inputs"]
    kind = vector["id"].split("_")[2]
    found = constant_bounds(kind, i["looks"], i["alpha_one_sided"])
    assert found == pytest.approx(vector["expected"]["z"], abs=vector["abs_tol"])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("pocock", [2.4132] * 5), ("obf", [4.5617, 3.2256, 2.6337, 2.2809, 2.0401])],
)
def test_bounds_of_five_looks_as_tabulated(kind: str, expected: list[float]) -> None:
    """Jennison & Turnbull 2000, tables 2.1 and 2.3, at one-sided 2.5 %."""
    assert constant_bounds(kind, 5, 0.025) == pytest.approx(expected, abs=2e-4)


def test_one_look_is_no_sequence() -> None:
    assert constant_bounds("obf", 1, 0.025) == pytest.approx([1.959964], abs=1e-5)
    assert boundaries([1.0], 0.05) == pytest.approx([0.05])


def test_looks_at_1_2_4_8_repeats_against_8_cached() -> None:
    spent = [obrien_fleming_spending(t, 0.05) for t in AGAINST_8]
    assert spent == pytest.approx([0.00003, 0.0019, 0.0164, 0.05], abs=6e-5)
    levels = boundaries(AGAINST_8, 0.05)
    assert levels[0] == pytest.approx(spent[0])  # nothing was spent before it
    assert z_of(levels) == pytest.approx([4.00, 2.89, 2.15, 1.69], abs=0.007)


@pytest.mark.parametrize("spending", [obrien_fleming_spending, pocock_spending])
@pytest.mark.parametrize("information", [(0.5, 1.0), (0.1, 0.9, 1.0)])
def test_what_is_spent_is_the_chance_of_having_stopped(
    information: tuple, spending: object
) -> None:
    """Against the multivariate normal distribution of the looks' statistics."""
    levels = boundaries(information, 0.05, spending)
    size = len(information)
    joint = [
        [math.sqrt(min(s, t) / max(s, t)) for t in information[:size]] for s in information[:size]
    ]
    for look in range(1, size + 1):
        cut = [row[:look] for row in joint[:look]]
        below = multivariate_normal.cdf(z_of(levels)[:look], cov=cut, abseps=1e-7, releps=1e-7)
        assert 1 - below == pytest.approx(spending(information[look - 1], 0.05), abs=2e-6)


@pytest.mark.parametrize("information", [AGAINST_8, [i / 10 for i in range(1, 11)]])
def test_paths_without_a_drift_stop_with_chance_alpha(information: list[float]) -> None:
    rng = np.random.default_rng(2)
    steps = np.sqrt(np.diff([0.0, *information]))
    z = np.cumsum(rng.normal(size=(100_000, len(steps))) * steps, axis=1) / np.sqrt(information)
    stopped = (z >= z_of(boundaries(information, 0.05))).any(axis=1).mean()
    assert stopped == pytest.approx(0.05, abs=0.0021)  # 3 standard errors


def test_looks_hard_by_each_other_are_resolved() -> None:
    alone = boundaries([0.2, 0.3, 1.0], 0.05)
    beside = boundaries([0.2, 0.3, 0.301, 1.0], 0.05)
    assert [beside[0], beside[1], beside[3]] == pytest.approx(alone, rel=5e-3)


@pytest.mark.parametrize("spending", [obrien_fleming_spending, pocock_spending])
def test_spending_rises_to_alpha(spending: object) -> None:
    spent = [spending(t / 50, 0.05) for t in range(1, 51)]
    assert all(a < b for a, b in pairwise(spent))
    assert spent[-1] == pytest.approx(0.05)
    with pytest.raises(ValueError, match="expected an information fraction"):
        spending(0, 0.05)
    with pytest.raises(ValueError, match="expected alpha between 0 and 1"):
        spending(0.5, 5)


@pytest.mark.parametrize(
    "information", [[], [0.5], [0.5, 0.5, 1.0], [1.0, 0.5], [0.0, 1.0], [-0.5, 1.0], [0.5, 2.0]]
)
def test_fractions_ascend_to_1(information: list[float]) -> None:
    with pytest.raises(ValueError, match="expected ascending information fractions that end in 1"):
        boundaries(information, 0.05)


def test_bounds_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="expected kind pocock or obf"):
        constant_bounds("obrien", 2, 0.05)
    with pytest.raises(ValueError, match="expected at least one look"):
        constant_bounds("obf", 0, 0.05)
    with pytest.raises(ValueError, match="expected alpha between 0 and 1"):
        constant_bounds("obf", 2, 2.5)


@pytest.mark.parametrize("vector", vectors("sequential", prefix="evalue_"))
def test_e_value(vector: dict) -> None:
    i = vector["inputs"]
    a, b = i["prior"]
    found = e_value(sum(i["outcomes"]), len(i["outcomes"]), i["p0"], a=a, b=b)
    assert found == pytest.approx(vector["expected"]["e_value"], abs=vector["abs_tol"])


@pytest.mark.parametrize("vector", vectors("sequential", prefix="confseq_"))
def test_confidence_sequence(vector: dict) -> None:
    i = vector["inputs"]
    found = confidence_sequence(sum(i["outcomes"]), len(i["outcomes"]), i["alpha"])
    expected = vector["expected"]
    assert (found.low, found.high) == pytest.approx(
        (expected["low"], expected["high"]), abs=vector["abs_tol"]
    )


@pytest.mark.parametrize(("x", "n", "p0", "a", "b"), [(3, 10, 0.6, 1, 1), (9, 12, 0.5, 2, 0.5)])
@pytest.mark.parametrize(("side", "cut"), [("less", (0, 1)), ("greater", (1, 2))])
def test_a_one_sided_e_value_is_a_mean_over_its_side(
    x: int, n: int, p0: float, a: float, b: float, side: str, cut: tuple[int, int]
) -> None:
    low, high = (0.0, p0, 1.0)[cut[0] : cut[1] + 1]

    def ratio(p: float) -> float:
        return (p / p0) ** x * ((1 - p) / (1 - p0)) ** (n - x) * beta.pdf(p, a, b)

    share = beta.cdf(high, a, b) - beta.cdf(low, a, b)
    expected = quad(ratio, low, high)[0] / share
    assert e_value(x, n, p0, a=a, b=b, side=side) == pytest.approx(expected, rel=1e-6)


def crossings(side: str, p0: float, rounds: int = 80, suites: int = 400) -> float:
    """How many suites of unlike cases ever show 1/alpha, looked at after each whole round."""
    rng = np.random.default_rng(5)
    passes = np.cumsum((rng.random((suites, rounds, len(UNLIKE))) < UNLIKE).sum(2), axis=1)
    known: dict[tuple[int, int], bool] = {}

    def crossed(x: int, n: int) -> bool:
        if (x, n) not in known:
            known[x, n] = e_value(x, n, p0, side=side) >= 20
        return known[x, n]

    ns = [len(UNLIKE) * (r + 1) for r in range(rounds)]
    return sum(any(map(crossed, row, ns)) for row in passes.tolist()) / suites


@pytest.mark.parametrize("side", ["two-sided", "less", "greater"])
def test_unlike_cases_cross_at_most_with_chance_alpha(side: str) -> None:
    assert crossings(side, float(UNLIKE.mean())) <= 0.05


@pytest.mark.parametrize(("side", "away"), [("less", 0.1), ("greater", -0.1), ("two-sided", 0.1)])
def test_and_cross_when_there_is_something_to_see(side: str, away: float) -> None:
    assert crossings(side, float(UNLIKE.mean()) + away) >= 0.9


@pytest.mark.parametrize("p0", [0.3, 0.7, 0.95])
def test_a_round_of_like_cases_is_the_worst(p0: float) -> None:
    """Hoeffding 1956, worked out: the mean of a round's e-value is 1 when all cases are alike, and
    less when they are not."""

    def mean_e(rates: list[float]) -> float:
        chances = np.ones(1)
        for rate in rates:
            chances = np.convolve(chances, [1 - rate, rate])
        n = len(rates)
        return sum(c * e_value(x, n, p0, a=2, b=1) for x, c in enumerate(chances))

    spread = min(p0, 1 - p0)
    assert mean_e([p0] * 10) == pytest.approx(1)
    assert mean_e([p0 - spread, p0 + spread] * 5) < 1


def test_confidence_sequences_are_where_e_values_refuse() -> None:
    found = confidence_sequence(37, 50, 0.05)
    for end in (found.low, found.high):
        assert e_value(37, 50, end) == pytest.approx(20, rel=1e-6)
    assert found.low < found.estimate == 0.74 < found.high


@pytest.mark.parametrize("n", [1, 10, 100_000])
def test_sequences_at_the_ends(n: int) -> None:
    none, every = confidence_sequence(0, n), confidence_sequence(n, n)
    assert (none.low, every.high) == (0, 1)
    assert none.high == pytest.approx(1 - every.low, abs=1e-9)
    assert 0 < none.high < 1


def test_very_much_and_very_little_evidence() -> None:
    assert e_value(0, 5000, 0.9) == math.inf
    assert e_value(5000, 5000, 0.1, side="less") == 0


@pytest.mark.parametrize("vector", vectors("sequential", prefix="sprt_bounds"))
def test_sprt_bounds(vector: dict) -> None:
    low, high = sprt_bounds(**vector["inputs"])
    expected = vector["expected"]
    assert (low, high) == pytest.approx(
        (expected["log_lower"], expected["log_upper"]), abs=vector["abs_tol"]
    )


@pytest.mark.parametrize("vector", vectors("sequential", prefix="sprt_llr"))
def test_sprt_ratio(vector: dict) -> None:
    i = vector["inputs"]
    found = sprt(i["successes"], i["n"], i["p0"], i["p1"])
    assert found.log_ratio == pytest.approx(vector["expected"]["llr"], abs=vector["abs_tol"])


@pytest.mark.parametrize(("passed", "accepts"), [(10, "p1"), (21, "neither yet"), (29, "p0")])
def test_sprt_decides(passed: int, accepts: str) -> None:
    assert sprt(passed, 30, 0.8, 0.65).accepts == accepts


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: e_value(3, 2, 0.5), "0 <= successes <= n"),
        (lambda: e_value(1, 2, 1.0), "expected p0 between 0 and 1"),
        (lambda: e_value(1, 2, 0.5, a=0), "expected a Beta prior"),
        (lambda: e_value(1, 2, 0.5, side="both"), "expected side two-sided"),
        (lambda: confidence_sequence(0, 0), "at least one trial"),
        (lambda: confidence_sequence(1, 2, 5), "expected alpha between 0 and 1"),
        (lambda: sprt_bounds(0.5, 0.5), "together below 1"),
        (lambda: sprt(1, 2, 0.5, 0.5), "expected two unlike rates"),
        (lambda: sprt(3, 2, 0.5, 0.4), "0 <= successes <= n"),
    ],
    ids=range(9),
)
def test_what_cannot_be_is_refused(call: object, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        call()
