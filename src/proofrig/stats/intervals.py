"""Intervals for pass rates that respect repeats: the case is the unit, its repeats a cluster.

Naive Wilson on cases x repeats covers about 72 % where it claims 95 % (50 cases, 8 repeats), since
repeats of one case agree with each other. `clustered_wilson` keeps Wilson's good manners near 0
and 1, at the sample size the data are really worth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import msgspec


class Interval(msgspec.Struct, frozen=True):
    """An estimate with its confidence interval, all in the estimate's unit."""

    estimate: float
    low: float
    high: float


def wilson(successes: float, n: float, confidence: float = 0.95) -> Interval:
    """Wilson's score interval (Wilson 1927) for independent trials; `n` > 0 may be fractional."""
    _check(successes, n)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    centre = p + z * z / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low, high = (centre - spread) / scale, (centre + spread) / scale
    return Interval(p, 0.0 if p == 0 else max(0.0, low), 1.0 if p == 1 else min(1.0, high))


def clopper_pearson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """The exact interval (Clopper & Pearson 1934) for independent trials: it covers never less than
    it claims, and mostly more. For what must not happen: leaks, losses."""
    from scipy.special import betaincinv

    _check(successes, n)
    tail = (1 - confidence) / 2
    low = betaincinv(successes, n - successes + 1, tail) if successes else 0.0
    high = betaincinv(successes + 1, n - successes, 1 - tail) if successes < n else 1.0
    return Interval(successes / n, float(low), float(high))


def jeffreys(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """The equal-tailed interval of the posterior under Jeffreys' prior Beta(1/2, 1/2) (Brown, Cai &
    DasGupta 2001, without their change at 0 and n): short, and right on average."""
    from scipy.special import betaincinv

    _check(successes, n)
    tail = (1 - confidence) / 2
    a, b = successes + 0.5, n - successes + 0.5
    return Interval(successes / n, float(betaincinv(a, b, tail)), float(betaincinv(a, b, 1 - tail)))


def none_seen(n: int, confidence: float = 0.95) -> float:
    """The highest rate that n trials without any event leave room for: the one-sided exact upper
    bound 1 - (1 - confidence)^(1/n), near 3/n at 95 % (Hanley & Lippman-Hand 1983)."""
    _check(0, n)
    return -math.expm1(math.log1p(-confidence) / n)


def clustered_se(outcomes_by_case: Sequence[Sequence[float]], *, correct: bool = True) -> float:
    """Standard error of the mean over all trials, clustered by case (Liang & Zeger 1986; CR0, and
    with `correct` times sqrt(G/(G-1)), which with equal repeats is the SEM of the case means)."""
    cases = [case for case in outcomes_by_case if case]
    total = sum(len(case) for case in cases)
    mean = sum(map(sum, cases)) / total
    squares = sum((sum(case) - mean * len(case)) ** 2 for case in cases)
    se = math.sqrt(squares) / total
    groups = len(cases)
    return se * math.sqrt(groups / (groups - 1)) if correct and groups > 1 else se


def clustered_wilson(
    outcomes_by_case: Sequence[Sequence[float]], confidence: float = 0.95
) -> Interval:
    """Wilson at the effective sample size m(1-m)/SE^2, SE clustered by case.

    `outcomes_by_case` holds 0/1 per repeat; empty cases are passed over. The effective size stays
    between the number of cases and the number of trials: with every case alike, or too few cases
    to see how they differ, the cases are the sample.
    """
    cases = [case for case in outcomes_by_case if case]
    if not cases:
        raise ValueError("expected at least one case with a measured trial, got none")
    trials = sum(len(case) for case in cases)
    mean = sum(map(sum, cases)) / trials
    se = clustered_se(cases)
    worth = mean * (1 - mean) / se**2 if se > 0 else len(cases)
    n = min(max(worth, min(len(cases), trials)), trials)
    return wilson(mean * n, n, confidence)


def difference(one: Interval, other: Interval) -> Interval:
    """`one` less `other`, of independent estimates, from their own intervals (Newcombe 1998, method
    10, where they are Wilson's; in general MOVER, Zou & Donner 2008)."""
    d = one.estimate - other.estimate
    low = d - math.hypot(one.estimate - one.low, other.high - other.estimate)
    high = d + math.hypot(one.high - one.estimate, other.estimate - other.low)
    return Interval(d, max(-1.0, low), min(1.0, high))


def _check(successes: float, n: float) -> None:
    if not n > 0 or not 0 <= successes <= n:
        raise ValueError(f"expected 0 <= successes <= n and n > 0, got {successes} of {n}")
