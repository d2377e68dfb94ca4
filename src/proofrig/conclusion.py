"""What a run came to: fold its history, gate, and keep the result beside it and in the store.

Rules:
1. Nothing is read but the history, the manifest, the suite and the baseline it is held against.
2. A store that fails is said, and takes nothing from the run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from proofrig.adaptive import held_against, kept
from proofrig.authority.globs import matcher
from proofrig.authority.policy import Policy
from proofrig.baselining import SUMMARY, autosave, write_sample
from proofrig.checkers import all_checkers
from proofrig.checkers.checker import Setting
from proofrig.checkers.injected import Injected, declared_of
from proofrig.checkers.judge import Judge
from proofrig.checkers.signature_drift import signature_of_run
from proofrig.comparisons.comparison import Comparison
from proofrig.comparisons.gate import GateResult, as_recorded, fail_under, judge_gates
from proofrig.comparisons.sample import Sample
from proofrig.comparisons.sampling import ToolsFold, sample_of
from proofrig.errors import InfraError, UsageError
from proofrig.gating import Asked, asked_of
from proofrig.history.history import History
from proofrig.history.payloads import PayloadReader
from proofrig.places import default_root, in_repository
from proofrig.providers.recorded import RecordedSettings
from proofrig.resources import ResourcesFold
from proofrig.results import CaseFacts, Row, RowsFold, Summary, summarise
from proofrig.rulings import Known, RulingsFold
from proofrig.sandboxes.sandbox import Level
from proofrig.suites import Case, Suite
from proofrig.trials.curtailed import Curtailed, CurtailedFold
from proofrig.trials.manifest import Manifest
from proofrig.trials.taped import recorded_by
from proofrig.trials.work import Work, replayed_by

Status = Literal["finished", "interrupted", "stopped"]


class ExitCode(IntEnum):
    """What the command line ends with; stable."""

    PASS = 0
    GATE_FAILED = 1
    USAGE = 2
    INTERNAL = 3
    INCONCLUSIVE = 4
    NOTHING_RAN = 5
    STOPPED = 6  # infra or a budget stopped the run
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run; None takes what the suite says. `root` is where runs are kept, `store` the
    store's URL (default: a SQLite file below `root`), `only` the selected case ids. scenarios: what
    to run instead of the plain plan, with so many `agents` and `tenants`; with baselines, the
    sequential one too (None: what the lane says, else with them). plain: the plain plan as well.
    record: keep what comes from outside; replay: answer from a recording. packs: further packs of
    faults; faultless: without the suite's own. against: the directory of an earlier run that this
    one's calls are held against (`signature_drift`). lane: of the suite, for what is left open
    here. auto: add repeats while they decide something, `repeats` at most. usd, minutes: what the
    whole run may spend, and take. baseline: what the run is held against, see `baselining`. gates:
    asked of it besides those of the suite. isolation: the level, instead of the suite's.
    constraints: a constraint file, instead of the suite's."""

    root: Path = field(default_factory=default_root)
    store: str = ""
    repeats: int | None = None
    concurrency: int | None = None
    seed: int | None = None
    fail_under: float | None = None
    baselines: bool | None = None
    only: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    agents: int | None = None
    tenants: int | None = None
    packs: tuple[str, ...] = ()
    record: bool = False
    replay: RecordedSettings | None = None
    faultless: bool = False
    compress: bool = True
    against: Path | None = None
    lane: str = ""
    auto: bool = False
    plain: bool = False
    usd: float | None = None
    minutes: float | None = None
    baseline: str = ""
    gates: tuple[str, ...] = ()
    isolation: Level | None = None
    constraints: Path | None = None

    def store_url(self) -> str:
        """The store's URL."""
        default = f"sqlite:///{(self.root / 'store.db').absolute()}"
        return self.store or os.environ.get("PROOFRIG_STORE", "") or default


class Conclusion(msgspec.Struct, kw_only=True):
    """What a run came to, from its history. `comparison`: with its baseline, None without one.
    `cuts`: what of its plan was not run. `problems`: torn lines, why it stopped, what was cut;
    `notes`: what else people should know."""

    run: str
    status: Status
    exit_code: int
    summary: Summary
    gates: list[GateResult] = []
    comparison: Comparison | None = None
    cuts: list[str] = []
    problems: list[str] = []
    notes: list[str] = []


@dataclass(frozen=True, slots=True)
class Run:
    """A run: the suite, where it is kept, its manifest, and how it is run."""

    suite: Suite
    dir: Path
    manifest: Manifest
    options: Options

    def work(self) -> Work:
        """What it has to do."""
        return Work(self.suite, self.dir, self.manifest)


