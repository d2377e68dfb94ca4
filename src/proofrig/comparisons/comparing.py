"""Holds one sample against another: regressed, improved, no worse, inconclusive, or unreliable.

    measured alike?  ──no──▶ unreliable
      │ yes
    worse for certain, or a case broke  ──▶ regressed
    better for certain                  ──▶ improved
    a drop by the margin is ruled out   ──▶ no worse
    else                                ──▶ inconclusive, with what it would take

Rules:
1. The pass rate is decided by `stats/decision.py`, on the cases that both samples have. Metrics
   that block share alpha with it (Holm): one that regressed suffices, and one that is open keeps
   the whole open.
2. Whether two samples should be compared says `comparable.refusal`; here it is done as far as it
   can be.
"""

from __future__ import annotations

from dataclasses import dataclass

from proofrig.comparisons.behaviour import behaviour_of
from proofrig.comparisons.comparable import Arms, aligned, differences, impossible
from proofrig.comparisons.comparison import CaseChange, Comparison, Effect, Terms, Word
from proofrig.comparisons.effects import effects_of, regressed, untested
from proofrig.comparisons.evidence import Change, Counts, changes, passes
from proofrig.comparisons.judging import Judged, judge
from proofrig.comparisons.metrics import measures
from proofrig.comparisons.reliability import doubts
from proofrig.comparisons.sample import Sample
from proofrig.comparisons.sampling import known_tools
from proofrig.errors import UsageError
from proofrig.stats.decision import decide
from proofrig.stats.flaky import flaky_mass

ACCURACY = "accuracy"
FLAKY = 0.95  # posterior mass of a rate that is neither near 0 nor near 1
NO_TERMS = Terms()


@dataclass(frozen=True, slots=True)
class _Measured:
    """What both samples have, and what was found of it."""

    arms: Arms
    base: list[Counts]
    now: list[Counts]
    found: list[Change]
    terms: Terms


def compare(base: Sample, now: Sample, terms: Terms = NO_TERMS) -> Comparison:
    """What holding `now` against `base` comes to. Raises UsageError where they have nothing in
    common; whether the conditions were the same is for `comparable.refusal` to say."""
    if said := impossible(base, now):
        raise UsageError(said)
    arms = aligned(base, now)
    counts = passes(arms)
    comparison = Comparison(
        run=now.runs[-1],
        base=base.runs[-1],
        verdict="unreliable",
        says="",
        why=doubts(base, now, arms, terms),
        differences=differences(base, now),
        left_out=arms.left_out,
        cases=sum(1 for (b, _), (n, _) in zip(*counts, strict=True) if b and n),
        terms=terms,
    )
    if not comparison.cases:
        comparison.says = "no case was measured in both"
        return comparison
    held = _Measured(arms, *counts, changes(arms), terms)
    judged, levels = _blocking(held)
    effects = effects_of(held.found, levels, terms)
    comparison.effects = [_accuracy(judged, terms), *effects, *untested(measures(base, now))]
    comparison.behaviour = behaviour_of(arms, (base, now), effects, terms)
    _cases(comparison, held, judged)
    comparison.mde, comparison.says = judged.mde, judged.says()
    if not comparison.why:
        _conclude(comparison, judged)
    comparison.why += _about(base, now)
    return comparison


def _blocking(held: _Measured) -> tuple[Judged, dict[str, float]]:
    """The pass rate judged, and the level of each other metric that blocks, by Holm's method: what
    was rejected leaves its share to the others."""
    terms = held.terms
    others = {one.name: one for one in held.found if terms.least_of(one.name) is not None}
    left, levels, judged = {ACCURACY, *others}, dict[str, float](), None
    while True:
        level = terms.alpha / max(1, len(left))
        gone = {name for name in left & others.keys() if regressed(others[name], level, terms)}
        if ACCURACY in left:
            judged = judge(held.base, held.now, terms, level)
            gone |= {ACCURACY} if judged.verdict == "regressed" else set()
        levels |= dict.fromkeys(left & others.keys(), level)
        left -= gone
        if not gone or not left:
            assert judged is not None  # the pass rate is in the first round
            return judged, levels


def _accuracy(judged: Judged, terms: Terms) -> Effect:
    """The pass rate as a metric."""
    return Effect(
        metric=ACCURACY,
        unit="share",
        better="higher",
        base=judged.base,
        now=judged.now,
        change=judged.change,
        p=judged.p,
        p_adjusted=min(1.0, judged.p * terms.alpha / judged.alpha),
        verdict=judged.verdict,
        blocks=True,
        needs=judged.needs,
    )


def _conclude(comparison: Comparison, judged: Judged) -> None:
    """The verdict of the whole: that of the pass rate, unless another metric that blocks regressed
    or is open."""
    others = [effect for effect in comparison.effects[1:] if effect.blocks]
    worse = [effect.metric for effect in others if effect.verdict == "regressed"]
    still = [effect.metric for effect in others if effect.verdict == "inconclusive"]
    verdict: Word = judged.verdict
    if worse:
        verdict = "regressed"
        comparison.says += f"; {', '.join(worse)} regressed"
    elif still and verdict != "regressed":
        verdict = "inconclusive"
        comparison.says += f"; {', '.join(still)} cannot be told"
    comparison.verdict = verdict
    if verdict == "inconclusive":
        comparison.repeats_needed = judged.repeats_needed


def _cases(comparison: Comparison, held: _Measured, judged: Judged) -> None:
    """The cases that broke, that changed, and that are flaky."""
    level = held.terms.alpha
    back = decide(held.now, held.base, alpha=level).cases
    for index, label in enumerate(held.arms.labels):
        (b, x), (n, y) = held.base[index], held.now[index]
        flaky = any(
            0 < passed < many and flaky_mass(passed, many) > FLAKY
            for many, passed in ((b, x), (n, y))
        )
        if flaky:
            comparison.flaky.append(label)
        if not b or not n:
            continue
        change = CaseChange(
            case=label,
            base_passed=x,
            base_measured=b,
            now_passed=y,
            now_measured=n,
            p=judged.cases.p[index],
            broken=judged.cases.flags[index],
            fixed=back.flags[index],
            flaky=flaky,
        )
        if change.broken:
            comparison.broken.append(change)
        if (
            change.broken
            or change.fixed
            or min(change.p, back.p[index]) <= level
            or (2 * x > b and 2 * y < n)
            or (2 * x < b and 2 * y > n)
        ):
            comparison.flips.append(change)


def _about(base: Sample, now: Sample) -> list[str]:
    """What else a reader should know."""
    said = []
    if len(base.runs) > 1:
        said.append(f"against {len(base.runs)} pooled runs, the newest {base.runs[-1]}")
    for name, sample in (("the base", base), ("this run", now)):
        unknown = _unknown(sample)
        if unknown:
            said.append(
                f"of {unknown:,} trials of {name} the tools are not known: what the model answered "
                "was not kept"
            )
    return said


def _unknown(sample: Sample) -> int:
    return sum(not known_tools(trial) for trial in sample.trials)
