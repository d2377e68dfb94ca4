"""Several tests at once: p-values adjusted so that each can be held against the family's level.

Rules:
1. Holm for what blocks: the chance of any false alarm is at most alpha, whatever the dependence.
2. Benjamini-Hochberg for lists a person reads: the share of false ones among those named.
3. The order of the input is the order of the output.
"""

from __future__ import annotations

from collections.abc import Sequence


def bonferroni(p: Sequence[float]) -> list[float]:
    """Adjusted p-values (Bonferroni 1936): each times their number, at most 1."""
    _check(p)
    return [min(1.0, len(p) * one) for one in p]


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values of the step-down procedure (Holm 1979). Never above Bonferroni's."""
    _check(p)
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        highest = max(highest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = highest
    return adjusted


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Adjusted p-values that hold the false discovery rate (Benjamini & Hochberg 1995), for tests
    that are independent or depend on each other positively."""
    _check(p)
    adjusted, lowest = [0.0] * len(p), 1.0
    for rank, index in sorted(
        enumerate(sorted(range(len(p)), key=p.__getitem__), start=1), reverse=True
    ):
        lowest = min(lowest, len(p) / rank * p[index])
        adjusted[index] = lowest
    return adjusted


def _check(p: Sequence[float]) -> None:
    wrong = [one for one in p if not 0 <= one <= 1]
    if wrong:
        raise ValueError(f"expected p-values between 0 and 1, got {wrong[0]}")