def conclude(held: Run, status: Status, problems: list[str]) -> Conclusion:
    """Fold the history, gate, and keep the result beside it and in the store. Raises UsageError for
    a baseline that names nothing."""
    asked = asked_of(held.suite, held.manifest, held.options)
    history, fold = History(held.dir), RowsFold()
    payload = PayloadReader(held.dir).get
    tools, curtailed = ToolsFold(payload), CurtailedFold()
    summary = fold_history(held, history, fold, tools, curtailed)
    sample = sample_of(msgspec.to_builtins(held.manifest), summary, fold.result(), tools.result())
    few = curtailed.result()
    comparison = _compared(held, asked, sample, few)
    conclusion = Conclusion(
        run=held.manifest.run,
        status=status,
        exit_code=0,
        summary=summary,
        gates=[kept(gate, few.whys) for gate in _gates(held, asked, summary, comparison)],
        comparison=comparison,
        problems=problems + [line for line in history.problems if line not in problems],
    )
    conclusion.cuts = [f"cut: {cut.says}" for cut in few.cuts]
    conclusion.cuts += (unseen := _unseen(held, summary, few))
    conclusion.problems += conclusion.cuts
    if few.settled is not None:
        conclusion.notes.append(
            f"settled after {_repeats(few.settled.repeats)} of each case: {few.settled.why}"
        )
    if held.manifest.weaker:
        conclusion.notes.append(f"trials were kept apart as processes only: {held.manifest.weaker}")
    conclusion.exit_code = int(_exit_code(conclusion, whole=not few.scenarios and not unseen))
    _keep(held, conclusion, fold.result(), sample)
    (held.dir / SUMMARY).write_bytes(msgspec.json.encode(conclusion))
    return conclusion


def _repeats(count: int) -> str:
    return f"{count:,} repeat{'s' if count > 1 else ''}"


def fold_history(
    held: Run, history: History, fold: RowsFold, tools: ToolsFold, curtailed: CurtailedFold
) -> Summary:
    """One pass over the history for all that folds it."""
    against = held.options.against
    signature = None if against is None else signature_of_run(History(against))
    what = held.manifest.what
    faults = declared_of(what.get("faults", ()), what.get("scenario_faults", {}))
    known = Setting(faults=faults, changes=_changes_of(held.suite))
    judge = Judge(PayloadReader(held.dir).get, all_checkers(), signature, known)
    rulings, injected = RulingsFold(_policy_of(held.suite)), Injected(faults)
    resources = ResourcesFold()
    history.fold(fold, judge, rulings, injected, tools, curtailed, resources)
    settled = curtailed.result().settled
    repeats = held.manifest.repeats if settled is None else settled.repeats
    if held.manifest.scenarios and not held.manifest.plain:
        repeats = 1
    facts, struck, used = case_facts(held.suite), injected.result(), resources.result()
    told = judge.result(), rulings.result()
    return summarise(fold, facts, repeats, *told, struck=struck, used=used)


def _compared(held: Run, asked: Asked, sample: Sample, few: Curtailed) -> Comparison | None:
    """The run held against its baseline, at the level that its looks left."""
    if asked.base is None:
        return None
    return held_against(
        asked.base,
        sample,
        asked.terms,
        held.manifest.looks,
        look=few.settled.look if few.settled else 0,
        chosen=any(cut.reason == "gate" for cut in few.cuts),
    )


def case_facts(suite: Suite) -> list[CaseFacts]:
    """What the summary and the reports need to know of the suite's cases."""
    return [
        CaseFacts(case.id, case.difficulty, case.tags, case.null_passes, *_written(case))
        for case in suite.cases
    ]


def _written(case: Case) -> tuple[str, int]:
    """Where a case was written, as its repository names it."""
    if case.written_at is None:
        return "", 0
    return in_repository(case.written_at[0]), case.written_at[1]


def _policy_of(suite: Suite) -> Known:
    """What the authority's decisions are shown with."""
    written = suite.whole_policy()
    if written is None:
        return Known()
    booked = [(matcher(globs, broad=True), name) for name, globs in written.scopes.items()]

    @cache
    def scopes_of(name: str) -> tuple[str, ...]:
        return tuple(scope for matches, scope in booked if matches(name))

    return Known(suite.authority.mode, Policy.of(written).limits, scopes_of)


def _changes_of(suite: Suite) -> Callable[[str], bool | None]:
    """Whether an action changes something, as the suite says: under `risk` of its policy, or by an
    `acts_once` of a case; None where it does not."""
    written = suite.whole_policy()
    policy = None if written is None else Policy.of(written)
    once = [glob for case in suite.cases if case.expect for glob in case.expect.acts_once]

    @cache
    def changes(name: str) -> bool | None:
        if any(fnmatchcase(name, glob) or fnmatchcase(name, f"tool.{glob}") for glob in once):
            return True
        risk = None if policy is None else policy.risk_of(name)
        return None if risk is None else risk != "read_only"

    return changes


