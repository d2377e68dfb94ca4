"""What became of every metric besides the pass rate: evidence in, verdicts out.

Rules:
1. A change is certain by evidence AND a minimum effect. Metrics that block share alpha with the
   pass rate; the others are a family of their own (Holm), for each side.
2. The least change and the margin of a share are in points; of an amount they are relative.
3. A metric without a better side changes; it never regresses.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from proofrig.comparisons.comparison import Effect, Terms, Word
from proofrig.comparisons.evidence import Change
from proofrig.comparisons.metrics import Measured
from proofrig.stats.intervals import Interval
from proofrig.stats.multiple import holm

MANY = 100  # times as many repeats: more than anybody runs
LEAST = 0.05  # the relative change of an amount that counts, where nobody says


def effects_of(found: Sequence[Change], levels: Mapping[str, float], terms: Terms) -> list[Effect]:
    """The effects of what was tested. `levels`: of the metrics that block, the level that each is
    held against; the others are one family."""
    rest = [one for one in found if one.name not in levels]
    worse = iter(holm([one.worse for one in rest]))
    better = iter(holm([one.improved for one in rest]))
    alone = terms.alpha / max(1, len(rest))  # what the first of a family is held against
    effects = []
    for one in found:
        if one.name in levels:
            scale = terms.alpha / levels[one.name]
            adjusted = min(1.0, one.worse * scale), min(1.0, one.improved * scale)
        else:
            adjusted = next(worse), next(better)
        verdict, says, needs = _verdict(one, adjusted, terms)
        level = levels.get(one.name, alone)
        if needs and level < one.finest and min(one.worse, one.improved) <= one.finest:
            needs = (
                f"its p is {one.finest:g}, the least that permutations show, and is held against "
                f"{level:.2g} here: a larger alpha would tell"
            )
        effects.append(
            Effect(
                metric=one.name,
                unit=one.unit,
                better=one.better,
                base=one.base,
                now=one.now,
                change=_bounded(one.at(terms.confidence)),
                p=one.worse,
                p_adjusted=adjusted[0],
                verdict=verdict,
                blocks=one.name in levels,
                says=says,
                needs=needs,
            )
        )
    return effects


def _bounded(change: Interval | None) -> Interval | None:
    """An interval whose ends are known: JSON knows no infinity."""
    if change is None or math.isinf(change.low) or math.isinf(change.high):
        return None
    return change


def regressed(one: Change, level: float, terms: Terms) -> bool:
    """Whether a metric is worse for certain at `level`."""
    return bool(one.better) and one.worse <= level and _counts(one.harm, _least(one, terms))


def _least(one: Change, terms: Terms) -> float:
    """The least change that counts, in the metric's unit."""
    given = terms.least_of(one.name)
    if one.unit == "share":
        return terms.min_effect if given is None else given
    return (LEAST if given is None else given) * abs(one.base)


def _margin(one: Change, terms: Terms) -> float:
    """The harm that is still "no worse", in the metric's unit."""
    if one.unit == "share" and terms.least_of(one.name) is None:
        return terms.margin
    return _least(one, terms)


def _counts(change: float, least: float) -> bool:
    return change > 0 and change >= least * (1 - 1e-9)


def _verdict(one: Change, adjusted: tuple[float, float], terms: Terms) -> tuple[Word, str, str]:
    """The verdict of a metric, what is to be said of it, and what it would take where it is
    open."""
    worse, better = (p <= terms.alpha for p in adjusted)
    least = _least(one, terms)
    if not one.better:
        moved = worse and _counts(abs(one.harm), least)
        return "inconclusive", "changed; that is neither better nor worse" if moved else "", ""
    if worse and _counts(one.harm, least):
        return "regressed", "", ""
    if better and _counts(-one.harm, least):
        return "improved", "", ""
    margin, most = _margin(one, terms), one.most_harm(terms.alpha)
    if most < margin or (most <= 0 and one.base == one.now):
        return "no worse", "", ""
    spare = margin - one.harm
    if math.isinf(most) or spare <= 0:
        return "inconclusive", "", "more repeats would tell a change from noise"
    times = max(2, math.ceil(((most - one.harm) / spare) ** 2))
    if times > MANY:
        return "inconclusive", "", f"even {MANY} times as many repeats would not tell"
    return "inconclusive", "", f"about {times} times as many repeats would tell"


def untested(measured: Iterable[Measured]) -> list[Effect]:
    """The effects of figures of which a run has one each."""
    return [
        Effect(
            metric=one.name,
            unit=one.unit,
            better=one.better,
            base=one.base,
            now=one.now,
            needs="one figure for a run is no evidence of a change; give it a gate with a bound",
        )
        for one in measured
    ]
