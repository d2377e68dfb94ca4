"""How the passes of one case fall on two arms when only chance deals them out.

Rules:
1. The case's total is given: under "nothing changed" the passes of an arm are hypergeometric,
   whatever the case's true rate (Fisher 1935). So a test given the totals is exact.
2. Integers until the last division: the far tail is as accurate as the middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import comb

Counts = tuple[int, int]  # measured trials, passed trials


@lru_cache(maxsize=16384)
def dealt(base: int, now: int, passed: int) -> tuple[int, tuple[float, ...]]:
    """The least number of the `passed` trials that can be `now`'s, and the chances of that number
    and of each one above it, in order. `base` and `now` are the arms' trials."""
    low, high = max(0, passed - base), min(now, passed)
    every = comb(base + now, passed)
    return low, tuple(comb(now, x) * comb(base, passed - x) / every for x in range(low, high + 1))


@lru_cache(maxsize=16384)
def at_most(base: int, now: int, passed: int) -> tuple[int, tuple[float, ...]]:
    """As `dealt`, with the chances summed from the low end: Fisher's one-sided p of each outcome,
    ascending."""
    low, high = max(0, passed - base), min(now, passed)
    every = comb(base + now, passed)
    total, found = 0, []
    for x in range(low, high + 1):
        total += comb(now, x) * comb(base, passed - x)
        found.append(total / every)
    return low, tuple(found)


def checked(base: Sequence[Counts], now: Sequence[Counts]) -> None:
    """Raises ValueError unless both arms hold the same cases, at least one, with counts that can
    be."""
    if not base or len(base) != len(now):
        raise ValueError(
            f"expected the same cases in both arms and at least one, "
            f"got {len(base)} of base and {len(now)} of now"
        )
    for arm, counts in (("base", base), ("now", now)):
        for index, (measured, passed) in enumerate(counts):
            if not 0 <= passed <= measured:
                raise ValueError(
                    f"expected (measured, passed) with 0 <= passed <= measured, "
                    f"got {(measured, passed)} for case {index} of {arm}"
                )
