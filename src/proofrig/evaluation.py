"""The story in one file: plan, run trials, fold the history, gate, keep.

    suite -> plan or scenarios -> stage -> trials -> history -> rows, findings -> gates -> store
                                    ╰─── looks: settled? hopeless? ───╯

`run` starts a run, `resume` runs what is missing of one, `rescore.py` judges a stored one again.
Each ends in `conclusion.conclude`, which reads nothing but the history and the manifest.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

from proofrig.adaptive import MOST, Question, looks_of
from proofrig.branches import checkout_of
from proofrig.checkers import all_checkers
from proofrig.conclusion import Conclusion, Options, Run, Status, conclude
from proofrig.errors import UsageError
from proofrig.history.archive import archive
from proofrig.places import run_name
from proofrig.scenarios import chosen_scenarios
from proofrig.suites import Suite
from proofrig.suites.constraints import ConstraintSettings, read_constraints
from proofrig.suites.lanes import lane_of, options_in
from proofrig.trials import manifest as manifests
from proofrig.trials.isolation import level_of, settled
from proofrig.trials.manifest import Manifest
from proofrig.trials.rundir import finished_trials, locked, new_run
from proofrig.trials.runner import Progress
from proofrig.trials.stage import what_of
from proofrig.trials.stopping import until_stopped
from proofrig.trials.work import OnProgress, Watching, Work
from proofrig.watching import Watch, question_of


def _silent(progress: Progress) -> None:
    pass


async def run(
    suite: Suite, suite_path: Path, options: Options, on_progress: OnProgress = _silent
) -> tuple[Path, Conclusion]:
    """Run a suite. Raises UsageError for what the user got wrong and ProviderError for a provider
    that does not start; whatever happens after the first trial is in the conclusion."""
    _check_store(options)
    all_checkers()  # one that cannot be used shows before anything is run
    if options.lane:
        lane = lane_of(suite.lanes, options.lane)
        options = replace(options, **options_in(lane, suite, options))
        if options.scenarios and (options.record or options.replay):
            raise UsageError(
                f"what is recorded and replayed is a plain run, and lane {options.lane} has "
                "scenarios; leave --lane out, or name another"
            )
    given = read_constraints(options.constraints) if options.constraints else None
    suite = under(suite, options.tenants, options.packs, options.faultless, given)
    suite, why = await settled(suite, options.isolation)
    _check_observed(suite, options)
    manifest = _new_manifest(suite, suite_path, options)
    manifest.weaker = why
    if given is not None:
        manifest.constraints = given.model_dump(mode="json", exclude_none=True)
    Work(suite, Path(), manifest).check()
    held = Run(suite, Path(), manifest, options)
    question = question_of(held)
    _check_adaptive(held, question)
    run_dir = new_run(options.root, suite.name)
    manifest.run = run_dir.name
    manifests.write(run_dir, manifest)
    held = replace(held, dir=run_dir)
    try:
        return run_dir, await _run_missing(held, question, on_progress)
    except UsageError:
        _forget(run_dir)
        raise


def _check_observed(suite: Suite, options: Options) -> None:
    """Raises UsageError for scenarios where what they observe cannot be seen."""
    if options.scenarios and level_of(suite) == "vm":
        raise UsageError(
            "scenarios observe agents from inside and launch them at once, which a vm does not let "
            "them; leave --scenario out, or ask for --isolation=namespace"
        )


def _check_adaptive(held: Run, question: Question) -> None:
    """Raises UsageError for adaptive repeats that have nothing to decide, or no plan."""
    if not held.options.auto:
        return
    if held.manifest.scenarios and not held.manifest.plain:
        raise UsageError("--repeat auto belongs to a plain run; leave --scenario out")
    if not question.gates:
        raise UsageError(
            "--repeat auto needs a gate or a baseline to decide; write `gates:` or `baseline:` in "
            "the suite, or give --baseline or --fail-under"
        )


def under(
    suite: Suite,
    tenants: int | None,
    packs: Collection[str],
    faultless: bool,
    constraints: ConstraintSettings | None,
) -> Suite:
    """The suite under the conditions that were asked for beside it. Raises UsageError."""
    if tenants is not None:
        suite = suite.with_tenants(tenants)
    if constraints is not None:
        suite = suite.model_copy(update={"constraints": constraints})
    return suite.with_faults(packs, own=not faultless) if packs or faultless else suite


def as_it_was(suite: Suite, manifest: Manifest) -> Suite:
    """The suite under the conditions of a run that was begun. Raises UsageError."""
    given = manifest.constraints
    constraints = ConstraintSettings.model_validate(given) if given else None
    return under(suite, manifest.tenants, manifest.packs, manifest.faultless, constraints)


def _forget(run_dir: Path) -> None:
    """Leave nothing of a run whose first trial never began."""
    if not finished_trials(run_dir).attempts:
        shutil.rmtree(run_dir, ignore_errors=True)


def _new_manifest(suite: Suite, suite_path: Path, options: Options) -> Manifest:
    seed = suite.seed if options.seed is None else options.seed
    repeats = options.repeats or suite.repeats
    if options.auto and repeats == 1:
        repeats = MOST
    checkout = checkout_of(suite.dir, os.environ)
    return Manifest(
        run="",
        started_ns=time.time_ns(),
        suite=suite.name,
        suite_path=str(suite_path.absolute()),
        repeats=repeats,
        concurrency=options.concurrency or suite.concurrency,
        seed=seed,
        baselines=options.baselines is not False,
        only=list(options.only),
        scenarios=_scenario_names(suite, options),
        agents=options.agents,
        tenants=options.tenants,
        packs=list(options.packs),
        record=options.record,
        replay=options.replay.model_dump(mode="json") if options.replay else {},
        faultless=options.faultless,
        fail_under=options.fail_under,
        lane=options.lane,
        looks=looks_of(repeats) if options.auto else [],
        plain=options.plain,
        usd=None if options.usd is None else round(options.usd, 6),  # as the ledger books it
        minutes=options.minutes,
        baseline=options.baseline,
        gates=list(options.gates),
        constraints_from=str(options.constraints.absolute()) if options.constraints else "",
        branch=checkout.branch,
        commit=checkout.revision,
        what=what_of(suite),
        where=manifests.describe_host(),
    )


def _scenario_names(suite: Suite, options: Options) -> list[str]:
    if not options.scenarios:
        return []
    chosen = chosen_scenarios(
        suite.scenarios, options.scenarios, alone=options.baselines is not False
    )
    return [scenario.name for scenario in chosen]


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
    suite = as_it_was(suite, manifest)
    suite, _ = await settled(suite, manifest.what.get("isolation", "process"))
    was, now = manifest.what.get("suite_digest"), suite.digest()
    if was != now:
        raise UsageError(
            f"run {manifest.run} was begun with another suite (digest {str(was)[:12]}, now "
            f"{now[:12]}): {manifest.suite_path} has changed. Undo the change, or begin a new run."
        )
    held = Run(suite, run_dir, manifest, options)
    return await _run_missing(held, question_of(held), on_progress)


async def _run_missing(held: Run, question: Question, on_progress: OnProgress) -> Conclusion:
    with locked(held.dir):
        before = finished_trials(held.dir)
        work = held.work()
        missing = work.missing(before)
        status: Status = "finished"
        problems = list(before.problems)
        if missing:
            watch = Watch(held, question, on_progress)
            do = partial(work.do, missing, before, Watching(watch.seen, watch.settled))
            worker = await until_stopped(partial(watch.over, do))
            if worker is None or worker.stopped:
                status = "interrupted"
            if worker is not None and worker.failure is not None:
                status = "stopped"
                problems.append(_with_resume(str(worker.failure), held.dir))
            problems += watch.problems
        conclusion = conclude(held, status, problems)
        if held.options.compress and status == "finished":
            archive(held.dir)
        return conclusion


def _with_resume(why: str, run_dir: Path) -> str:
    """Why a run stopped, and how to go on."""
    safe = f"What finished is safe; `proofrig resume {run_name(run_dir)}` runs what is missing."
    return why if "proofrig resume" in why else f"{why.rstrip('.')}. {safe}"
