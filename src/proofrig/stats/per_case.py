"""Which cases broke: one exact test per case, and all of them together.

Rules:
1. Cases that could not be rejected whatever came are no burden to the others (Tarone 1990): which
   those are depends on the cases' totals alone, and every test here is given the totals.
2. What the cases' tests can spend of alpha is known exactly, so that somebody else may spend the
   rest.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from math import prod

import msgspec

from proofrig.stats._hypergeometric import Counts, at_most, checked
from proofrig.stats.multiple import holm


class Broken(msgspec.Struct, frozen=True):
    """By case: whether it broke, its p, and its p adjusted within the family (1 for a case that
    could not be rejected). `attained`: the chance that any case is flagged when nothing changed,
    given the totals; at most the alpha that was asked for."""

    flags: list[bool]
    p: list[float]
    adjusted: list[float]
    attained: float


def fisher_less(base: Counts, now: Counts) -> float:
    """Fisher's exact one-sided p (1935) that `now` passes less often than `base`; each arm is
    (measured, passed) of the same case. 1.0 when either was not measured."""
    checked([base], [now])
    low, chances = at_most(base[0], now[0], base[1] + now[1])
    return chances[now[1] - low]


def broken_cases(base: Sequence[Counts], now: Sequence[Counts], alpha: float) -> Broken:
    """The cases that pass less often `now`; a family-wise error of at most `alpha`. Holm's method
    over the cases that could be rejected at all (Tarone 1990). Arms are (measured, passed) per
    case, aligned by index. Raises ValueError for no cases or unequal arms."""
    checked(base, now)
    if not 0 < alpha < 1:
        raise ValueError(f"expected alpha between 0 and 1, got {alpha}")
    tests = [at_most(b, n, x + y) for (b, x), (n, y) in zip(base, now, strict=True)]
    p = [chances[y - low] for (low, chances), (_, y) in zip(tests, now, strict=True)]
    family = _could_be_rejected([chances[0] for _, chances in tests], alpha)
    adjusted = [1.0] * len(p)
    for index, one in zip(family, holm([p[i] for i in family]), strict=True):
        adjusted[index] = one
    # Holm flags something exactly when its first step does: the least p at most alpha / family.
    quiet = prod(1 - _attained(tests[i][1], alpha / len(family)) for i in family)
    return Broken([one <= alpha for one in adjusted], p, adjusted, 1 - quiet)


def _could_be_rejected(least: Sequence[float], alpha: float) -> list[int]:
    """Indices of the cases whose least attainable p is at most alpha / K, for the smallest K that
    is not below their number (Tarone 1990)."""
    ordered = sorted(least)
    k = 1
    while bisect_right(ordered, alpha / k) > k:
        k += 1
    return [index for index, one in enumerate(least) if one <= alpha / k]


def _attained(chances: tuple[float, ...], level: float) -> float:
    """The chance that a p at most `level` comes up: the largest attainable one. Never too low:
    a p that is at the level but for rounding counts."""
    under = bisect_right(chances, level * (1 + 1e-12))
    return chances[under - 1] if under else 0.0
