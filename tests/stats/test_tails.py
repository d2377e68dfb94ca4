"""Quantiles reproduce numpy's."""

from __future__ import annotations

import pytest

from proofrig.stats.tails import quantile
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
