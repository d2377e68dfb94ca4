"""From a run's history and summary to its sample, and several samples to one.

Rules:
1. The tools of a trial are those that models asked for, whoever carried them out, and those that a
   gateway saw without a model asking: as many as the row counts. What models asked for stands in
   their answers, which the history keeps as payloads; the entries hold its number alone.
2. An answer whose payload was redacted or cut has no names. Then a trial has fewer names than
   calls (`known_tools`), and nothing is said of its tools.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from proofrig.checkers.checker import Checked
from proofrig.comparisons.readings import figures_of
from proofrig.comparisons.sample import Sample, TrialSample
from proofrig.history.action import Entry
from proofrig.results import Row, Summary, case_of

_AROUND = ("infra", "harness")  # failures around the agent
# Of a manifest: what stands in a sample's own fields, or only says which run it is.
_APART = (
    *("run", "started_ns", "suite", "suite_path", "what", "where"),
    *("baseline", "branch", "commit"),
)


class _Asked(msgspec.Struct):
    name: str


class _Turn(msgspec.Struct):
    """Of an answer that the history keeps, what is needed here."""

    tool_calls: tuple[_Asked, ...] = ()


_turn = msgspec.json.Decoder(_Turn)


class ToolsFold:
    """Folds entries into the names of the tools that each trial called, in order. `payload`: bytes
    by digest, None when they are not kept."""

    def __init__(self, payload: Callable[[str], bytes | None]) -> None:
        self._payload = payload
        self._names: dict[str, list[str]] = {}
        self._known: dict[str, tuple[str, ...]] = {}  # by digest: equal answers are kept once

    def step(self, entry: Entry) -> None:
        if not entry.trial:
            return
        attrs = entry.attrs
        if entry.kind == "commit" and entry.name.startswith("llm."):
            if attrs.get("calls"):
                names = self._asked(attrs.get("response", ""))
                self._names.setdefault(entry.trial, []).extend(names)
        elif entry.kind == "reserve" and "asked_by" not in attrs:
            name = entry.name.removeprefix("tool.")
            if name != entry.name and attrs.get("decision") != "deny":
                self._names.setdefault(entry.trial, []).append(name)

    def result(self) -> dict[str, tuple[str, ...]]:
        """The names by trial id; a trial that called none may be missing."""
        return {trial: tuple(names) for trial, names in self._names.items()}

    def _asked(self, digest: str) -> tuple[str, ...]:
        if digest not in self._known:
            data = self._payload(digest) if digest else None
            try:
                calls = _turn.decode(data).tool_calls if data is not None else ()
            except (msgspec.DecodeError, UnicodeDecodeError):
                calls = ()  # cut at the cap
            self._known[digest] = tuple(call.name for call in calls)
        return self._known[digest]


def known_tools(trial: TrialSample) -> bool:
    """Whether the names of all the tools that it called are known."""
    return len(trial.tools) == trial.tool_calls


def sample_of(
    manifest: Mapping[str, Any],
    summary: Summary,
    rows: Iterable[Row],
    tools: Mapping[str, Sequence[str]],
) -> Sample:
    """The sample of a run. `manifest`: as plain values; `rows`: of `RowsFold`; `tools`: of
    `ToolsFold`."""
    own = [row for row in rows if row.role == "subject"]
    what = dict(manifest.get("what", {}))
    return Sample(
        suite=manifest["suite"],
        suite_digest=what.get("suite_digest", ""),
        runs=[manifest["run"]],
        started_ns=manifest["started_ns"],
        branch=manifest.get("branch", ""),
        commit=manifest.get("commit", ""),
        cases=dict(what.get("cases", {})),
        what=what,
        where=dict(manifest.get("where", {})),
        settings={k: v for k, v in manifest.items() if k not in _APART},
        trials=[_trial(row, tools.get(row.trial, ())) for row in own],
        measures=figures_of(summary),
        findings=_findings(
            [
                *summary.checked,
                *(checked for scenario in summary.scenarios for checked in scenario.checked),
            ]
        ),
        infra=sum(row.failure in _AROUND for row in own),
    )


def _trial(row: Row, tools: Sequence[str]) -> TrialSample:
    return TrialSample(
        case=row.case,
        repeat=row.repeat,
        scenario=row.scenario,
        tenant=row.tenant,
        passed=row.passed,
        failure=row.failure,
        usd_micro=row.usd_micro,
        tokens=row.input_tokens + row.output_tokens,
        llm_calls=row.llm_calls,
        tool_calls=row.tool_calls,
        retries=row.retries,
        denied=row.denied,
        duration_ns=row.duration_ns,
        tools=tuple(tools),
    )


def _findings(checked: Iterable[Checked]) -> dict[str, dict[str, int]]:
    """Case -> kind -> how many of its trials were witnesses of one; of a finding without trials,
    how many there were. Checkers keep the first of a kind only, so many are too few here."""
    trials: dict[tuple[str, str], set[str]] = {}
    nobody: dict[str, int] = {}
    for one in checked:
        for finding in one.findings:
            if not finding.trials:
                nobody[finding.kind] = nobody.get(finding.kind, 0) + 1
            for trial in finding.trials:
                trials.setdefault((case_of(trial), finding.kind), set()).add(trial)
    found: dict[str, dict[str, int]] = {"": nobody} if nobody else {}
    for (case, kind), seen in sorted(trials.items()):
        found.setdefault(case, {})[kind] = len(seen)
    return found


def pool(samples: Sequence[Sample]) -> Sample:
    """Several samples as one, oldest first: trials, findings and infra failures of all, measures as
    their mean over runs, all else of the newest. Raises ValueError for none."""
    if not samples:
        raise ValueError("expected at least one sample to pool, got none")
    newest = samples[-1]
    trials: list[TrialSample] = []
    runs: list[str] = []
    findings: dict[str, dict[str, int]] = {}
    for sample in samples:
        first = len(runs)
        trials += [msgspec.structs.replace(one, run=one.run + first) for one in sample.trials]
        runs += sample.runs
        for case, kinds in sample.findings.items():
            of_case = findings.setdefault(case, {})
            for kind, count in kinds.items():
                of_case[kind] = of_case.get(kind, 0) + count
    return msgspec.structs.replace(
        newest,
        runs=runs,
        trials=trials,
        findings=findings,
        measures=_mean(samples),
        infra=sum(sample.infra for sample in samples),
    )


def _mean(samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """The measures, each the mean over the runs that have it."""
    sums: dict[str, dict[str, tuple[float, int]]] = {}
    for sample in samples:
        weight = len(sample.runs)
        for scenario, named in sample.measures.items():
            of_scenario = sums.setdefault(scenario, {})
            for name, value in named.items():
                total, count = of_scenario.get(name, (0.0, 0))
                of_scenario[name] = (total + weight * value, count + weight)
    return {
        scenario: {name: total / count for name, (total, count) in named.items()}
        for scenario, named in sums.items()
    }
