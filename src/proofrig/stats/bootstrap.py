"""Intervals for what has no formula: ratios, quantiles, pass^k, cost per solved case.

Rules:
1. Whole cases are drawn again, with all their trials: the case is the unit (Davison & Hinkley 1997,
   section 3.8).
2. Chance comes from the seed alone.
3. It wants 50 cases or so; below that its intervals are too short.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from proofrig.stats.intervals import Interval

Case = TypeVar("Case")
Floats = npt.NDArray[np.float64]
NORMAL = NormalDist()


def cluster_bootstrap(
    values_by_case: Sequence[Case],
    statistic: Callable[[Sequence[Case]], float],
    *,
    confidence: float = 0.95,
    draws: int = 1999,
    seed: int = 0,
    method: Literal["bca", "percentile"] = "bca",
) -> Interval:
    """The interval of `statistic` over cases drawn again `draws` times. What a case holds is the
    statistic's own business: it is given a list of cases, some of them several times.

    `bca` corrects for bias and skew (Efron 1987), with the cases left out one by one for the
    acceleration; `percentile` does not. Raises ValueError for fewer than two cases.
    """
    cases = len(values_by_case)
    if cases < 2:
        raise ValueError(f"expected at least two cases to draw from, got {cases}")
    if method not in ("bca", "percentile"):
        raise ValueError(f"expected bca or percentile, got {method!r}")
    estimate = float(statistic(values_by_case))
    drawn = np.random.default_rng(seed).integers(0, cases, (draws, cases))
    found = np.array([statistic([values_by_case[i] for i in row]) for row in drawn.tolist()])
    ends = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    if method == "bca":
        left_out = [
            statistic([*values_by_case[:i], *values_by_case[i + 1 :]]) for i in range(cases)
        ]
        ends = _corrected(ends, estimate, found, np.array(left_out, dtype=np.float64))
    low, high = np.quantile(found, ends)
    return Interval(estimate, float(low), float(high))


def _corrected(ends: Floats, estimate: float, found: Floats, left_out: Floats) -> Floats:
    """Where to read the ends off (Efron 1987, equations 6.3 to 6.6). As they were, when every draw
    is on one side of the estimate: nothing can be said of the bias then."""
    below = float(((found < estimate).sum() + (found == estimate).sum() / 2) / len(found))
    if not 0 < below < 1:
        return ends
    bias = NORMAL.inv_cdf(below)
    skew = left_out.mean() - left_out
    squares = float((skew**2).sum())
    acceleration = float((skew**3).sum()) / (6 * squares**1.5) if squares > 0 else 0.0
    reached = [bias + NORMAL.inv_cdf(float(end)) for end in ends]
    return np.array([NORMAL.cdf(bias + z / (1 - acceleration * z)) for z in reached])
