"""The story in one file: plan, run trials, fold the history, gate, keep.

    suite -> plan -> stage -> trials -> history -> rows -> summary -> gates -> store

`run` starts a run, `resume` runs what is missing of one, `rescore.py` judges a stored one again.
Each ends in `conclude`, which reads nothing but the history and the manifest.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from proofrig.comparisons.gate import GateResult, fail_under
from proofrig.errors import InfraError, UsageError
from proofrig.gateways.gateway import RunClock
from proofrig.history.archive import archive
from proofrig.history.history import History
from proofrig.places import default_root, run_name
from proofrig.results import CaseFacts, Row, RowsFold, Summary, summarise
from proofrig.suites import Planned, Suite
from proofrig.trials import manifest as manifests
from proofrig.trials.baseline import baselines
from proofrig.trials.manifest import Manifest
from proofrig.trials.rundir import Finished, finished_trials, locked, new_run
from proofrig.trials.runner import Progress, Runner, Settings
from proofrig.trials.stage import open_stage, what_of
from proofrig.trials.trial import attempt

Status = Literal["finished", "interrupted", "stopped"]
SUMMARY = "summary.json"


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
    store's URL (default: a SQLite file below `root`), `only` the selected case ids."""

    root: Path = field(default_factory=default_root)
    store: str = ""
    repeats: int | None = None
    concurrency: int | None = None
    seed: int | None = None
    fail_under: float | None = None
    baselines: bool = True
    only: tuple[str, ...] = ()
    compress: bool = True

    def store_url(self) -> str:
        """The store's URL."""
        default = f"sqlite:///{(self.root / 'store.db').absolute()}"
        return self.store or os.environ.get("PROOFRIG_STORE", "") or default


class Conclusion(msgspec.Struct, kw_only=True):
    """What a run came to, from its history. `problems`: torn lines, why it stopped, for people."""

    run: str
    status: Status
    exit_code: int
    summary: Summary
    gates: list[GateResult] = []
    problems: list[str] = []


@dataclass(frozen=True, slots=True)
class Run:
    """A run: the suite, where it is kept, its manifest, and how it is run."""

    suite: Suite
    dir: Path
    manifest: Manifest
    options: Options


OnProgress = Callable[[Progress], None]


def _silent(progress: Progress) -> None:
    pass


async def run(
    suite: Suite, suite_path: Path, options: Options, on_progress: OnProgress = _silent
) -> tuple[Path, Conclusion]:
    """Run a suite. Raises UsageError for what the user got wrong and ProviderError for a provider
    that does not start; whatever happens after the first trial is in the conclusion."""
    _check_store(options)
    manifest = _new_manifest(suite, suite_path, options)
    run_dir = new_run(options.root, suite.name)
    manifest.run = run_dir.name
    manifests.write(run_dir, manifest)
    try:
        return run_dir, await _run_missing(Run(suite, run_dir, manifest, options), on_progress)
    except UsageError:
        _forget(run_dir)
        raise


def _forget(run_dir: Path) -> None:
    """Leave nothing of a run whose first trial never began."""
    if not finished_trials(run_dir).attempts:
        shutil.rmtree(run_dir, ignore_errors=True)


def _new_manifest(suite: Suite, suite_path: Path, options: Options) -> Manifest:
    seed = suite.seed if options.seed is None else options.seed
    return Manifest(
        run="",
        started_ns=time.time_ns(),
        suite=suite.name,
        suite_path=str(suite_path.absolute()),
        repeats=options.repeats or suite.repeats,
        concurrency=options.concurrency or suite.concurrency,
        seed=seed,
        baselines=options.baselines,
        only=list(options.only),
        fail_under=options.fail_under,
        what=what_of(suite),
        where=manifests.describe_host(),
    )


def _check_store(options: Options) -> None:
    """A store's URL that means nothing shows before anything is run."""
    if options.store or os.environ.get("PROOFRIG_STORE"):
        from proofrig.store import engine_of

        engine_of(options.store_url())


async def resume(
    suite: Suite, run_dir: Path, options: Options, on_progress: OnProgress = _silent
) -> Conclusion:
    """Run what is missing of a run. Raises UsageError when the suite is not what it was."""
    manifest = manifests.read(run_dir)
    was, now = manifest.what.get("suite_digest"), suite.digest()
    if was != now:
        raise UsageError(
            f"run {manifest.run} was begun with another suite (digest {str(was)[:12]}, now "
            f"{now[:12]}): {manifest.suite_path} has changed. Undo the change, or begin a new run."
        )
    return await _run_missing(Run(suite, run_dir, manifest, options), on_progress)


