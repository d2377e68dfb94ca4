"""Judging a stored run again, from its history and the worlds its trials left. No agent runs.

Rules:
1. The history is only added to: a new judgement is a `rescored` note, and the latest one counts.
2. A trial that could not be run at all (infra, harness) has nothing to judge and stays as it was.
3. What verifiers need and what was not kept is "not measured", with the reason.
4. A run that was cut off stays cut off: what is missing of it is still for `resume`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from proofrig.agents.agent import Reply
from proofrig.conclusion import Conclusion, Options, Run, conclude
from proofrig.errors import UsageError
from proofrig.evaluation import as_it_was
from proofrig.history.action import Entry
from proofrig.history.archive import archive
from proofrig.history.history import History, pair
from proofrig.history.journal import Journal
from proofrig.history.payloads import PayloadReader
from proofrig.places import run_name
from proofrig.sandboxes.sandbox import Changes
from proofrig.suites import Case, Suite, build_world
from proofrig.trials import manifest as manifests
from proofrig.trials.baseline import role_of
from proofrig.trials.evidence import gather, miss_of, state_note
from proofrig.trials.failure import (
    Facts,
    classify,
    limited,
    overall,
    suite_mistake,
    unresolved_infra,
)
from proofrig.trials.planting import Planting
from proofrig.trials.rundir import finished_trials, locked
from proofrig.trials.throttled import throttled
from proofrig.trials.trial import expected_of, judgement
from proofrig.trials.work import clock_of
from proofrig.verifiers.expectations import Tried, judged
from proofrig.verifiers.verifier import judge

_NOTES = ("tool_state", "miss")  # that say something of a trial's outcome


def rescore(suite: Suite, run_dir: Path, options: Options) -> Conclusion:
    """Judge every finished trial of the run with the suite's verifiers as they are now.

    Raises UsageError when the suite lacks a case of the run.
    """
    manifest = manifests.read(run_dir)
    suite = as_it_was(suite, manifest)
    level = str(manifest.what.get("isolation", "process"))
    cases = {case.id: case for case in suite.cases}
    with locked(run_dir):
        payloads = PayloadReader(run_dir)
        planting = Planting(suite, manifest.seed)
        judge_again = partial(_judge_again, _Kept(payloads, run_dir, level))
        judged = [
            (end, judge_again(_case(cases, end, planting), end, entries))
            for end, entries in ended_trials(History(run_dir))
            if end.attrs["verdicts"] and not end.attrs.get("retried")
        ]
        journal = Journal(run_dir, "rescore", clock_of(manifest))
        for end, attrs in judged:
            journal.write(
                "note", "rescored", trial=end.trial, tenant=end.tenant, scope=end.scope, attrs=attrs
            )
        journal.close()
        held = Run(suite, run_dir, manifest, options)
        missing = _missing(held)
        if missing:
            go_on = f"`proofrig resume {run_name(run_dir)}` runs them"
            why = f"{missing} trials have not been run; {go_on}."
            return conclude(held, "interrupted", [why])
        conclusion = conclude(held, "finished", [])
        if options.compress:
            archive(run_dir)
        return conclusion


def ended_trials(history: History) -> Iterator[tuple[Entry, list[Entry]]]:
    """Each trial's end entry with those of its actions and the note of its tools' state; keeps only
    the entries of open trials."""
    waiting: dict[str, list[Entry]] = {}
    for entry in history.entries():
        if entry.kind == "trial" and entry.name == "end":
            yield entry, waiting.pop(entry.trial, [])
        elif entry.trial and (entry.id or entry.name in _NOTES):
            waiting.setdefault(entry.trial, []).append(entry)


def _missing(held: Run) -> int:
    """How many trials of the agent the run lacks, of the cases that it was begun with."""
    begun_with = held.manifest.what.get("cases", {})
    missing = held.work().missing(finished_trials(held.dir))
    return sum(role_of(trial) == "subject" and trial.case in begun_with for trial in missing)


def _case(cases: dict[str, Case], end: Entry, planting: Planting) -> Case:
    name = end.trial.rpartition(":")[0].partition("@")[0]
    if name not in cases:
        raise UsageError(
            f"the run has trials of case {name!r}, which the suite does not have any more; "
            "rescore with the suite it was run with, or with one that adds to it"
        )
    return planting.case(cases[name], end.tenant)


class _Kept(NamedTuple):
    """What is left of a run, and the level its trials were kept apart at."""

    payloads: PayloadReader
    run_dir: Path
    level: str


def _judge_again(kept: _Kept, case: Case, end: Entry, entries: list[Entry]) -> dict[str, object]:
    actions = tuple(pair(entries))
    payloads, run_dir, level = kept
    answer = (payloads.get(end.attrs["answer"]) or b"").decode("utf-8", "replace")
    with tempfile.TemporaryDirectory(prefix="proofrig-") as fresh:
        world = build_world(case, case.dir, Path(fresh))
        if world.path is not None:
            left = end.attrs.get("world")  # nothing where the case had no folder then
            world = msgspec.structs.replace(world, path=run_dir / left if left else None)
        note = state_note(entries)
        kept_changes = payloads.get(end.attrs["changes"]) if "changes" in end.attrs else None
        changes = msgspec.json.decode(kept_changes, type=Changes) if kept_changes else None
        evidence = gather(
            case, answer, actions, payloads.get, world, state=note, level=level, changes=changes
        )
        own = [judge(verifier, evidence) for verifier in case.verify]
        role = end.trial.rpartition(":")[2].partition("~")[0]
        tried = Tried.of(msgspec.convert(end.attrs, Reply), answer)
        found = judged(expected_of(case, role), own, evidence, tried)
        verdicts = found.verdicts
    facts = Facts(
        ending=end.attrs["ending"],
        diverged=bool(miss_of(entries)),
        passed=overall(verdicts),
        unfired=found.unfired,
        misconfigured=bool(suite_mistake(actions)),
        limited=limited(actions),
        broke=tuple(end.attrs.get("box", {}).get("broke", ())),
        infra_unresolved=unresolved_infra(actions)
        or bool(throttled(actions, end.attrs["ending"], end.attrs.get("duration_ns", 0))),
    )
    return judgement(verdicts, classify(facts))
