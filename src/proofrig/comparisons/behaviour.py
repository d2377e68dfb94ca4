"""How the agent acts otherwise, whatever its pass rate: steps, tools, cost, findings.

Rules:
1. Everything is compared within cases, by permuted labels (findings: exactly, given each case's
   total). Half of alpha is for the steps as a whole; tools and findings share the other (Holm).
2. "Seen" and "certain" are told apart: a tool that nobody called before is told even from one
   trial; certain is what holds at alpha.
3. A trial whose tools are not all known says nothing of tools. Of steps nothing can be said where
   each arm has one trial of a case: two single trials are as far apart with their labels changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import msgspec

from proofrig.comparisons.comparable import Arms
from proofrig.comparisons.comparison import Behaviour, Effect, Terms
from proofrig.comparisons.sample import Sample, TrialSample
from proofrig.comparisons.sampling import known_tools
from proofrig.stats.multiple import holm
from proofrig.stats.paired import stratified_exact
from proofrig.stats.permutation import permute, profile_shift

BEGIN, END, OTHER = "^", "$", "..."
FEATURES = 48  # of a profile; the rarest are one
TOOLS = 40  # so that p, which permutations cannot make as small as they like, can hold for all
DRAWS = 499  # of labels, for the steps as a whole: their p can be as small as 1/500
APART = 0.02  # of a distance beyond chance, or of a tool's share of trials: less is nothing
SHOWN = 10
_AMOUNTS = {"cost": "cost", "tokens": "tokens", "llm_calls": "calls", "tool_calls": "calls"}


def behaviour_of(
    arms: Arms, samples: tuple[Sample, Sample], effects: Sequence[Effect], terms: Terms
) -> list[Behaviour]:
    """What changed in how the agent acts, what is certain first. `samples`: base and now;
    `effects`: of the amounts, which need no second test."""
    rows = _Rows(arms)
    families = [*_trajectory(rows)], [*_tools(rows), *_findings(arms, *samples)]
    told = []
    for family in families:
        adjusted = iter(holm([one.p for one, _ in family if one.p is not None]))
        for one, notable in family:  # what was not tested takes nothing from the others
            certain = one.p is not None and next(adjusted) <= terms.alpha / 2
            if notable and (certain or one.kind not in ("trajectory", "tool_use")):
                told.append(msgspec.structs.replace(one, certain=certain))
    told += _amounts(effects, terms)
    return sorted(told, key=lambda one: not one.certain)


Found = Iterator[tuple[Behaviour, bool]]  # what was tested, and whether it is worth telling


class _Rows:
    """The trials that were measured and whose tools are known, of the cases where both arms have
    such."""

    def __init__(self, arms: Arms) -> None:
        self.labels: list[str] = []
        self.trials: list[TrialSample] = []
        self.case: Any = []
        self.arm: Any = []
        for label, before, after in zip(arms.labels, arms.base, arms.now, strict=True):
            base, now = ([t for t in side if _usable(t)] for side in (before, after))
            if base and now:
                self.trials += [*base, *now]
                self.case += [len(self.labels)] * (len(base) + len(now))
                self.arm += [False] * len(base) + [True] * len(now)
                self.labels.append(label)


def _usable(trial: TrialSample) -> bool:
    return trial.passed is not None and known_tools(trial)


def steps_of(tools: Sequence[str]) -> Counter[tuple[str, ...]]:
    """The bag of what a trial did: its tools, and each with the next, the begin and the end of the
    trial included."""
    return Counter([*((tool,) for tool in tools), *pairwise([BEGIN, *tools, END])])


def _trajectory(rows: _Rows) -> Found:
    """Whether the agent takes other steps: how far apart the mean bags of both arms are."""
    if not any(trial.tools for trial in rows.trials):
        return
    seen: Counter[tuple[str, ...]] = Counter()
    for trial in rows.trials:
        seen.update(steps_of(trial.tools).keys())
    place = {step: at for at, (step, _) in enumerate(seen.most_common(FEATURES - 1))}
    width = len(place) + 1

    @cache
    def profile(tools: tuple[str, ...]) -> list[float]:
        bag, shares = steps_of(tools), [0.0] * width
        for step, count in bag.items():
            shares[place.get(step, width - 1)] += count / bag.total()
        return shares

    profiles: Any = [profile(trial.tools) for trial in rows.trials]
    shift = profile_shift(profiles, rows.case, rows.arm, draws=DRAWS)
    beyond = (shift.by_case - shift.chance_by_case).tolist()
    far = sorted(zip(beyond, shift.cases.tolist(), strict=True), reverse=True)
    found = Behaviour(
        kind="trajectory",
        says=f"other steps: distance {shift.distance:.2f} where chance makes {shift.chance:.2f}",
        distance=shift.distance,
        p=shift.p,
        cases=tuple(rows.labels[case] for away, case in far[:SHOWN] if away > APART),
    )
    yield found, shift.distance - shift.chance >= APART


def _tools(rows: _Rows) -> Found:
    """Tools whose share of trials changed: newly used, dropped, or used more or less often."""
    used = [frozenset(trial.tools) for trial in rows.trials]
    counts = Counter(tool for tools in used for tool in tools)
    # By name where as many trials call them: a set's order is another one in each process.
    every = sorted(counts, key=lambda tool: (-counts[tool], tool))
    tools = every[:TOOLS]
    if not tools:
        return
    yield from _rare(rows, used, every[TOOLS:])
    values: Any = [[float(tool in mine) for tool in tools] for mine in used]
    done = permute(values, rows.case, rows.arm)
    many = [sum(arm == side for arm in rows.arm) for side in (False, True)]
    for column, tool in enumerate(tools):
        hits: tuple[list[int], list[int]] = ([], [])
        for mine, case, arm in zip(used, rows.case, rows.arm, strict=True):
            if tool in mine:
                hits[arm].append(case)
        before, after = (len(side) for side in hits)
        p = float(done.p_two[column])
        of = f"{after} of {many[1]} trials"
        if not before:
            kind, says = "tool_new", f"{tool} is called in {of}, and was called in none"
        elif not after:
            kind = "tool_dropped"
            says = f"{tool} is called in none of {many[1]} trials, was in {before} of {many[0]}"
        else:
            kind, says = "tool_use", f"{tool} is called in {of}, was in {before} of {many[0]}"
        more = after * many[0] > before * many[1]
        cases = tuple(rows.labels[case] for case, _ in Counter(hits[more]).most_common(SHOWN))
        notable = kind != "tool_use" or abs(float(done.effect[column])) >= APART
        yield Behaviour(kind=kind, name=tool, says=says, p=p, cases=cases), notable


def _rare(rows: _Rows, used: Sequence[frozenset[str]], tools: Sequence[str]) -> Found:
    """Tools beyond the most used ones that one arm alone called: told together, and not tested."""
    arms: tuple[set[str], set[str]] = (set(), set())
    for mine, arm in zip(used, rows.arm, strict=True):
        arms[arm].update(mine)
    for kind, own, other, words in (
        ("tool_new", arms[1], arms[0], "called in no trial before"),
        ("tool_dropped", arms[0], arms[1], "called in no trial any more"),
    ):
        names = [tool for tool in tools if tool in own and tool not in other]
        if not names:
            continue
        many = f"{len(names):,} seldom used tool{'s' if len(names) > 1 else ''}"
        more = ", ..." if len(names) > SHOWN else ""
        says = f"{many}, {words}: {', '.join(names[:SHOWN])}{more}"
        yield Behaviour(kind=kind, says=says), True


def _findings(arms: Arms, base: Sample, now: Sample) -> Found:
    """Kinds of findings that a case has and had not, or had and has not."""
    trials: dict[str, tuple[int, int]] = {}
    for before, after in zip(arms.base, arms.now, strict=True):
        many = trials.get(before[0].case, (0, 0))
        trials[before[0].case] = many[0] + len(before), many[1] + len(after)
    trials[""] = (len(base.runs), len(now.runs))
    kinds = {
        kind for sample in (base, now) for of_case in sample.findings.values() for kind in of_case
    }
    for kind in sorted(kinds):
        was, has = (_of_kind(sample.findings, kind, trials) for sample in (base, now))
        yield from _turned("finding_new", kind, (was, has), trials)
        yield from _turned("finding_gone", kind, (was, has), trials)


def _of_kind(
    findings: Mapping[str, Mapping[str, int]], kind: str, cases: Mapping[str, object]
) -> dict[str, int]:
    return {
        case: kinds[kind] for case, kinds in findings.items() if case in cases and kinds.get(kind)
    }


def _turned(
    what: str,
    kind: str,
    sides: tuple[dict[str, int], dict[str, int]],
    trials: Mapping[str, tuple[int, int]],
) -> Found:
    """A kind that one side has in cases where the other has none."""
    other, own = sides if what == "finding_new" else sides[::-1]
    cases = sorted(own.keys() - other.keys(), key=lambda case: (-own[case], case))
    named, words = tuple(case for case in cases if case), kind.replace("_", " ")
    count = sum(own[case] for case in cases)
    many = "s" if count > 1 else ""
    where = f"in {count:,} trial{many}" if named else f"{count:,} time{many}"
    if what == "finding_gone":
        says = f"no {words} any more, was {where if named else f'there {where}'}"
    elif other:
        says = f"{words} {where} of cases that had none before"
    else:
        says = f"{words} {where}, and {'in none' if named else 'never'} before"
    p = _more(own, other, trials, now=what == "finding_new")
    yield Behaviour(kind=what, name=kind, says=says, p=p, cases=named[:SHOWN]), bool(cases)


def _more(
    own: dict[str, int], other: dict[str, int], trials: Mapping[str, tuple[int, int]], *, now: bool
) -> float | None:
    """The p that `own` has more trials with a finding, by chance; `now`: own is now's."""
    both = [case for case, many in trials.items() if case and all(many)]
    if not both:
        return None
    fewer, more = (
        [(trials[case][side], min(side_of.get(case, 0), trials[case][side])) for case in both]
        for side, side_of in ((not now, other), (now, own))
    )
    return stratified_exact(more, fewer).p


def _amounts(effects: Sequence[Effect], terms: Terms) -> Iterator[Behaviour]:
    """Cost, tokens and calls that moved for certain."""
    for effect in effects:
        kind = _AMOUNTS.get(effect.metric)
        if kind is None or not effect.base or effect.now is None:
            continue
        if effect.verdict in ("regressed", "improved") or effect.says:
            moved = 100 * (effect.now / effect.base - 1)
            words = effect.metric.replace("llm_calls", "model calls").replace("_", " ")
            says = f"{words} of a trial: {moved:+.1f} %"
            yield Behaviour(kind=kind, name=effect.metric, says=says, p=effect.p, certain=True)
