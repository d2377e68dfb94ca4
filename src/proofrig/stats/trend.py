"""A line of figures over runs: where its level changed, and whether it rises or falls.

Rules:
1. The points are in order and equally spaced; a slope is per step.
2. A change is one of level: two points at least on either side. One odd point is not a change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import NormalDist, median

import msgspec
import numpy as np

from proofrig.stats.intervals import Interval

SHORTEST = 2  # points between two changes
FEW = 20  # points; the noise of a shorter line is poorly known
EXACT = 33  # up to so many points without ties Kendall's p is counted out


class Kendall(msgspec.Struct, frozen=True):
    """Kendall's tau-b of the points with their order, and its two-sided p."""

    tau: float
    p: float


def change_points(y: Sequence[float], penalty: float | None = None) -> list[int]:
    """The indices at which a new level begins, ascending; [] when there is none.

    Minimises the sum of squares around the levels plus `penalty` (in y's unit squared) for each
    change, by PELT (Killick, Fearnhead & Eckley 2012): exact. The default penalty is 4 ln(n)
    `noise`^2, of 20 points at least: the 3 ln(n) of Zhang & Siegmund 2007 with something on top for
    noise that is only estimated. By simulation a steady line then shows a change in at most 7 %; a
    line without noise never does. Raises ValueError for a penalty that is not above 0.
    """
    n = len(y)
    if penalty is None:
        penalty = 4 * math.log(max(n, FEW)) * noise(y) ** 2
        if penalty == 0:
            return []
    if not penalty > 0:
        raise ValueError(f"expected a penalty above 0, got {penalty}")
    values = np.asarray(y, dtype=float)
    values = values - values.mean() if n else values  # keeps the squares small
    sums = np.concatenate(([0.0], np.cumsum(values)))
    squares = np.concatenate(([0.0], np.cumsum(values**2)))
    best = np.full(n + 1, np.inf)
    best[0] = -penalty
    before = np.zeros(n + 1, dtype=int)
    starts, until = np.zeros(0, dtype=int), np.zeros(0, dtype=int)
    for end in range(SHORTEST, n + 1):
        if np.isfinite(best[end - SHORTEST]):
            starts = np.append(starts, end - SHORTEST)
            until = np.append(until, n + 1)
        length = end - starts
        inside = squares[end] - squares[starts] - (sums[end] - sums[starts]) ** 2 / length
        reached = best[starts] + inside
        least = int(np.argmin(reached))
        best[end], before[end] = reached[least] + penalty, starts[least]
        # A start that `end` itself beats stays beaten, once `end` can be a start.
        until = np.where(reached > best[end], np.minimum(until, end + SHORTEST), until)
        kept = until > end + 1
        starts, until = starts[kept], until[kept]
    found, at = [], n
    while n and before[at] > 0:
        at = int(before[at])
        found.append(at)
    return found[::-1]


def noise(y: Sequence[float]) -> float:
    """How far points scatter around the line's level, as a standard deviation: the median absolute
    deviation of the steps from 0, times 1.4826 / sqrt(2) (after Hampel 1974; steps, so that changes
    of level hardly count). Where most steps are 0, their root mean square instead. 0 for fewer than
    two points."""
    steps = [after - before for before, after in pairwise(y)]
    if not steps:
        return 0.0
    scale = median(map(abs, steps)) / NormalDist().inv_cdf(0.75)
    if scale == 0:
        scale = math.sqrt(math.fsum(step * step for step in steps) / len(steps))
    return scale / math.sqrt(2)


def theil_sen(y: Sequence[float], confidence: float = 0.95) -> Interval:
    """The median slope per step over all pairs of points (Theil 1950), with the interval of Sen
    1968, corrected for ties."""
    n = _at_least_two(y)
    values = np.asarray(y, dtype=float)
    later, earlier = np.tril_indices(n, -1)
    slopes = np.sort((values[later] - values[earlier]) / (later - earlier))
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    sd = math.sqrt(_variance(n, _ties(y)) / 18)
    low = max(round((len(slopes) - z * sd) / 2) - 1, 0)
    high = min(round((len(slopes) + z * sd) / 2), len(slopes) - 1)
    return Interval(float(np.median(slopes)), float(slopes[low]), float(slopes[high]))


def mann_kendall(y: Sequence[float]) -> Kendall:
    """Does the line rise or fall at all (Mann 1945; Kendall 1938)? Without ties and up to 33 points
    p is exact; else normal, corrected for ties. A line of one level has tau 0 and p 1."""
    n = _at_least_two(y)
    values = np.asarray(y, dtype=float)
    later, earlier = np.tril_indices(n, -1)
    score = int(np.sign(values[later] - values[earlier]).sum())
    ties, pairs = _ties(y), n * (n - 1) // 2
    unlike = pairs - sum(t * (t - 1) // 2 for t in ties)
    if not unlike:
        return Kendall(0.0, 1.0)
    tau = score / math.sqrt(pairs * unlike)
    if not ties and n <= EXACT:
        return Kendall(tau, _exact(n, (pairs - abs(score)) // 2))
    z = abs(score) / math.sqrt(_variance(n, ties) / 18)
    return Kendall(tau, math.erfc(z / math.sqrt(2)))


def _exact(n: int, inversions: int) -> float:
    """Twice the share of orders of n points with at most so many inversions."""
    counts = [1]
    for size in range(2, n + 1):
        wider = [0] * (len(counts) + size - 1)
        for place, count in enumerate(counts):
            for more in range(size):
                wider[place + more] += count
        counts = wider
    return min(1.0, 2 * sum(counts[: inversions + 1]) / math.factorial(n))


def _ties(y: Sequence[float]) -> list[int]:
    """The sizes of the groups of equal points, where there are two or more."""
    sizes: dict[float, int] = {}
    for value in y:
        sizes[value] = sizes.get(value, 0) + 1
    return [size for size in sizes.values() if size > 1]


def _variance(n: int, ties: Sequence[int]) -> int:
    """18 times the variance of Kendall's score (Kendall 1975)."""
    return n * (n - 1) * (2 * n + 5) - sum(t * (t - 1) * (2 * t + 5) for t in ties)


def _at_least_two(y: Sequence[float]) -> int:
    if len(y) < 2:
        raise ValueError(f"expected at least two points, got {len(y)}")
    return len(y)
