"""Quantiles of latencies."""

from __future__ import annotations

from collections.abc import Sequence


def quantile(ordered: Sequence[float], q: float) -> float:
    """The q-quantile (0 <= q <= 1) of an ascending sample, linear between neighbours (type 7 of
    Hyndman & Fan 1996, numpy's default). Raises ValueError for an empty sample."""
    if not ordered:
        raise ValueError("expected at least one value, got an empty sample")
    place = (len(ordered) - 1) * q
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
