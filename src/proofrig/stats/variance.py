"""Where the noise of a suite comes from: between its cases, within them, and in a difference.

Rules:
1. A suite that is run again has the noise within its cases only; a suite drawn anew has both.
2. Counts are (measured, passed) of one case; two arms are aligned by index.
3. A case that one arm did not measure says nothing about a difference: it is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from proofrig.stats._hypergeometric import Counts, checked


class Split(msgspec.Struct, frozen=True):
    """Variance of an outcome between cases and within them. `icc`: the share between cases (1 when
    repeats always agree; it can be a little below 0 by chance). `design_effect`: how many times
    larger the variance of the mean is than that of as many independent trials."""

    between: float
    within: float
    icc: float
    design_effect: float


class DifferenceNoise(msgspec.Struct, frozen=True):
    """What the mean over cases of (now - base) is made of, in shares. `cases`: how many both arms
    measured. `drop`: base less now. `variance`: of `drop`, for this very suite. `base`, `now`: what
    a within-case variance of 1 would add through each arm, i.e. sum(1/measured)/cases^2.
    `rescued`: how often a trial of base fails where one of the same case in now passes."""

    cases: int
    drop: float
    variance: float
    base: float
    now: float
    rescued: float


def split(outcomes_by_case: Sequence[Sequence[float]]) -> Split:
    """One-way analysis of variance: ICC(1) of Shrout & Fleiss 1979, with the mean size of unequal
    groups as in Donner & Koval 1980; design effect 1 + (size - 1) icc (Kish 1965).

    Empty cases are passed over. When outcomes never differ the split is 0, 0 and an ICC of 0.
    Raises ValueError unless there are two cases, and one of them has a repeat.
    """
    cases = [case for case in outcomes_by_case if case]
    trials = sum(map(len, cases))
    if len(cases) < 2 or trials == len(cases):
        raise ValueError(
            "expected at least two measured cases, and one of them repeated, "
            f"got {len(cases)} cases and {trials} trials"
        )
    mean = sum(map(sum, cases)) / trials
    means = [sum(case) / len(case) for case in cases]
    around = sum(len(case) * (m - mean) ** 2 for case, m in zip(cases, means, strict=True))
    inside = sum((y - m) ** 2 for case, m in zip(cases, means, strict=True) for y in case)
    within = inside / (trials - len(cases))
    size = (trials - sum(len(case) ** 2 for case in cases) / trials) / (len(cases) - 1)
    between = (around / (len(cases) - 1) - within) / size
    total = between + within
    icc = between / total if total > 0 else 0.0
    return Split(between, within, icc, 1 + (trials / len(cases) - 1) * icc)


def difference_noise(base: Sequence[Counts], now: Sequence[Counts]) -> DifferenceNoise:
    """The drop of the mean rate over this very suite, and its variance.

    Of a case with two trials or more in each arm the variance is the unbiased one within it,
    x(k-x)/(k^2(k-1)); of any other it is how far its change lies from the mean change, which is
    never too little: what cases change unlike adds to it. Raises ValueError for arms of unequal
    length, impossible counts, or no case that both arms measured.
    """
    checked(base, now)
    pairs = [(*b, *c) for b, c in zip(base, now, strict=True) if b[0] and c[0]]
    n = len(pairs)
    if not n:
        raise ValueError("expected at least one case measured in both arms, got none")
    changes = [y / m - x / k for k, x, m, y in pairs]
    change = sum(changes) / n
    noise = 0.0
    for (k, x, m, y), own in zip(pairs, changes, strict=True):
        if k > 1 and m > 1:
            noise += x * (k - x) / (k * k * (k - 1)) + y * (m - y) / (m * m * (m - 1))
        elif n > 1:
            noise += (own - change) ** 2 * n / (n - 1)
    return DifferenceNoise(
        cases=n,
        drop=-change,
        variance=noise / n**2,
        base=sum(1 / k for k, _, _, _ in pairs) / n**2,
        now=sum(1 / m for _, _, m, _ in pairs) / n**2,
        rescued=sum((1 - x / k) * y / m for k, x, m, y in pairs) / n,
    )
