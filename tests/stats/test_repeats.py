"""pass@k and pass^k reproduce vectors computed with scipy."""

from __future__ import annotations

import pytest

from proofrig.stats.repeats import over_cases, pass_at_k, pass_hat_k, standard_errors
from vectors import vectors


@pytest.mark.parametrize("vector", vectors("pass_k", prefix="pass_"))
def test_estimators(vector: dict) -> None:
    inputs = vector["inputs"]
    arguments = (inputs["trials"], inputs["successes"], inputs["k"])
    functions = {"pass_at_k": pass_at_k, "pass_hat_k": pass_hat_k}
    for name, expected in vector["expected"].items():
        assert functions[name](*arguments) == pytest.approx(expected, abs=vector["abs_tol"])


@pytest.mark.parametrize("vector", vectors("pass_k", prefix="suite_pass_hat"))
def test_over_a_suite(vector: dict) -> None:
    inputs = vector["inputs"]
    counts = [(inputs["trials_per_case"], c) for c in inputs["successes"]]
    _, hat, cases = over_cases(counts, inputs["k"])
    assert hat == pytest.approx(vector["expected"]["mean"], abs=vector["abs_tol"])
    assert cases == len(counts)
    errors = standard_errors(counts, inputs["k"])
    assert errors is not None
    assert errors[1] == pytest.approx(vector["expected"]["se"], abs=vector["abs_tol"])


def test_cases_with_too_few_trials_are_left_out_and_counted() -> None:
    assert over_cases([(4, 4), (2, 2)], 4) == (1.0, 1.0, 1)
    assert over_cases([(1, 1)], 4) == (0.0, 0.0, 0)


def test_errors_come_from_the_scatter_of_two_cases_or_more() -> None:
    assert standard_errors([(4, 4), (4, 0)], 2) == pytest.approx((0.5, 0.5))
    assert standard_errors([(4, 4), (4, 4)], 2) == (0.0, 0.0)
    assert standard_errors([(4, 4), (1, 0)], 2) is None
    assert standard_errors([], 1) is None


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 5), (4, 2, 0)])
def test_impossible_counts_are_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="expected 1 <= k <= trials"):
        pass_at_k(n, c, k)