async def _run_missing(held: Run, on_progress: OnProgress) -> Conclusion:
    with locked(held.dir):
        before = finished_trials(held.dir)
        missing = missing_trials(held, before)
        status: Status = "finished"
        problems = list(before.problems)
        if missing:
            settings = Settings(
                concurrency=held.manifest.concurrency,
                retries=held.suite.retries.infra,
                retry_budget=max(10, len(missing) // 5),
                first_attempt={trial: began + 1 for trial, began in before.attempts.items()},
            )
            status, trouble = await _run_trials(held, missing, settings, on_progress)
            problems += trouble
        conclusion = conclude(held, status, problems)
        if held.options.compress and status == "finished":
            archive(held.dir)
        return conclusion


async def _run_trials(
    held: Run, missing: list[Planned], settings: Settings, on_progress: OnProgress
) -> tuple[Status, list[str]]:
    """Set the stage, run the work, take the stage down. Ctrl-C and SIGTERM stop it gracefully,
    also while the stage is being set."""
    clock, seed = clock_of(held.manifest), held.manifest.seed
    setting = asyncio.current_task()
    assert setting is not None
    with _signals() as signals:
        signals.stop = setting.cancel
        try:
            async with open_stage(held.suite, held.dir, clock, settings.concurrency, seed) as stage:
                runner = Runner(partial(attempt, stage), settings, on_progress)
                signals.stop = runner.stop
                await runner.run(missing)
                signals.close()  # from here on a signal ends the process at once
        except asyncio.CancelledError:
            if not signals.came:
                raise
            while setting.cancelling():
                setting.uncancel()
            return "interrupted", []
    if runner.failure is not None:
        return "stopped", [_with_resume(str(runner.failure), held.dir)]
    return ("interrupted", []) if runner.stopped else ("finished", [])


@dataclass(slots=True)
class _Signals:
    """What Ctrl-C and SIGTERM do; `came`: one of them did."""

    stop: Callable[[], object] = lambda: None
    came: bool = False

    def act(self) -> None:
        self.came = True
        self.stop()

    def close(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)


@contextmanager
def _signals() -> Iterator[_Signals]:
    signals = _Signals()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, signals.act)
    try:
        yield signals
    finally:
        signals.close()


def _with_resume(why: str, run_dir: Path) -> str:
    """Why a run stopped, and how to go on."""
    safe = f"What finished is safe; `proofrig resume {run_name(run_dir)}` runs what is missing."
    return why if "proofrig resume" in why else f"{why.rstrip('.')}. {safe}"


def clock_of(manifest: Manifest) -> RunClock:
    """The run's clock in this process, also when another process began the run."""
    return RunClock(time.monotonic_ns() - (time.time_ns() - manifest.started_ns))


def missing_trials(held: Run, before: Finished) -> list[Planned]:
    """What of the plan has not come to its end."""
    return [planned for planned in _plan(held) if planned.trial not in before.done]


def _plan(held: Run) -> list[Planned]:
    """Every trial of the run, baselines first: a case that they show to be broken shows at once."""
    manifest = held.manifest
    chosen = held.suite.select(cases=manifest.only) if manifest.only else held.suite
    plan = list(baselines(chosen)) if manifest.baselines else []
    return [*plan, *chosen.plan(manifest.repeats, manifest.seed)]


def conclude(held: Run, status: Status, problems: list[str]) -> Conclusion:
    """Fold the history, gate, and keep the result beside it and in the store."""
    history, fold = History(held.dir), RowsFold()
    history.fold(fold)
    summary = summarise(fold, case_facts(held.suite), held.manifest.repeats)
    conclusion = Conclusion(
        run=held.manifest.run,
        status=status,
        exit_code=0,
        summary=summary,
        gates=_gates(held, summary),
        problems=problems + [line for line in history.problems if line not in problems],
    )
    conclusion.exit_code = int(_exit_code(conclusion))
    (held.dir / SUMMARY).write_bytes(msgspec.json.encode(conclusion))
    _keep(held, conclusion, fold.result())
    return conclusion


def case_facts(suite: Suite) -> list[CaseFacts]:
    """What the summary needs to know of the suite's cases."""
    return [
        CaseFacts(case.id, case.difficulty, case.tags, case.null_passes) for case in suite.cases
    ]


def _gates(held: Run, summary: Summary) -> list[GateResult]:
    asked = (held.options.fail_under, held.manifest.fail_under, held.suite.fail_under)
    percent = next((percent for percent in asked if percent is not None), None)
    return [] if percent is None else [fail_under(summary.overall, percent)]


def _exit_code(conclusion: Conclusion) -> ExitCode:
    overall = conclusion.summary.overall
    states = {gate.state for gate in conclusion.gates}
    if conclusion.status == "interrupted":
        return ExitCode.INTERRUPTED
    if conclusion.status == "stopped":
        return ExitCode.STOPPED
    if not overall.trials:
        return ExitCode.NOTHING_RAN
    if not overall.measured:
        return ExitCode.STOPPED
    if "fail" in states:
        return ExitCode.GATE_FAILED
    return ExitCode.INCONCLUSIVE if "inconclusive" in states else ExitCode.PASS


VERDICTS = {
    ExitCode.PASS: "pass",
    ExitCode.GATE_FAILED: "fail",
    ExitCode.INCONCLUSIVE: "inconclusive",
}


def _keep(held: Run, conclusion: Conclusion, rows: list[Row]) -> None:
    """Save the run in the store; a store that fails is said, and takes nothing from the run."""
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
        verdict=VERDICTS.get(ExitCode(conclusion.exit_code), "") if conclusion.gates else "",
        exit_code=conclusion.exit_code,
        manifest=msgspec.to_builtins(manifest),
    )
    try:
        store = Store(held.options.store_url())
        try:
            store.save_results(record, conclusion.summary, rows)
        finally:
            store.close()
    except (InfraError, UsageError) as error:
        conclusion.problems.append(f"{error} The run itself is safe in {held.dir}.")