def fail_under_of(held: Run) -> float | None:
    """The pass rate that the run must reach, percent: as asked for now, with the run, or in the
    suite; None where nobody asks."""
    given = (held.options.fail_under, held.manifest.fail_under, held.suite.fail_under)
    return next((percent for percent in given if percent is not None), None)


def _gates(
    held: Run, asked: Asked, summary: Summary, comparison: Comparison | None
) -> list[GateResult]:
    percent = fail_under_of(held)
    gates = [] if percent is None else [fail_under(summary.overall, percent)]
    replayed = recorded_by(held.suite, replayed_by(held.manifest))
    if replayed is not None and replayed.mode == "strict":
        gates.append(as_recorded(summary.overall))
    figures = None if asked.base is None else asked.base.measures
    return gates + judge_gates(
        asked.gates, summary, baseline=figures, comparison=comparison, lack=asked.lack
    )


def _unseen(held: Run, summary: Summary, few: Curtailed) -> list[str]:
    """That cases were cut before their first trial, in a line."""
    if not few.cuts or (held.manifest.scenarios and not held.manifest.plain):
        return []
    cases = len(held.work().chosen().cases)
    missing = cases - len(summary.by_case)
    return [f"cut: {missing} of {cases} cases were not run at all"] if missing else []


def _exit_code(conclusion: Conclusion, *, whole: bool) -> ExitCode:
    """whole: no case and no scenario was cut whole; what did not run cannot pass."""
    overall = conclusion.summary.overall
    states = {gate.state for gate in conclusion.gates}
    if conclusion.status == "interrupted":
        return ExitCode.INTERRUPTED
    if conclusion.status == "stopped":
        return ExitCode.STOPPED
    if not overall.trials:
        return ExitCode.STOPPED if conclusion.cuts else ExitCode.NOTHING_RAN
    if not overall.measured and overall.failures.keys() == {"unfired"}:
        return ExitCode.INCONCLUSIVE
    if not overall.measured:
        return ExitCode.STOPPED
    verdicts = {scenario.verdict for scenario in conclusion.summary.scenarios}
    if "fail" in states or "invalid" in verdicts:
        return ExitCode.GATE_FAILED
    open_question = "inconclusive" in states or "unknown" in verdicts or not whole
    return ExitCode.INCONCLUSIVE if open_question else ExitCode.PASS


VERDICTS = {
    ExitCode.PASS: "pass",
    ExitCode.GATE_FAILED: "fail",
    ExitCode.INCONCLUSIVE: "inconclusive",
}


def _is_judged(conclusion: Conclusion) -> bool:
    return bool(conclusion.gates or conclusion.summary.scenarios)


def _keep(held: Run, conclusion: Conclusion, rows: list[Row], sample: Sample) -> None:
    """Save the run beside its history and in the store, and as a baseline where it is one; a store
    that fails is said, and takes nothing from the run."""
    from proofrig.store import RunRecord, Store  # loads SQLAlchemy, which only the end needs

    manifest = held.manifest
    record = RunRecord(
        run=manifest.run,
        suite=manifest.suite,
        suite_digest=str(manifest.what.get("suite_digest", "")),
        path=str(held.dir.absolute()),
        started_ns=manifest.started_ns,
        finished_ns=time.time_ns(),
        status=conclusion.status,
        verdict=VERDICTS.get(ExitCode(conclusion.exit_code), "") if _is_judged(conclusion) else "",
        exit_code=conclusion.exit_code,
        manifest=msgspec.to_builtins(manifest),
    )
    write_sample(held.dir, sample)
    try:
        store = Store(held.options.store_url())
        try:
            store.save_results(record, conclusion.summary, rows)
            store.save_figures(manifest.run, sample.measures)
        finally:
            store.close()
        if held.suite.baseline.autosave and held.suite.digest() == record.suite_digest:
            _autosave(held, conclusion, sample)
    except (InfraError, UsageError) as error:
        conclusion.problems.append(f"{error} The run itself is safe in {held.dir}.")


def _autosave(held: Run, conclusion: Conclusion, sample: Sample) -> None:
    comparison, settings = conclusion.comparison, held.suite.baseline
    told = autosave(
        sample,
        settings.branch,
        held.options.store_url(),
        time.time_ns(),
        status="it was cut" if conclusion.cuts else conclusion.status,
        verdict=comparison.verdict if comparison else None,
        infra_ceiling=settings.infra_ceiling,
    )
    if told:
        conclusion.notes.append(told)
