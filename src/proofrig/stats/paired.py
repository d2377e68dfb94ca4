"""The same cases, before and now: tests of whether they pass less often, and how much less.

Rules:
1. Two questions, two families. "Did this very suite get worse?": the cases are fixed and chance is
   within a case (`stratified_exact`, `mcnemar`, `cmh`, `fixed_difference`). "Would new cases get
   worse?": the cases are a sample (`sign_flip`, `paired_t`, `clustered_difference`).
2. Arms are (measured, passed) per case, aligned by index. A case that one arm did not measure says
   nothing and changes nothing.
3. `alternative` is about now: `less` (it got worse), `greater`, or `two-sided` (twice the smaller
   side, at most 1). `mid_p` counts half of the outcome seen (Lancaster 1961); it is nearer to the
   level than `p`, and may pass it by a little.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from statistics import NormalDist
from typing import Literal

import msgspec
import numpy as np

from proofrig.stats._hypergeometric import Counts, checked, dealt
from proofrig.stats._lattice import Part, Tails, tails
from proofrig.stats.intervals import Interval
from proofrig.stats.variance import difference_noise

Alternative = Literal["less", "greater", "two-sided"]
LATTICE = 1 << 16  # the longest lattice on which sign flips are worked out exactly
ENUMERATED = 16  # up to so many differences all 2^n flips are counted


class Exact(msgspec.Struct, frozen=True):
    """An exact test: `p` holds its level always, `mid_p` nearly; `statistic` as its test says."""

    p: float
    mid_p: float
    statistic: float


class TTest(msgspec.Struct, frozen=True):
    """A paired t-test: now - base with its standard error and interval."""

    difference: Interval
    se: float
    t: float
    p: float


class Cmh(msgspec.Struct, frozen=True):
    """Cochran-Mantel-Haenszel, two-sided, without and with continuity correction; `odds_ratio` of
    now to base, pooled over cases; nan where it is not defined."""

    chi2: float
    p: float
    chi2_corrected: float
    p_corrected: float
    odds_ratio: float


def stratified_exact(
    base: Sequence[Counts],
    now: Sequence[Counts],
    *,
    gamma: float = 0.0,
    alternative: Alternative = "less",
) -> Exact:
    """Whether this very suite passes less often now, given each case's total (Birch 1964; Cox
    1970): the exact test whose normal form is Cochran-Mantel-Haenszel, and McNemar's at one trial
    each. The statistic is the weighted sum of now's passes.

    `gamma` > 0 weighs a case by (1 - rate)^-gamma, so that what nearly always passes says more: a
    function of the totals alone, so the test stays exact. Raises ValueError for unequal arms.
    """
    if gamma < 0:
        raise ValueError(f"expected gamma of 0 or more, got {gamma}")
    checked(base, now)
    groups = Counter((b, n, x + y) for (b, x), (n, y) in zip(base, now, strict=True) if b and n)
    parts, weights, lows = [], {}, 0
    for key, count in groups.items():
        low, chances = dealt(*key)
        weights[key] = weight = _weight(key, gamma)
        parts.append(Part(weight, chances, count))
        lows += weight * low * count
    statistic = sum(
        weights[b, n, x + y] * y for (b, x), (n, y) in zip(base, now, strict=True) if b and n
    )
    return _exact(tails(parts, statistic - lows), float(statistic), alternative)


def _weight(key: tuple[int, int, int], gamma: float) -> int:
    base, now, passed = key
    rate = (passed + 0.5) / (base + now + 1)
    return round(8 * (1 - rate) ** -gamma) if gamma else 1


def mcnemar(b: int, c: int, alternative: Alternative = "less") -> Exact:
    """McNemar's exact test (1947) of paired single trials: `b` cases passed before and fail now,
    `c` failed before and pass now. The statistic is `c`."""
    if b < 0 or c < 0:
        raise ValueError(f"expected counts of 0 or more, got b={b}, c={c}")
    return _exact(tails([Part(1, (0.5, 0.5), b + c)], c), float(c), alternative)


def sign_flip(
    differences: Sequence[float],
    *,
    alternative: Alternative = "less",
    draws: int = 9999,
    seed: int = 0,
) -> Exact:
    """Whether new cases of this kind would do worse: the signs of the cases' differences (now -
    base) are exchangeable when nothing changed (Fisher 1935; Pitman 1937). The statistic is their
    mean.

    Exact where the differences are multiples of a common step (as rates with common repeats are) or
    few; else `draws` random flips, the one seen counted among them (Phipson & Smyth 2010).
    """
    if not len(differences):
        raise ValueError("expected at least one difference, got none")
    mean = math.fsum(differences) / len(differences)
    moved = [float(d) for d in differences if d]
    steps = _on_lattice(moved)
    if steps is not None:
        parts = [Part(abs(step), (0.5, 0.5), n) for step, n in Counter(map(abs, steps)).items()]
        return _exact(tails(parts, sum(s for s in steps if s > 0)), mean, alternative)
    values = np.array(moved)
    if len(moved) <= ENUMERATED:
        sums, seen = np.zeros(1), 0
        for value in moved:
            sums = np.concatenate([sums - value, sums + value])
    else:
        signs = np.random.default_rng(seed).integers(0, 2, (draws, len(moved)), dtype=np.int8)
        sums, seen = (2 * signs - 1) @ values, 1
    near = 1e-12 * float(np.abs(values).sum())
    total = len(sums) + seen
    below = int((sums < values.sum() - near).sum())
    above = int((sums > values.sum() + near).sum())
    return _exact(
        Tails(below / total, (total - below - above) / total, above / total), mean, alternative
    )


def _on_lattice(differences: Sequence[float]) -> list[int] | None:
    """The differences in whole common steps; None when there is no step of modest size."""
    common = 1
    for fraction in {Fraction(d).limit_denominator(1000) for d in differences}:
        common = math.lcm(common, fraction.denominator)
        if common > LATTICE:
            return None
    steps = [round(d * common) for d in differences]
    near = 1e-9 * max(map(abs, differences), default=0.0)
    on = all(abs(d - s / common) <= near for d, s in zip(differences, steps, strict=True))
    return steps if on and sum(map(abs, steps)) <= LATTICE else None


def _exact(found: Tails, statistic: float, alternative: Alternative) -> Exact:
    """Both p-values of one side, or of both: twice the smaller, at most 1."""
    beyond = {
        "less": found.below,
        "greater": found.above,
        "two-sided": min(found.below, found.above),
    }[_known(alternative)]
    times = 2 if alternative == "two-sided" else 1
    p, mid_p = times * (beyond + found.at), times * (beyond + found.at / 2)
    return Exact(min(1.0, p), min(1.0, mid_p), statistic)


def _known(alternative: Alternative) -> Alternative:
    if alternative not in ("less", "greater", "two-sided"):
        raise ValueError(f"expected less, greater or two-sided, got {alternative!r}")
    return alternative


def cmh(base: Sequence[Counts], now: Sequence[Counts]) -> Cmh:
    """The normal form of `stratified_exact`, two-sided (Cochran 1954; Mantel & Haenszel 1959), with
    the pooled odds ratio."""
    checked(base, now)
    seen = expected = variance = upper = lower = 0.0
    for (b, x), (n, y) in zip(base, now, strict=True):
        total, passed = b + n, x + y
        if not b or not n:
            continue
        seen += y
        expected += n * passed / total
        variance += b * n * passed * (total - passed) / (total**2 * (total - 1))
        upper += y * (b - x) / total
        lower += x * (n - y) / total
    off = abs(seen - expected)
    chi2 = off**2 / variance if variance else 0.0
    corrected = max(0.0, off - 0.5) ** 2 / variance if variance else 0.0
    ratio = upper / lower if lower else math.nan
    return Cmh(
        chi2, math.erfc(math.sqrt(chi2 / 2)), corrected, math.erfc(math.sqrt(corrected / 2)), ratio
    )


def fixed_difference(
    base: Sequence[Counts], now: Sequence[Counts], confidence: float = 0.95
) -> Interval:
    """The mean over cases of now's rate less base's, of this very suite run again.

    Normal, from each case's own variance in each arm; where an arm has a single trial, from how
    the cases' differences scatter, which errs on the wide side when cases changed unlike. Added to
    it are z^2/2 trials that went either way, of the mean size of a trial, after Bonett & Price 2012
    (who add two): so it is not empty when nothing failed, and covers in small suites. Raises
    ValueError when no case was measured in both arms.
    """
    noise = difference_noise(base, now)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    spread = z * math.sqrt(noise.variance + z * z / 4 * (noise.base**2 + noise.now**2))
    return Interval(-noise.drop, max(-1.0, -noise.drop - spread), min(1.0, -noise.drop + spread))


def clustered_difference(differences: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean difference (now - base) of rates when the cases are a sample of more such: Student's
    t, with z^2/2 more cases that went from end to end, half of them either way, as in
    `fixed_difference`. Without them cases that all agree would rule out everything: that a change
    broke one case in twenty was missed with 20 cases in 36 % of runs at 5 %; with them, by
    simulation (20 to 500 cases, margins 0.02 to 0.1), in at most 7 %. Raises ValueError for fewer
    than two cases."""
    from scipy.special import stdtrit

    n = len(differences)
    if n < 2:
        raise ValueError(f"expected the differences of two cases or more, got {n}")
    mean = math.fsum(differences) / n
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    scatter = math.fsum((d - mean) ** 2 for d in differences) + z * z
    spread = float(stdtrit(n + 1, 0.5 + confidence / 2)) * math.sqrt(scatter / (n + 1) / (n + 2))
    return Interval(mean, max(-1.0, mean - spread), min(1.0, mean + spread))


def paired_t(
    base_means: Sequence[float],
    now_means: Sequence[float],
    *,
    alternative: Alternative = "less",
    confidence: float = 0.95,
) -> TTest:
    """Student's paired t-test of the cases' means (Student 1908), with a two-sided interval. With
    no scatter at all t is infinite, or 0 where there is no difference either."""
    from scipy.special import stdtr, stdtrit

    n = len(base_means)
    if n < 2 or n != len(now_means):
        raise ValueError(
            f"expected the means of the same two cases or more, got {n} and {len(now_means)}"
        )
    differences = [y - x for x, y in zip(base_means, now_means, strict=True)]
    mean = math.fsum(differences) / n
    se = math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / (n - 1) / n)
    t = mean / se if se else math.copysign(math.inf, mean) if mean else 0.0
    sides = {
        "less": float(stdtr(n - 1, t)),
        "greater": float(stdtr(n - 1, -t)),
        "two-sided": 2 * float(stdtr(n - 1, -abs(t))),
    }
    spread = float(stdtrit(n - 1, 0.5 + confidence / 2)) * se
    return TTest(Interval(mean, mean - spread, mean + spread), se, t, sides[_known(alternative)])
