"""Flaky cases, and runs that disagree: chi-square as scipy, and levels by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import beta, chi2_contingency
from statsmodels.stats.contingency_tables import StratifiedTable

from proofrig.stats.flaky import (
    consistency,
    disagreement,
    drift,
    drift_by_case,
    flaky_mass,
    runs_to_see,
)
from vectors import vectors


@pytest.mark.parametrize(("passed", "measured"), [(0, 0), (6, 8), (40, 40), (0, 3), (59, 60)])
def test_flaky_mass(passed: int, measured: int) -> None:
    posterior = beta(passed + 0.5, measured - passed + 0.5)
    expected = posterior.cdf(0.95) - posterior.cdf(0.05)
    assert flaky_mass(passed, measured) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("passed", "measured", "flaky"),
    [(6, 8, True), (10, 20, True), (7, 8, False), (8, 8, False), (1, 1, False), (99, 100, False)],
)
def test_flaky_takes_evidence(passed: int, measured: int, flaky: bool) -> None:
    assert (flaky_mass(passed, measured) > 0.95) == flaky


@pytest.mark.parametrize(
    "vector",
    [*vectors("flaky", prefix="flaky_chi2"), *vectors("trend", prefix="chi2_homogeneity")],
)
def test_drift(vector: dict) -> None:
    passed, failed = vector["inputs"]["table"]
    runs = [(x + y, x) for x, y in zip(passed, failed, strict=True)]
    assert drift(runs) == pytest.approx(vector["expected"]["p"], abs=vector["abs_tol"])


def test_drift_as_scipy() -> None:
    runs = [(30, 28), (50, 33), (0, 0), (12, 9)]
    table = [[x, n - x] for n, x in runs if n]
    assert drift(runs) == pytest.approx(chi2_contingency(table, correction=False).pvalue)


@pytest.mark.parametrize(
    "runs", [[], [(5, 2)], [(5, 5), (9, 9)], [(5, 0), (9, 0)], [(5, 2), (0, 0)]]
)
def test_nothing_to_disagree_about(runs: list) -> None:
    assert drift(runs) == 1
    assert drift_by_case([[run] for run in runs]) == 1


def test_two_runs_by_case_are_mantel_haenszel() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.binomial(6, 0.6, 30), rng.binomial(4, 0.5, 30)
    tables = [[[x, 6 - x], [y, 4 - y]] for x, y in zip(first, second, strict=True)]
    expected = StratifiedTable(tables).test_null_odds(correction=False).pvalue
    runs = [[(6, x) for x in first.tolist()], [(4, y) for y in second.tolist()]]
    assert drift_by_case(runs) == pytest.approx(float(expected))


def suite_runs(rng: np.random.Generator, shape: tuple[int, int], k: int, p: float) -> list:
    runs, cases = shape
    rates = rng.beta(2 * p, 2 * (1 - p), cases)
    return [[(k, x) for x in rng.binomial(k, rates).tolist()] for _ in range(runs)]


@pytest.mark.parametrize(
    ("runs", "cases", "k", "p"),
    [(3, 50, 4, 0.8), (10, 50, 1, 0.8), (5, 20, 2, 0.95), (20, 20, 1, 0.98)],
)
def test_alike_runs_seldom_drift(runs: int, cases: int, k: int, p: float) -> None:
    rng = np.random.default_rng(2)
    found = [
        drift_by_case(suite_runs(rng, (runs, cases), k, p), draws=499, seed=seed)
        for seed in range(150)
    ]
    assert sum(p <= 0.05 for p in found) / 150 <= 0.09
    assert sum(p <= 0.01 for p in found) / 150 <= 0.027


def test_few_failures_in_one_run_are_dealt_out_exactly() -> None:
    """Three fails of 20 runs fall on one run by chance in 1 of 400; chi-square says far less."""
    runs = [[(1, 1)] * 10 for _ in range(19)] + [[(1, 0)] * 3 + [(1, 1)] * 7]
    totals = [(10, sum(x for _, x in run)) for run in runs]
    assert drift(totals) < 1e-4
    assert drift_by_case(runs) == pytest.approx(1 / 400, abs=0.002)


def test_a_run_that_fell_is_seen() -> None:
    rng = np.random.default_rng(3)
    runs = suite_runs(rng, (4, 50), 4, 0.8)
    worse = [(k, max(0, x - 1)) for k, x in runs[0]]
    assert drift_by_case([*runs, worse]) < 1e-4


def test_runs_of_other_cases_do_not_drift() -> None:
    easy, hard, none = [(4, 4)] * 19 + [(4, 3)], [(4, 1)] * 19 + [(4, 2)], [(0, 0)] * 20
    runs = [easy + hard, easy + none, none + hard]
    assert drift([(sum(n for n, _ in r), sum(x for _, x in r)) for r in runs]) < 1e-6
    assert drift_by_case(runs) > 0.5


def test_it_is_the_same_each_time() -> None:
    runs = [[(1, 1)] * 9 + [(1, 0)], [(1, 1)] * 10, [(1, 0)] * 2 + [(1, 1)] * 8]
    assert drift_by_case(runs) == drift_by_case(runs)


@pytest.mark.parametrize("vector", vectors("flaky", prefix="runs_needed"))
def test_runs_to_see(vector: dict) -> None:
    i = vector["inputs"]
    found = runs_to_see(i["flake_rate"], i["confidence"])
    assert found == math.ceil(vector["expected"]["n"]) == 59


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("rate", [0.001, 0.05, 0.5, 0.9])
def test_as_many_runs_and_not_one_more(rate: float, confidence: float) -> None:
    n = runs_to_see(rate, confidence)
    assert 1 - (1 - rate) ** n >= confidence - 1e-9
    assert n == 1 or 1 - (1 - rate) ** (n - 1) < confidence


@pytest.mark.parametrize("vector", vectors("flaky", prefix="bernoulli"))
def test_how_far_repeats_agree(vector: dict) -> None:
    i, expected = vector["inputs"], vector["expected"]
    assert consistency(i["successes"], i["k"]) == pytest.approx(expected["consistency"])
    found = disagreement(i["successes"], i["k"])
    assert found == pytest.approx(expected["disagreement"], abs=vector["abs_tol"])


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: flaky_mass(3, 2), "0 <= passed <= measured"),
        (lambda: drift([(2, 3), (2, 2)]), "0 <= passed <= measured"),
        (lambda: drift_by_case([[(2, 3)], [(2, 2)]]), "0 <= passed <= measured"),
        (lambda: drift_by_case([[(2, 2)], []]), "expected every run to list the same cases"),
        (lambda: runs_to_see(0), "expected rate and confidence between 0 and 1"),
        (lambda: runs_to_see(0.05, 95), "expected rate and confidence between 0 and 1"),
        (lambda: consistency(0, 0), "at least one trial"),
        (lambda: disagreement(1, 1), "at least two trials"),
    ],
    ids=range(8),
)
def test_what_cannot_be_is_refused(call: object, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        call()
