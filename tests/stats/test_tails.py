"""Quantiles reproduce numpy's; their intervals and smoothed forms scipy's."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import binom, quantile_test

from proofrig.stats.tails import harrell_davis, quantile, quantile_interval, quantile_ranks
from vectors import vectors


@pytest.mark.parametrize("vector", vectors("latency", prefix="quantile_linear"))
def test_quantile(vector: dict) -> None:
    ordered = sorted(vector["inputs"]["sample"])
    for q, expected in zip(vector["inputs"]["p"], vector["expected"]["quantile"], strict=True):
        assert quantile(ordered, q) == pytest.approx(expected, abs=vector["abs_tol"])


def test_edges() -> None:
    assert quantile([7.0], 0.99) == 7.0
    with pytest.raises(ValueError, match="at least one value"):
        quantile([], 0.5)


@pytest.mark.parametrize("vector", vectors("latency", prefix="quantile_ci_rank"))
def test_ranks(vector: dict) -> None:
    i, expected = vector["inputs"], vector["expected"]
    low, high = quantile_ranks(i["n"], i["p"], i["confidence"])
    assert low == expected["low_rank"]
    assert (-1 if high is None else high) == expected["high_rank"]


@pytest.mark.parametrize("q", [0.05, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("n", [1, 5, 30, 367, 368, 2000])
def test_ranks_as_scipy(n: int, q: float) -> None:
    interval = quantile_test(np.arange(1, n + 1), q=0, p=q).confidence_interval(0.95)
    expected = [None if math.isnan(end) else int(end) for end in interval]
    assert list(quantile_ranks(n, q, 0.95)) == expected


def test_a_p99_has_an_upper_end_from_368_values_on() -> None:
    assert quantile_ranks(367, 0.99)[1] is None
    assert quantile_ranks(368, 0.99)[1] == 368


@pytest.mark.parametrize(("n", "q"), [(20, 0.5), (50, 0.9), (400, 0.99)])
def test_the_interval_covers_what_it_says(n: int, q: float) -> None:
    """The chance that the ranks enclose the quantile, worked out: never below the confidence."""
    low, high = quantile_ranks(n, q, 0.9)
    below = binom.cdf(np.arange(-1, n + 1), n, q)  # of -1, 0, 1, ... values below the quantile
    covered = (below[high] if high else 1.0) - (below[low] if low else 0.0)
    assert 0.9 <= covered < 0.99


def test_an_interval_is_made_of_the_samples_own_values() -> None:
    ordered = [float(x) for x in range(100, 300)]
    found = quantile_interval(ordered, 0.5)
    assert (found.low, found.high) == (ordered[85], ordered[114])
    assert found.estimate == quantile(ordered, 0.5)


def test_what_cannot_be_bounded_is_infinite() -> None:
    found = quantile_interval([1.0, 2.0, 3.0], 0.5)
    assert (found.estimate, found.low, found.high) == (2.0, -math.inf, math.inf)
    assert quantile_interval([1.0] * 100, 0.99).high == math.inf


@pytest.mark.parametrize("vector", vectors("latency", prefix="harrell_davis"))
def test_harrell_davis(vector: dict) -> None:
    i, expected = vector["inputs"], vector["expected"]
    found = [harrell_davis(sorted(i["sample"]), q) for q in i["p"]]
    assert [one.quantile for one in found] == pytest.approx(
        expected["quantile"], abs=vector["abs_tol"]
    )
    assert [one.se for one in found] == pytest.approx(expected["se"], abs=vector["abs_tol"])


def test_harrell_davis_of_one_value() -> None:
    found = harrell_davis([3.0], 0.9)
    assert (found.quantile, found.se) == pytest.approx((3.0, 0.0))


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: quantile_ranks(0, 0.5), "at least one value"),
        (lambda: quantile_ranks(9, 1.0), "expected q and confidence between 0 and 1"),
        (lambda: quantile_ranks(9, 0.5, 95), "expected q and confidence between 0 and 1"),
        (lambda: quantile_interval([], 0.5), "at least one value"),
        (lambda: harrell_davis([], 0.5), "at least one value"),
        (lambda: harrell_davis([1.0], 99), "expected q between 0 and 1"),
    ],
    ids=range(6),
)
def test_what_cannot_be_is_refused(call: object, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        call()


def test_plain_quantiles_bring_no_numpy() -> None:
    code = (
        "import sys; from proofrig.stats.tails import quantile; quantile([1.0, 2.0], 0.5); "
        "print(sorted({'numpy', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
