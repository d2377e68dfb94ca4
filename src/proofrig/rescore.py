"""Judging a stored run again, from its history and the worlds its trials left. No agent runs.

Rules:
1. The history is only added to: a new judgement is a `rescored` note, and the latest one counts.
2. A trial that could not be run at all (infra, harness) has nothing to judge and stays as it was.
3. What verifiers need and what was not kept is "not measured", with the reason.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from proofrig.errors import UsageError
from proofrig.evaluation import Conclusion, Options, Run, clock_of, conclude
from proofrig.history.action import Action, Entry
from proofrig.history.archive import archive
from proofrig.history.history import History, pair
from proofrig.history.journal import Journal
from proofrig.history.payloads import PayloadReader
from proofrig.suites import Case, Suite, WorldStart, build_world
from proofrig.trials import manifest as manifests
from proofrig.trials.evidence import gather
from proofrig.trials.failure import Facts, classify, limited, overall, unresolved_infra
from proofrig.trials.rundir import locked
from proofrig.trials.trial import judgement
from proofrig.verifiers.verifier import judge


def rescore(suite: Suite, run_dir: Path, options: Options) -> Conclusion:
    """Judge every finished trial of the run with the suite's verifiers as they are now.

    Raises UsageError when the suite lacks a case of the run.
    """
    manifest = manifests.read(run_dir)
    cases = {case.id: case for case in suite.cases}
    with locked(run_dir):
        payloads = PayloadReader(run_dir)
        judged = [
            (end, _judge_again(_case(cases, end), end, actions, payloads, run_dir))
            for end, actions in ended_trials(History(run_dir))
            if end.attrs["verdicts"] and not end.attrs.get("retried")
        ]
        journal = Journal(run_dir, "rescore", clock_of(manifest))
        for end, attrs in judged:
            journal.write(
                "note", "rescored", trial=end.trial, tenant=end.tenant, scope=end.scope, attrs=attrs
            )
        journal.close()
        conclusion = conclude(Run(suite, run_dir, manifest, options), "finished", [])
        if options.compress:
            archive(run_dir)
        return conclusion


def ended_trials(history: History) -> Iterator[tuple[Entry, tuple[Action, ...]]]:
    """Each trial's end entry with its actions; keeps only the entries of open trials."""
    waiting: dict[str, list[Entry]] = {}
    for entry in history.entries():
        if entry.kind == "trial" and entry.name == "end":
            yield entry, tuple(pair(waiting.pop(entry.trial, [])))
        elif entry.trial and entry.id:
            waiting.setdefault(entry.trial, []).append(entry)


def _case(cases: dict[str, Case], end: Entry) -> Case:
    name = end.trial.rpartition(":")[0]
    if name not in cases:
        raise UsageError(
            f"the run has trials of case {name!r}, which the suite does not have any more; "
            "rescore with the suite it was run with, or with one that adds to it"
        )
    return cases[name]


def _judge_again(
    case: Case, end: Entry, actions: tuple[Action, ...], payloads: PayloadReader, run_dir: Path
) -> dict[str, object]:
    answer = payloads.get(end.attrs["answer"]) or b""
    with tempfile.TemporaryDirectory(prefix="proofrig-") as fresh:
        world = WorldStart()
        if case.world is not None:
            began = build_world(case, case.dir, Path(fresh))
            left = run_dir / end.attrs.get("world", "")
            world = WorldStart(left, began.before, began.initial_sql)
        evidence = gather(case, answer.decode("utf-8", "replace"), actions, payloads.get, world)
        verdicts = [judge(verifier, evidence) for verifier in case.verify]
    facts = Facts(
        ending=end.attrs["ending"],
        passed=overall(verdicts),
        limited=limited(actions),
        infra_unresolved=unresolved_infra(actions),
    )
    return judgement(verdicts, classify(facts))
