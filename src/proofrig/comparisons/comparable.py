"""What two samples have in common, what differs between them, and when holding one against the
other makes no sense.

Rules:
1. Cases are compared by id, and only where their text is the same; those of a scenario with those
   of the same scenario. What is left out is named.
2. Another model, agent or machine is what comparisons are made for: it is told, never refused.
   Other conditions (faults, tenants, limits, policy, scenarios, a replay) make another experiment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from proofrig.comparisons.baseline import conditions_of, scenarios_of
from proofrig.comparisons.sample import Sample, TrialSample

_BEFORE = 12  # characters of what long texts have in common
# Said elsewhere, or of what is asked of a run and not of how it was run.
_ASKED = frozenset(("cases", "suite_digest", "fail_under", "gates", "looks", "usd", "minutes"))
_SHOWN, _WIDEST = 3, 60
# Of a manifest's `what`: the conditions under which an agent was put, by the words for people.
_CONDITIONS = {
    "faults": "faults",
    "tenants": "tenants",
    "limits": "limits",
    "budgets": "budgets",
    "policy": "policy",
    "authority": "authority settings",
    "egress": "egress rules",
    "isolation": "isolation",
}
_IN_SCENARIOS = {"scenario_faults": "faults of scenarios", "services": "shared services"}


@dataclass(frozen=True, slots=True)
class Arms:
    """The trials of both samples, by case and aligned: `labels[i]` is the case (`<case>@<scenario>`
    in a scenario) of `base[i]` and `now[i]`. `left_out`: the cases that only one has, or whose text
    changed, each with why."""

    labels: list[str]
    base: list[list[TrialSample]]
    now: list[list[TrialSample]]
    left_out: list[str]

    def scenario(self, index: int) -> str:
        """The scenario of a case, "" for the plain plan."""
        return self.base[index][0].scenario


def label_of(case: str, scenario: str) -> str:
    """What a case is called in a comparison."""
    return f"{case}@{scenario}" if scenario else case


def aligned(base: Sample, now: Sample) -> Arms:
    """The cases that both samples have, in the order of their ids."""
    before, after = _by_case(base), _by_case(now)
    changed = {
        case for case in base.cases.keys() & now.cases.keys() if base.cases[case] != now.cases[case]
    }
    both = [key for key in sorted(before.keys() & after.keys()) if key[1] not in changed]
    left_out = [f"{case}: its text changed" for case in sorted(changed)]
    for mine, other, only in ((before, after, "the base"), (after, before, "this run")):
        alone = sorted(key for key in mine.keys() - other.keys() if key[1] not in changed)
        left_out += [f"{label_of(case, scene)}: only {only} has it" for scene, case in alone]
    return Arms(
        labels=[label_of(case, scenario) for scenario, case in both],
        base=[before[key] for key in both],
        now=[after[key] for key in both],
        left_out=left_out,
    )


def _by_case(sample: Sample) -> dict[tuple[str, str], list[TrialSample]]:
    found: dict[tuple[str, str], list[TrialSample]] = {}
    for trial in sample.trials:
        found.setdefault((trial.scenario, trial.case), []).append(trial)
    for trials in found.values():  # as they ended is chance, and labels are dealt by place
        trials.sort(key=lambda trial: (trial.run, trial.tenant, trial.repeat))
    return found


def refusal(base: Sample, now: Sample) -> str | None:
    """Why the two should not be compared: what differs, and what to do. None when they may be. A
    caller may compare them anyway, unless `impossible`."""
    if said := impossible(base, now):
        return said
    told = list(_conditions(base, now))
    if not told:
        return None
    more = f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return (
        f"the two were not run under the same conditions: {'; '.join(told[:_SHOWN])}{more}. "
        "Run the base again under these, or compare them anyway and read what differs"
    )


def impossible(base: Sample, now: Sample) -> str | None:
    """Why there is nothing to compare; None when there is something."""
    if base.suite != now.suite:
        return (
            f"the base is a run of suite {base.suite!r}, this one of {now.suite!r}: name a base of "
            "the same suite"
        )
    scenes = [set(scenarios_of(one.settings)) for one in (base, now)]
    if not scenes[0] & scenes[1]:
        before, after = (", ".join(name or "the plain plan" for name in sorted(s)) for s in scenes)
        return f"the base ran {before}, this run {after}: run both with the same `--scenario`"
    if not aligned(base, now).labels:
        return (
            f"no case is the same in both: the base has {_some(base.cases)}, this run "
            f"{_some(now.cases)}, or their texts changed; keep a new base of this suite with "
            "`proofrig baseline set`"
        )
    return None


def _conditions(base: Sample, now: Sample) -> Iterator[str]:
    """The conditions that differ, each as a person would say it."""
    lab = any((*scenarios_of(base.settings), *scenarios_of(now.settings)))
    named = _CONDITIONS | (_IN_SCENARIOS if lab else {})
    for name, words in named.items():
        one, other = base.what.get(name), now.what.get(name)
        if one != other:
            paths = list(_paths("", one, other))
            yield f"{words} ({', '.join(paths[:_SHOWN])}{', ...' if len(paths) > _SHOWN else ''})"
    one, other = conditions_of(base.settings), conditions_of(now.settings)
    if one != other:
        yield f"asked for at the start ({_cut(one or 'nothing', other or 'nothing')})"


def differences(base: Sample, now: Sample) -> list[str]:
    """Where the manifests differ, as `path: base | now`; of the cases only what `Arms.left_out`
    does not say."""
    found: list[str] = []
    for name in ("what", "settings", "where"):
        one, other = (
            {key: value for key, value in getattr(sample, name).items() if key not in _ASKED}
            for sample in (base, now)
        )
        found += _paths("" if name == "settings" else name, one, other)
    return found


def _paths(path: str, one: Any, other: Any) -> Iterator[str]:
    """The paths at which two values differ, with both."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}, key=str):
            below = f"{path}.{key}" if path else str(key)
            yield from _paths(below, one.get(key), other.get(key))
    elif one != other:
        said = _cut(_said(one), _said(other))
        yield f"{path}: {said}" if path else said


def _said(value: Any) -> str:
    return "nothing" if value is None else repr(value)


def _cut(one: str, other: str) -> str:
    """Both texts; where one is long, from a little before the place at which they differ."""
    pairs = enumerate(zip(one, other, strict=False))
    same = next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
    begin = max(0, same - _BEFORE) if max(len(one), len(other)) > _WIDEST else 0
    parts = [f"...{text[begin:]}" if begin else text for text in (one, other)]
    return " | ".join(p if len(p) <= _WIDEST else f"{p[: _WIDEST - 3]}..." for p in parts)


def _some(names: Iterable[str]) -> str:
    every = sorted(names)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return (", ".join(every[:_SHOWN]) or "no case") + more
