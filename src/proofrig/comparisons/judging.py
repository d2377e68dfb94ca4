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
WHOLE = 0.999  # of a pass rate: margins above are this one
NO_MARGIN = "with a margin of 0 points no drop can be ruled out; give `margin` a few points"


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
        size = f"{100 * abs(moved):.1f}"
        text += ": no change" if size == "0.0" else f": {size} points {word}"
        if self.change is not None:
            low, high = sorted((sign * self.change.low, sign * self.change.high))
            text += f" ({minus(100 * low)} to {minus(100 * high)}, {chance(self.p)})"
        broke = sum(self.cases.flags)
        return text + (f"; {broke:,} case{'s' if broke > 1 else ''} broke" if broke else "")


def chance(p: float) -> str:
    """A p-value as people read it."""
    return f"p {p:.2g}" if p >= 0.001 else "p < 0.001"


def minus(points: float) -> str:
    """Points with a minus sign that is one; none before 0."""
    return f"{round(points, 1) + 0.0:.1f}".replace("-", "\N{MINUS SIGN}")


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
    elif _ruled_out(base, now, terms.margin) <= alpha:
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


def _ruled_out(base: Sequence[Counts], now: Sequence[Counts], margin: float) -> float:
    """The p that the drop is `margin` or more. Without a margin nothing less than an improvement
    rules it out; and no drop is more than the whole."""
    return non_inferior(base, now, min(margin, WHOLE)) if margin > 0 else 1.0


def _more_repeats(
    base: Sequence[Counts], now: Sequence[Counts], terms: Terms, alpha: float
) -> int | None:
    """How many more repeats of each case would decide it: as many as let a drop by the margin be
    seen; where it can be already, as many as would do if the rates stay as they are."""
    if terms.margin <= 0:
        return None
    planned = repeats_needed(
        base, now, drop=terms.margin, alpha=alpha, power=terms.power, most=MOST
    )
    if planned != 0:
        return planned
    more = 1
    while more <= MOST:
        grown = [(n + more, round(y * (n + more) / n)) if n else (n, y) for n, y in now]
        worse = decide(base, grown, alpha=alpha, min_effect=terms.min_effect).regressed
        if worse or _ruled_out(base, grown, terms.margin) <= alpha:
            return more
        more *= 2
    return None


def _needs(more: int | None, base: Sequence[Counts], terms: Terms) -> str:
    if terms.margin <= 0:
        return NO_MARGIN
    margin = f"{100 * terms.margin:g} points"
    if more is None:
        few = max(n for n, _ in base)
        return (
            f"more repeats of this run alone would not tell a drop of {margin}: the base has "
            f"{few} trial{'s' if few > 1 else ''} of a case at most; add repeats to both, or cases"
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
    # With a case more that went either way: cases that all agree have a scatter too.
    suite = Suite(omega2=variance([*changes, change - 1, change + 1]))
    cases = decide(base, now, alpha=alpha).cases
    mde = minimum_detectable_effect(
        suite, len(changes), alpha=alpha, power=terms.power, two_sided=False
    )
    return Judged(
        verdict=verdict,
        alpha=alpha,
        base=fmean(x for x, _ in rates),
        now=fmean(y for _, y in rates),
        change=clustered_difference(changes, terms.confidence) if several else None,
        p=sign_flip(changes).mid_p,
        cases=msgspec.structs.replace(cases, flags=[False] * len(cases.flags)),
        mde=min(1.0, mde),
        needs=_needs_cases(changes, terms, alpha) if verdict == "inconclusive" else "",
    )


def _needs_cases(changes: Sequence[float], terms: Terms, alpha: float) -> str:
    """How many cases would do: with their scatter, and that of one more either way (as in
    `clustered_difference`), n solves n^2 = worth (scatter n + 2)."""
    have = len(changes)
    if terms.margin <= 0:
        return NO_MARGIN
    if have < 2:
        return "one case says nothing of others like it; add cases"
    margin = f"{100 * terms.margin:g} points"
    worth = required_cases(
        Suite(omega2=1.0), terms.margin, alpha=alpha, power=terms.power, two_sided=False
    )
    alone = worth * variance(changes)
    needed = math.ceil((alone + math.sqrt(alone**2 + 8 * worth)) / 2)
    if needed <= have:
        return f"the change is too near to {margin} for {have:,} cases to tell; add cases"
    return f"about {needed:,} cases like these would tell a drop of {margin}"
