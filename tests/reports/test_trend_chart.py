"""Values in, SVG numbers out."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from proofrig.reports.trend_chart import BOTTOM, HEIGHT, TOP, band, line, near, places, scale_of


@pytest.mark.parametrize(
    ("values", "unit", "low", "high"),
    [
        ([0.57, 1.0], "share", 0.5, 1.0),
        ([0.0, 0.0], "share", 0.0, 0.04),
        ([0.0, 0.3], "share", 0.0, 0.3),
        ([1.0, 1.0], "share", 0.96, 1.0),
        ([0.95, 0.99], "share", 0.95, 0.99),
        ([2e8, 3e8], "ns", 2e8, 3e8),
        ([1e8, 3e8], "ns", 0.0, 3e8),
        ([5.0], "count", 4.7, 5.3),
        ([], "count", 0.0, 1.0),
        ([0.0], "count", 0.0, 1.0),
        ([-3.0, 2.0], "count", -3.0, 2.0),
        ([1.0, math.inf], "count", 0.94, 1.06),
    ],
)
def test_a_scale_holds_its_values_and_ends_at_round_numbers(
    values: list[float], unit: str, low: float, high: float
) -> None:
    scale = scale_of(values, unit)
    assert (scale.low, scale.high) == (pytest.approx(low), pytest.approx(high))
    gaps = [after - before for before, after in pairwise(scale.ticks)]
    assert 1 <= len(gaps) <= 7 and gaps == pytest.approx([gaps[0]] * len(gaps))
    for value in filter(math.isfinite, values):
        assert TOP <= scale.y(value) <= HEIGHT - BOTTOM
        assert scale.low - 1e-9 <= value <= scale.high + 1e-9


@pytest.mark.parametrize(
    ("bound", "values", "unit", "drawn"),
    [
        (5e8, [3e8, 1e8], "ns", True),
        (3e10, [3e8, 5e8], "ns", False),
        (0.5, [0.01], "share", True),
        (1.0, [0.0, 0.0], "count", True),
        (0.0, [4.0], "count", True),
        (None, [4.0], "count", False),
        (2.0, [math.inf, 1.0], "USD", True),
    ],
)
def test_a_bound_that_would_press_the_values_flat_is_not_drawn(
    bound: float | None, values: list[float], unit: str, drawn: bool
) -> None:
    assert near(bound, values, unit) == drawn


def test_small_changes_far_from_zero_are_seen() -> None:
    scale = scale_of([0.80, 0.90], "share")
    assert scale.low > 0.5
    assert scale_of([1e8, 9e8], "ns").low == 0.0


def test_high_is_up_and_what_is_beyond_is_at_the_end() -> None:
    scale = scale_of([0.0, 1.0], "share")
    assert scale.y(1.0) == TOP and scale.y(0.0) == HEIGHT - BOTTOM
    assert scale.y(5.0) == TOP and scale.y(-5.0) == HEIGHT - BOTTOM


def test_runs_have_columns_of_the_same_width() -> None:
    assert places(1) == [50.0]
    assert places(4) == [12.5, 37.5, 62.5, 87.5]
    assert line([(12.5, 3.0), (50, 20.25)]) == "12.5,3 50,20.25"
    assert band([(10, 30, 20), (20, 31, 21)]) == "10,20 20,21 20,31 10,30"
    assert band([(10, 30, 20)]) == ""
