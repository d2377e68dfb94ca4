"""Proof that two things do not differ by more than a margin. Absence of evidence is not that.

Rules:
1. The null hypothesis is "they differ by the margin or more"; a small p rejects it.
2. The margin is set before the data are seen.
3. Few failures prove little: the variance that a test uses is one that allows for the drop which it
   rules out, never merely what happened to be seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from proofrig.stats._hypergeometric import Counts
from proofrig.stats.variance import difference_noise


def non_inferior(base: Sequence[Counts], now: Sequence[Counts], margin: float) -> float:
    """P-value of "the mean pass rate over this very suite fell by `margin` or more"; `margin` is a
    share in (0, 1). Small means: no worse than the margin. Cases that one arm lacks are left out.

    A score test in the manner of Farrington & Manning 1990. If the drop were the margin, half of
    what is missing from it was good luck of `now` and half was bad luck of `base`, but `base` can
    have had no more of it than it has failures of its own where `now` passes. Each failure moved
    from one arm to the other moves as much variance (as for rare events: never too little). The
    variance is let neither below the one observed, nor below that of a drop by the margin from a
    suite without any noise. Half a step of the coarser arm is taken off (Hauck & Anderson 1986).

    Chosen by simulation: margin 0.05; 20 to 200 cases; repeats 1/1, 2/2, 4/4, 8/1, 8/2, 20/1, 20/4,
    2/8 and 1/4; rates 0.6 to 1; drops alike in all cases, in proportion, in a few cases, beside
    cases that never pass. At a true drop of exactly the margin it rejects at most 5.1 % at 5 %
    (20,000 draws a cell); at margins 0.02 and 0.1, on a part of these cells, at most 5.3 %.
    """
    if not 0 < margin < 1:
        raise ValueError(f"expected a margin between 0 and 1 (a share, not percent), got {margin}")
    noise = difference_noise(base, now)
    spare = margin - noise.drop
    if spare <= 0:
        return 1.0
    from_base = min(spare / 2, noise.rescued)
    moved = (spare - from_base) * noise.now - from_base * noise.base
    least = margin * (1 - margin) * noise.now
    variance = max(noise.variance + max(0.0, moved), least)
    z = (spare - max(noise.base, noise.now) / 2) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2)) / 2


def tost_paired(base: Sequence[float], now: Sequence[float], low: float, high: float) -> float:
    """P-value of "the mean of now - base over cases lies outside (low, high)", the cases a sample:
    the larger of two one-sided paired t-tests (Schuirmann 1987). Differences without any scatter
    give 0 or 1. Raises ValueError for fewer than two cases."""
    from scipy.special import stdtr

    if len(base) != len(now) or len(base) < 2:
        raise ValueError(
            f"expected the same cases in both arms and at least two, got {len(base)} of base and "
            f"{len(now)} of now"
        )
    if not low < high:
        raise ValueError(f"expected low < high, got {low} and {high}")
    changes = [after - before for before, after in zip(base, now, strict=True)]
    n = len(changes)
    change = math.fsum(changes) / n
    se = math.sqrt(math.fsum((c - change) ** 2 for c in changes) / (n - 1) / n)
    if se == 0:
        return 0.0 if low < change < high else 1.0
    return float(max(stdtr(n - 1, (low - change) / se), stdtr(n - 1, (change - high) / se)))


def tost_two_proportions(x1: int, n1: int, x2: int, n2: int, margin: float) -> float:
    """P-value of "the rates x1/n1 and x2/n2 of independent trials differ by `margin` or more": the
    larger of two one-sided z-tests with a pass and a fail added to each arm (Agresti & Caffo
    2000)."""
    if not 0 < margin < 1:
        raise ValueError(f"expected a margin between 0 and 1 (a share, not percent), got {margin}")
    for x, n in ((x1, n1), (x2, n2)):
        if not (0 <= x <= n and n):
            raise ValueError(f"expected 0 <= passed <= measured and measured > 0, got {x} of {n}")
    p1, p2 = (x1 + 1) / (n1 + 2), (x2 + 1) / (n2 + 2)
    se = math.sqrt(p1 * (1 - p1) / (n1 + 2) + p2 * (1 - p2) / (n2 + 2))
    return math.erfc((margin - abs(p1 - p2)) / se / math.sqrt(2)) / 2
