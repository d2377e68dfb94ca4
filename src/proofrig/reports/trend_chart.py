"""A figure over the runs, as SVG numbers: x in percent of the width, y in pixels.

Rules:
1. Every chart of a page has the same runs at the same places, so that a change in one is looked for
   in the others above and below it.
2. Drawing decides nothing: every number comes in measured, and what is missing stays missing.
3. The scale holds every point, its interval, the baseline and the bounds of gates; it begins at
   zero unless that would press what there is to see into less than half of it. A bound that would
   press it into less than a fifth is not drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

HEIGHT, TOP, BOTTOM = 150, 12, 10
_SHARES = 1.0
_LEAST_SHARE = 0.04  # that a scale of shares spans
_FAR = 5  # times the greatest value
_GAPS = 6  # between labels, at most one more


@dataclass(frozen=True, slots=True)
class Scale:
    """From where to where a chart goes, and where it is labelled."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def y(self, value: float) -> float:
        """Where a value is; what is beyond an end is at the end."""
        share = (min(self.high, max(self.low, value)) - self.low) / (self.high - self.low)
        return round(TOP + (1 - share) * (HEIGHT - TOP - BOTTOM), 1)


def scale_of(values: Sequence[float], unit: str) -> Scale:
    """A scale for these values, which are in `unit`."""
    finite = [value for value in values if math.isfinite(value)]
    least, most = min(finite, default=0.0), max(finite, default=1.0)
    low, high = least, most
    if 0 <= low < high - low:
        low = 0.0
    span = _LEAST_SHARE if unit == "share" else abs(high) * 0.1 or 1.0
    if high - low < span:
        low, high = (low + high - span) / 2, (low + high + span) / 2
    if low < 0 <= least:
        low, high = 0.0, high - low
    whole = unit == "share" and most <= _SHARES
    if whole and high > _SHARES:
        low, high = low - (high - _SHARES), _SHARES
    step = _nice((high - low) / _GAPS)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = min(last, round(_SHARES / step)) if whole else last
    ticks = tuple(number * step for number in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], ticks)


def near(bound: float | None, values: Sequence[float], unit: str) -> bool:
    """Whether a scale can hold a bound and still show the values."""
    most = max(map(abs, filter(math.isfinite, values)), default=0.0)
    return bound is not None and (unit == "share" or not most or abs(bound) <= _FAR * most)


def places(count: int) -> list[float]:
    """The middle of each run's column, in percent of the width."""
    return [round(100 * (place + 0.5) / count, 3) for place in range(count)]


def line(points: Sequence[tuple[float, float]]) -> str:
    """The points of a polyline."""
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def band(points: Sequence[tuple[float, float, float]]) -> str:
    """The polygon around (x, y of the low end, y of the high end); "" below two of them."""
    if len(points) < 2:
        return ""
    high = [(x, top) for x, _, top in points]
    low = [(x, bottom) for x, bottom, _ in reversed(points)]
    return line([*high, *low])


def _nice(step: float) -> float:
    """The least of 1, 2, 2.5, 5 and 10 times a power of ten that is at least `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * of for of in (1, 2, 2.5, 5, 10) if power * of >= step * (1 - 1e-9))
