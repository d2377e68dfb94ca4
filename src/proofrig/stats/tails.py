"""Quantiles of latencies: as seen, with intervals, and smoothed.

Rules:
1. An interval of a quantile assumes nothing but independent values: it is two of the sample's own.
2. Where the sample is too small to bound an end, the end is infinite. Nothing is made up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from proofrig.stats.intervals import Interval


class Smoothed(msgspec.Struct, frozen=True):
    """A smoothed quantile with its standard error, both in the sample's unit."""

    quantile: float
    se: float


def quantile(ordered: Sequence[float], q: float) -> float:
    """The q-quantile (0 <= q <= 1) of an ascending sample, linear between neighbours (type 7 of
    Hyndman & Fan 1996, numpy's default). Raises ValueError for an empty sample."""
    if not ordered:
        raise ValueError("expected at least one value, got an empty sample")
    place = (len(ordered) - 1) * q
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def quantile_ranks(n: int, q: float, confidence: float = 0.95) -> tuple[int | None, int | None]:
    """The ranks (1 to n) of the values of an ascending sample of n between which the q-quantile
    lies: of the binomial number of values below it, each tail is at most (1 - confidence) / 2
    (Thompson 1936). None: n is too small to bound this end."""
    from scipy.special import bdtr

    if n < 1:
        raise ValueError(f"expected at least one value, got {n}")
    if not (0 < q < 1 and 0 <= confidence < 1):  # 0: what is not above level 1/2, one-sided
        raise ValueError(f"expected q and confidence between 0 and 1, got {q} and {confidence}")

    def first(level: float) -> int:
        """The least k with P(at most k below the quantile) >= level."""
        low, high = -1, n
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if bdtr(middle, n, q) >= level else (middle, high)
        return high

    tail = (1 - confidence) / 2
    low, high = first(tail), first(1 - tail) + 1
    return low or None, high if high <= n else None


def quantile_interval(ordered: Sequence[float], q: float, confidence: float = 0.95) -> Interval:
    """The q-quantile of an ascending sample between two of its values (`quantile_ranks`); -inf or
    inf where no value bounds it. Raises ValueError for an empty sample."""
    value = quantile(ordered, q)
    low, high = quantile_ranks(len(ordered), q, confidence)
    return Interval(
        value,
        -math.inf if low is None else ordered[low - 1],
        math.inf if high is None else ordered[high - 1],
    )


def harrell_davis(ordered: Sequence[float], q: float) -> Smoothed:
    """The q-quantile (0 < q < 1) of an ascending sample as a mean of all its values, weighted by
    how likely each is the quantile (Harrell & Davis 1982); the standard error is the spread under
    these weights (Maritz & Jarrett 1978). Raises ValueError for an empty sample."""
    from scipy.special import betainc

    n = len(ordered)
    if not n:
        raise ValueError("expected at least one value, got an empty sample")
    if not 0 < q < 1:
        raise ValueError(f"expected q between 0 and 1, got {q}")
    a, b = (n + 1) * q, (n + 1) * (1 - q)
    reached = [float(share) for share in betainc(a, b, [i / n for i in range(n + 1)])]
    weights = [after - before for before, after in pairwise(reached)]
    value = math.fsum(w * x for w, x in zip(weights, ordered, strict=True))
    spread = math.fsum(w * (x - value) ** 2 for w, x in zip(weights, ordered, strict=True))
    return Smoothed(value, math.sqrt(spread))
