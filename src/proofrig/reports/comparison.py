"""A comparison of two runs, ready to be shown: its words, its order, and what it takes to decide.

Rules:
1. Nothing is judged here: every verdict, interval and p comes from the `Comparison`.
2. What decides comes first, then what also changed, then the rest: the same in every form.
3. A share changes in points; everything else by its amount, and relative to the base.
4. A change that was seen and not proved says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from proofrig.comparisons.comparison import Behaviour, CaseChange, Comparison, Effect, Word
from proofrig.comparisons.gate import State
from proofrig.reports.advice import advice_on
from proofrig.reports.names import named
from proofrig.reports.words import UNMEASURED, amount, clean, line, percent, plural, signed

ROWS, CASES, BEHAVIOURS, LINES = 60, 30, 30, 60  # of a page
FEW = 6  # of the metrics that did not change stand among the others
DECIDES, MOVED, NEUTRAL, QUIET, SINGLE = (
    "What decides",
    "What also changed",
    "Neither better nor worse by itself",
    "No change proved",
    "One figure a run, which proves nothing",
)
TONES: dict[Word, Literal["good", "bad", "unsure"]] = {
    "regressed": "bad",
    "improved": "good",
    "no worse": "good",
    "inconclusive": "unsure",
    "unreliable": "unsure",
}
MARKS: dict[str, State] = {"good": "pass", "bad": "fail", "unsure": "inconclusive"}
MEANING: dict[Word, str] = {
    "regressed": "proved to be worse",
    "improved": "proved to be better",
    "no worse": "not worse by more than the margin, which is proved",
    "inconclusive": "neither a change nor its absence is proved",
    "unreliable": "the two were not measured alike, so nothing can be said",
}
# Compared by the trial, as everything is that has no scenario: the figures of these names are sums.
_EACH = frozenset({"cost", "tokens", "llm_calls", "tool_calls", "retries", "denied"})
_AMOUNTS = ("cost", "tokens", "calls")  # kinds of behaviour that are metrics, too
_ORDER: tuple[Word, ...] = ("regressed", "unreliable", "improved", "inconclusive", "no worse")
_KINDS = {
    "tool_new": "New tool",
    "tool_dropped": "Tool dropped",
    "trajectory": "Other steps",
    "finding_new": "New finding",
    "finding_gone": "Finding gone",
}


@dataclass(frozen=True, slots=True)
class Effects:
    """The metrics in the order of rule 2. Of those that do not decide, `neutral`: neither more nor
    less is better; `single`: a run has one figure of it, so that no change has an interval."""

    deciding: list[Effect]
    moved: list[Effect]
    neutral: list[Effect]
    rest: list[Effect]
    single: list[Effect]


@dataclass(frozen=True, slots=True)
class Cases:
    """The cases whose outcome changed, the greatest change first. `broken` are in no other list."""

    broken: list[CaseChange]
    worse: list[CaseChange]
    better: list[CaseChange]

    @property
    def count(self) -> int:
        """How many changed."""
        return len(self.broken) + len(self.worse) + len(self.better)


def interval_of(held: Comparison) -> str:
    """What the intervals of the changes are: `90 % interval`."""
    return f"{100 * held.terms.confidence:.3g} % interval"


def base_of(comparison: Comparison) -> str:
    """What it is held against, on one line."""
    return line(comparison.base, 80) or "the base"


def title(word: Word) -> str:
    """`No worse`."""
    return word.capitalize()


def mark(word: Word) -> State:
    """The sign of a verdict: that of a gate."""
    return MARKS[TONES[word]]


def fact(comparison: Comparison) -> str:
    """What it says, without its verdict, which stands before it."""
    said, word = line(comparison.says, 400), f"{comparison.verdict}:"
    said = said[len(word) :].strip() if said.lower().startswith(word) else said
    return said or MEANING[comparison.verdict]


def metric(effect: Effect) -> str:
    """What a metric is called, with the scenario that it was measured in."""
    said = named(effect.metric).title
    return f"{said} of a trial" if effect.metric in _EACH else said


def effects_of(comparison: Comparison) -> Effects:
    """The metrics, grouped and in order."""
    ranked = sorted(comparison.effects, key=lambda one: _ORDER.index(one.verdict))
    others = [one for one in ranked if not one.blocks]
    tested = [one for one in others if one.change is not None]
    directed = [one for one in tested if one.better]
    return Effects(
        deciding=[one for one in ranked if one.blocks],
        moved=[one for one in directed if one.verdict in ("regressed", "improved")],
        neutral=[one for one in tested if not one.better],
        rest=[one for one in directed if one.verdict not in ("regressed", "improved")],
        single=sorted((one for one in others if one.change is None), key=_untested),
    )


def value(effect: Effect, figure: float | None) -> str:
    """A figure of the metric in its unit."""
    return amount(figure, effect.unit)


def change(effect: Effect) -> str:
    """`−12.8 points`, `+$0.0004 (+12.0 %)`; of what only one side measured, which."""
    if (moved := difference(effect)) is None:
        return _one_sided(effect)
    if effect.unit == "share":
        said = signed(moved, f"{abs(100 * moved):.1f}")
        return "no change" if said == "0" else f"{said} points"
    said, share = signed(moved, amount(abs(moved), effect.unit)), relative(effect, moved)
    by = "0" if share is None else signed(share, _digits(share))
    if by == "0":
        return "no change" if said == "0" else said
    return f"{by} %" if said == "0" else f"{said} ({by} %)"


def short_change(effect: Effect) -> tuple[str, str]:
    """The change and its interval for a narrow place: relative where that can be said, the unit
    once."""
    moved = difference(effect)
    share = None if moved is None else relative(effect, moved)
    if share is None or effect.unit == "share":
        return change(effect), span(effect).replace(" points", "")
    said = signed(share, _digits(share))
    return "no change" if said == "0" else f"{said} %", span(effect).replace(" %", "")


def span(effect: Effect) -> str:
    """The interval of the change, on the scale that `relative` gives; "" where there is none."""
    if effect.change is None:
        return ""
    ends = (effect.change.low, effect.change.high)
    shares = [relative(effect, end) for end in ends]
    if None in shares:
        unit, said = "", [signed(end, amount(abs(end), effect.unit)) for end in ends]
    else:
        unit = " points" if effect.unit == "share" else " %"
        said = [signed(share, _digits(share)) for share in shares if share is not None]
    if all(map(isfinite, ends)):
        return f"{said[0]} to {said[1]}{unit}"
    if not any(map(isfinite, ends)):
        return "unbounded"
    return f"{said[0]}{unit} or more" if isfinite(ends[0]) else f"{said[1]}{unit} or less"


def difference(effect: Effect) -> float | None:
    """How far it moved, in its unit; None where one side was not measured."""
    if effect.change is not None:
        return effect.change.estimate
    return None if effect.base is None or effect.now is None else effect.now - effect.base


def relative(effect: Effect, moved: float) -> float | None:
    """A change of the metric in percent: points of a share, else of the base; None for what has no
    base to be relative to."""
    if effect.unit == "share":
        return 100 * moved
    return 100 * moved / abs(effect.base) if effect.base else None


def proof(effect: Effect) -> str:
    """`p 0.012`, the adjusted one where there is one; "" where it proves nothing, since it is of a
    change for the worse."""
    p = effect.p if effect.p_adjusted is None else effect.p_adjusted
    if p is None or effect.verdict == "no worse" or (effect.verdict == "improved" and p > 0.5):
        return ""
    return p_value(p)


def p_value(p: float) -> str:
    """A p as a person would write it."""
    return "p < 0.001" if p < 0.001 else f"p {p:.3f}" if p < 0.1 else f"p {p:.2f}"


def cases_of(comparison: Comparison) -> Cases:
    """The cases that changed."""
    named = {one.case for one in comparison.broken}
    flips = [one for one in comparison.flips if one.case not in named]
    return Cases(
        broken=sorted(comparison.broken, key=_drop),
        worse=sorted((one for one in flips if moved(one) < 0), key=_drop),
        better=sorted((one for one in flips if moved(one) > 0), key=_drop, reverse=True),
    )


def moved(one: CaseChange) -> float:
    """How its pass rate changed, in [-1, 1]; 0 where one side was not measured."""
    before, after = rates(one)
    return 0.0 if before is None or after is None else after - before


def rates(one: CaseChange) -> tuple[float | None, float | None]:
    """Its pass rates, before and after; None: not measured."""
    before = one.base_passed / one.base_measured if one.base_measured else None
    return before, one.now_passed / one.now_measured if one.now_measured else None


def counts(one: CaseChange) -> tuple[str, str]:
    """`19/20` and `0/4`."""
    sides = ((one.base_passed, one.base_measured), (one.now_passed, one.now_measured))
    before, after = (f"{passed}/{n}" if n else UNMEASURED for passed, n in sides)
    return before, after


def kind_of(one: Behaviour) -> str:
    """The kind of a change of behaviour in words."""
    return line(_KINDS.get(one.kind) or one.kind.replace("_", " ").capitalize(), 60)


def behaviour_of(comparison: Comparison) -> list[Behaviour]:
    """How it acts otherwise, but for amounts that stand among the metrics that changed."""
    moved = effects_of(comparison)
    listed = {one.metric for one in (*moved.deciding, *moved.moved)}
    every = comparison.behaviour
    return [one for one in every if one.kind not in _AMOUNTS or one.name not in listed]


def told(one: Behaviour) -> str:
    """What changed, with its proof; without its kind, which stands before it."""
    said = line(one.says, 300) or line(one.name, 120)
    said = said.removeprefix(f"{kind_of(one).lower()}: ")
    if one.p is not None and one.certain and one.kind not in _AMOUNTS:  # p of an amount: of worse
        said += f" ({p_value(one.p)})"
    return said


def advice_of(one: Behaviour) -> str:
    """What to do about a finding that is new; else ""."""
    return advice_on(one.name) if one.kind == "finding_new" else ""


def some(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    listed = ", ".join(line(name, 80) for name in names[:most])
    return f"{listed} and {len(names) - most} more" if len(names) > most else listed


def to_decide(comparison: Comparison) -> list[str]:
    """What it would take, as sentences; empty when that is not known."""
    found = []
    more = comparison.repeats_needed
    if more:
        found.append(f"{plural(more, 'more repeat')} of each case would decide it.")
    for one in effects_of(comparison).deciding:
        if one.needs:
            found.append(f"{metric(one)}: {line(one.needs, 300)}")
    if comparison.verdict == "inconclusive" and (power := power_of(comparison)):
        found.append(power)
    return found


def power_of(comparison: Comparison) -> str:
    """The least drop that it would have seen, in a sentence; "" when that is not known."""
    if comparison.mde is None:
        return ""
    least, share = f"{100 * comparison.mde:.1f} points", _share(comparison.terms.power)
    return f"With this many cases and repeats, a drop of {least} is seen {share} of the time."


def terms_of(comparison: Comparison) -> str:
    """The terms in a sentence."""
    terms = comparison.terms
    cases = "this very suite" if terms.cases == "fixed" else "new cases like these"
    return (
        f"Judged for {cases}, over {plural(comparison.cases, 'case')}: false alarms at most "
        f"{_share(terms.alpha)} in all; a drop counts from {_points(terms.min_effect)} on, and one "
        f"within {_points(terms.margin)} is no worse."
    )


def headings(effects: Effects) -> list[tuple[str, list[Effect]]]:
    """The groups with their titles, but for empty ones."""
    groups = [
        (DECIDES, effects.deciding),
        (MOVED, effects.moved),
        (NEUTRAL, effects.neutral),
        (QUIET, effects.rest),
        (SINGLE, effects.single),
    ]
    return [(name, members) for name, members in groups if members]


def open_of(groups: list[tuple[str, list[Effect]]]) -> list[tuple[str, list[Effect]]]:
    """The groups that a page shows at once; long ones that say that nothing is proved unfold."""
    return [
        (title, members)
        for title, members in groups
        if title not in (QUIET, SINGLE) or len(members) <= FEW
    ]


def case_id(label: str) -> str:
    """The case of a label, which in a scenario is `<case>@<scenario>`."""
    return label.partition("@")[0]


def flaky_of(comparison: Comparison) -> list[str]:
    """The cases that are flaky, cleaned; what broke is no longer."""
    broken = {one.case for one in comparison.broken}
    return [clean(name) for name in comparison.flaky if name not in broken]


def _one_sided(effect: Effect) -> str:
    if effect.base is None and effect.now is None:
        return UNMEASURED
    return "not measured in the base" if effect.base is None else "not measured now"


def _untested(effect: Effect) -> tuple[bool, float]:
    """What moved most first, what one side has not measured last."""
    moved = difference(effect)
    share = 0.0 if moved is None else relative(effect, moved)
    return moved is None, -abs(share) if share is not None else -abs(moved or 0.0)


def _drop(one: CaseChange) -> tuple[float, str]:
    return moved(one), one.case


def _digits(share: float) -> str:
    if not isfinite(share):
        return "unbounded"
    return f"{abs(share):,.0f}" if abs(share) >= 99.95 else f"{abs(share):.1f}"


def _points(share: float) -> str:
    return f"{100 * share:g} point{'' if share == 0.01 else 's'}"


def _share(share: float) -> str:
    return percent(share).replace(".0 %", " %")
