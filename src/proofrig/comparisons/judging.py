"""The verdict on the pass rate, from counts alone, with its words and what it would take.

Rules:
1. `cases: fixed` asks whether this very suite got worse (`stats/decision.py`); `sampled` whether
   new cases of its kind would do worse: then cases are the sample, and no single one decides.
2. Want of evidence is inconclusive. Then it is said how many repeats would do, if any would.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, variance

import msgspec

from proofrig.comparisons.comparison import Terms, Word
from proofrig.comparisons.evidence import Counts
from proofrig.stats.decision import SAFETY, decide
from proofrig.stats.equivalence import non_inferior
from proofrig.stats.intervals import Interval
from proofrig.stats.paired import clustered_difference, fixed_difference, sign_flip
from proofrig.stats.per_case import Broken
from proofrig.stats.power import (
    Suite,
    minimum_detectable_effect,
    repeats_needed,
    required_cases,
    suite_mde,
)

MOST = 64  # more repeats than anybody runs


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The pass rate, judged at `alpha`: the mean rates over cases, the change with its interval, a
    one-sided p for worse, the cases' own tests, what drop could be seen, and what it would take."""

    verdict: Word
    alpha: float
    base: float
    now: float
    change: Interval | None
    p: float
    cases: Broken
    mde: float | None
    repeats_needed: int | None = None
    needs: str = ""

    def says(self) -> str:
        """The figures in one line."""
        text = f"pass rate {100 * self.now:.1f} %, was {100 * self.base:.1f} %"
        moved = self.now - self.base
        sign, word = (-1, "less") if moved < 0 else (1, "more")
        text += f": {100 * abs(moved):.1f} points {word}"
        if self.change is not None:
            low, high = sorted((sign * self.change.low, sign * self.change.high))
            text += f" ({minus(100 * low)} to {minus(100 * high)}, p {self.p:.3g})"
        broke = sum(self.cases.flags)
        return text + (f"; {broke:,} case{'s' if broke > 1 else ''} broke" if broke else "")


def minus(points: float) -> str:
    """Points with a minus sign that is one."""
    return f"{points:.1f}".replace("-", "\N{MINUS SIGN}")


def judge(base: Sequence[Counts], now: Sequence[Counts], terms: Terms, alpha: float) -> Judged:
    """The verdict on (measured, passed) per case, at a false-alarm level of `alpha`; at least one
    case is measured in both arms."""
    rates = [(x / b, y / n) for (b, x), (n, y) in zip(base, now, strict=True) if b and n]
    return (_sampled if terms.cases == "sampled" else _fixed)(base, now, rates, (terms, alpha))


Rates = Sequence[tuple[float, float]]


def _fixed(
    base: Sequence[Counts], now: Sequence[Counts], rates: Rates, how: tuple[Terms, float]
) -> Judged:
    terms, alpha = how
    worse = decide(base, now, alpha=alpha, min_effect=terms.min_effect)
    better = decide(now, base, alpha=alpha, min_effect=terms.min_effect)
    verdict: Word = "inconclusive"
    if worse.regressed:
        verdict = "regressed"
    elif better.regressed and better.fell >= terms.min_effect:
        verdict = "improved"
    elif non_inferior(base, now, terms.margin) <= alpha:
        verdict = "no worse"
    more = _more_repeats(base, now, terms, alpha) if verdict == "inconclusive" else None
    return Judged(
        verdict=verdict,
        alpha=alpha,
        base=fmean(x for x, _ in rates),
        now=fmean(y for _, y in rates),
        change=fixed_difference(base, now, terms.confidence),
        p=worse.p,
        cases=worse.cases,
        mde=suite_mde(base, now, alpha=alpha, power=terms.power),
        repeats_needed=more,
        needs=_needs(more, base, terms) if verdict == "inconclusive" else "",
    )


def _more_repeats(
    base: Sequence[Counts], now: Sequence[Counts], terms: Terms, alpha: float
) -> int | None:
    """How many more repeats of each case would decide it: as many as let a drop by the margin be
    seen; where it can be already, as many as would do if the rates stay as they are."""
    planned = repeats_needed(
        base, now, drop=terms.margin, alpha=alpha, power=terms.power, most=MOST
    )
    if planned != 0:
        return planned
    more = 1
    while more <= MOST:
        grown = [(n + more, round(y * (n + more) / n)) if n else (n, y) for n, y in now]
        worse = decide(base, grown, alpha=alpha, min_effect=terms.min_effect).regressed
        if worse or non_inferior(base, grown, terms.margin) <= alpha:
            return more
        more *= 2
    return None


def _needs(more: int | None, base: Sequence[Counts], terms: Terms) -> str:
    margin = f"{100 * terms.margin:g} points"
    if more is None:
        few = max(n for n, _ in base)
        return (
            f"more repeats of this run alone would not tell a drop of {margin}: the base has "
            f"{few} trials of a case at most; add repeats to both, or cases"
        )
    return f"{more} more repeat{'s' if more > 1 else ''} of each case would tell a drop of {margin}"


def _sampled(
    base: Sequence[Counts], now: Sequence[Counts], rates: Rates, how: tuple[Terms, float]
) -> Judged:
    terms, alpha = how
    changes = [y - x for x, y in rates]
    change = fmean(changes)
    worse, better = (
        sign_flip(changes, alternative=side).mid_p <= SAFETY * alpha for side in ("less", "greater")
    )
    several = len(changes) > 1
    verdict: Word = "inconclusive"
    if worse and -change >= terms.min_effect:
        verdict = "regressed"
    elif better and change >= terms.min_effect:
        verdict = "improved"
    elif several and clustered_difference(changes, 1 - 2 * alpha).low > -terms.margin:
        verdict = "no worse"
    needs, mde = "", None
    if several:
        suite, power = Suite(omega2=variance(changes)), terms.power
        mde = minimum_detectable_effect(
            suite, len(changes), alpha=alpha, power=power, two_sided=False
        )
        cases = required_cases(suite, terms.margin, alpha=alpha, power=power, two_sided=False)
        needs = (
            f"about {math.ceil(cases):,} cases like these would tell a drop of "
            f"{100 * terms.margin:g} points"
        )
    return Judged(
        verdict=verdict,
        alpha=alpha,
        base=fmean(x for x, _ in rates),
        now=fmean(y for _, y in rates),
        change=clustered_difference(changes, terms.confidence) if several else None,
        p=sign_flip(changes).mid_p,
        cases=decide(base, now, alpha=alpha).cases,
        mde=None if mde is None else min(1.0, mde),
        needs=needs if verdict == "inconclusive" else "",
    )
