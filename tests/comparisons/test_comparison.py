"""The terms of a comparison."""

from __future__ import annotations

import pytest

from proofrig.comparisons.comparison import Terms


@pytest.mark.parametrize(("alpha", "confidence"), [(0.05, 0.9), (0.005, 0.99)])
def test_intervals_agree_with_one_sided_tests(alpha: float, confidence: float) -> None:
    assert Terms(alpha=alpha).confidence == pytest.approx(confidence)


@pytest.mark.parametrize(
    ("metric", "least"),
    [("tokens", 0.1), ("pass_hat_4", 0.02), ("pass_hat_k", 0.02), ("cost", None)],
)
def test_the_least_change_of_what_blocks(metric: str, least: float | None) -> None:
    assert Terms(metrics={"tokens": 0.1, "pass_hat_k": 0.02}).least_of(metric) == least
