"""One attempt at one trial: world, agent, evidence, verdicts, and the entries that say so.

    begin entry -> world -> rig.begin -> agent.run -> rig.end -> verify -> classify -> end entry

Rules:
1. Verifiers run after the agent has ended and its calls are settled, outside its reach.
2. Whatever happens to one trial is written down and stays with it; other trials go on.
3. A trial has finished when its end entry is with the operating system, and not before.
4. Three things end the whole run: a history that cannot be written, a rig that is lost, and a
   provider that will never answer again. The trials they cut off stay unfinished, for `resume`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from proofrig.agents.agent import Attempt, Reply
from proofrig.agents.environment import identity_headers, trial_root
from proofrig.agents.gate import Gate, Ticket
from proofrig.errors import InfraError, JournalError, ProviderError
from proofrig.gateways.gateway import Binding
from proofrig.history.action import Action, Entry
from proofrig.history.history import pair
from proofrig.rig.link import RigLost
from proofrig.suites import Case, Planned, WorldStart, build_world
from proofrig.trials import launched
from proofrig.trials.allowance import Overdrawn
from proofrig.trials.baseline import role_of
from proofrig.trials.boxing import Left, told
from proofrig.trials.evidence import gather, miss_of, state_note
from proofrig.trials.failure import (
    MEASURED,
    Facts,
    FailureClass,
    broken,
    classify,
    limited,
    overall,
    suite_mistake,
    unresolved_infra,
)
from proofrig.trials.isolation import level_of
from proofrig.trials.stage import Stage
from proofrig.trials.throttled import throttled
from proofrig.verifiers.expectations import Expect, Judged, Tried, judged
from proofrig.verifiers.verifier import Evidence, Verdict, Verifier, judge


class Outcome(msgspec.Struct, frozen=True):
    """How an attempt ended; all that the runner keeps of it."""

    trial: str
    passed: bool | None
    failure: FailureClass
    error: str = ""


@dataclass(slots=True)
class _Ran:
    """One attempt on its way. `trial` is its id on the history, `started` its world."""

    stage: Stage
    planned: Planned
    case: Case
    trial: str
    scope: str
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    began_ns: int = field(default_factory=time.monotonic_ns)
    started: WorldStart = field(default_factory=WorldStart)
    reply: Reply = field(default_factory=Reply)
    actions: tuple[Action, ...] = ()
    state: Entry | None = None
    infra: str = ""
    throttled: str = ""  # what a vendor's limits did to it
    harness: str = ""
    mistake: str = ""  # of the suite's author
    miss: str = ""  # where it left its recording
    ticket: Ticket = field(default_factory=Ticket)
    left: Left | None = None  # what its box told
    ended_ns: int = 0  # when the agent had answered, `time.monotonic_ns`

    def error(self, failure: FailureClass) -> str:
        """Why the attempt ended as it did, for people."""
        if failure == "diverged":
            return self.miss
        mistake = self.mistake if failure == "harness" else ""
        throttled = self.throttled if failure == "infra" else ""
        broke = ""
        if failure == "limit" and self.left is not None:
            broke = broken(self.left.ended, self.stage.boxing.base.limits)
        return self.infra or self.harness or mistake or throttled or broke or self.reply.error

    def write(self, name: str, attrs: dict[str, Any]) -> None:
        """Put a `trial` entry on the history and hand it to the operating system."""
        journal = self.stage.journal
        tenant = self.planned.tenant
        journal.write("trial", name, trial=self.trial, tenant=tenant, scope=self.scope, attrs=attrs)
        journal.flush()


async def attempt(
    stage: Stage, planned: Planned, number: int, last: bool, gate: Gate | None = None
) -> Outcome:
    """Run attempt `number` (from 1). Unless it is the `last` one allowed, an infra failure is
    written down as to be retried. Behind a `gate` the agent is parked until all others are there.
    Raises JournalError and RigLost, which end the run, and Overdrawn, which leaves the attempt
    without an end: the money of the whole run did not last."""
    trial = planned.trial if number == 1 else f"{planned.trial}~{number}"
    case = stage.planting.case(stage.cases[planned.case], planned.tenant)
    ran = _Ran(stage, planned, case, trial, stage.scope(planned, trial))
    if planned.start is not None:
        ran.ticket = Ticket(gate, planned.start.at_ns if gate else 0)
    began = {
        "case": planned.case,
        "repeat": planned.repeat,
        "attempt": number,
        "seed": planned.seed,
        "role": role_of(planned),
    }
    ran.write("begin", began | (launched.of_begin(planned.start) if planned.start else {}))
    if planned.start is not None:
        launched.write_probe(stage, ran, planned.start)
    try:
        await _run_agent(ran)
    finally:
        ran.ticket.parked()  # whatever happened, the others need not wait for it
    launched.write_kill(stage, ran, planned)
    if planned.start is not None:
        launched.write_notes(stage, ran, planned.start)
    if stage.provider is not None and (why := stage.provider.lost()):
        raise ProviderError(why)
    if stage.allowance is not None and stage.allowance.is_overdrawn(trial):
        raise Overdrawn(trial)
    judging = not (ran.infra or ran.harness or launched.is_unjudged(planned.start))
    found = await _judged(ran) if judging else Judged([])
    verdicts = found.verdicts
    failure = classify(
        Facts(
            ending=ran.reply.ending,
            infra_error=bool(ran.infra),
            harness_error=bool(ran.harness),
            diverged=bool(ran.miss),
            passed=overall(verdicts) if judging else launched.passed_unjudged(planned, ran.reply),
            unfired=found.unfired,
            misconfigured=bool(ran.mistake),
            limited=limited(ran.actions),
            broke=ran.left.ended.broke if ran.left else (),
            infra_unresolved=bool(ran.throttled) or unresolved_infra(ran.actions),
        )
    )
    again = {"retried": True} if failure == "infra" and not last else {}
    ran.write("end", _end(ran, verdicts, failure) | again)
    return Outcome(
        planned.trial,
        (failure == "") if failure in MEASURED else None,
        failure,
        ran.error(failure),
    )


async def _run_agent(ran: _Ran) -> None:
    """World, agent, settlement. What goes wrong is kept in `ran`."""
    stage = ran.stage
    stage.following.open(ran.trial)
    try:
        if ran.case.world is not None:
            folder = stage.folder(ran.trial) / "world"
            ran.started = await asyncio.to_thread(build_world, ran.case, ran.case.dir, folder)
        world = str(ran.started.path) if ran.started.path else ""
        await stage.rig.begin(_binding(ran, world))
        try:
            reply = await _boxed(ran, _task(ran, world))
            ran.reply = _cut(reply, stage.suite.limits.answer_bytes)
        finally:
            ran.ended_ns = time.monotonic_ns()
            await stage.rig.end(ran.token)
            stage.tidy(ran.trial)
    except (JournalError, RigLost):
        raise
    except InfraError as error:
        ran.infra = str(error)
    except Exception as error:
        ran.harness = f"{type(error).__name__}: {error}"
        ran.reply = Reply(ending="error", detail=traceback.format_exc())
    finally:
        entries = stage.following.take(ran.trial)
        ran.actions = tuple(pair(entries))
        ran.state = state_note(entries)
        ran.miss = miss_of(entries)
        ran.mistake = suite_mistake(ran.actions)
        took_ns = time.monotonic_ns() - ran.began_ns
        ran.throttled = throttled(ran.actions, ran.reply.ending, took_ns)


async def _boxed(ran: _Ran, task: Attempt) -> Reply:
    """Let the agent run in the trial's box, if it has one, and keep what the box tells."""
    stage, planned = ran.stage, ran.planned
    agent = stage.agent_of(planned)
    world = task.workdir
    box = await stage.box(planned, ran.token, world, ran.trial)
    if box is None:
        return await agent.run(task)
    stage.rig.boxes[ran.token] = box
    try:
        workdir = stage.world_in_box(world)
        return await agent.run(msgspec.structs.replace(task, box=box, workdir=workdir))
    finally:
        del stage.rig.boxes[ran.token]
        ran.left = await stage.leave(box, world)


def _binding(ran: _Ran, world: str) -> Binding:
    """The trial as the gateways see it."""
    state = ran.case.world.state if ran.case.world else None
    start = ran.planned.start
    return Binding(
        token=ran.token,
        trial=ran.trial,
        tenant=ran.planned.tenant,
        scope=ran.scope,
        world=world,
        seed=ran.planned.seed,
        state=state or {},
        keep_state=state is not None,
        kill=ran.stage.kill_of(ran.planned),
        gated=ran.ticket.gate is not None,
        case=ran.planned.case,
        scenario=start.scenario if start else "",
        faulted=role_of(ran.planned) not in ("null", "reference"),
        began_ns=ran.stage.clock(),
    )


def _cut(reply: Reply, limit: int) -> Reply:
    """The reply with at most `limit` bytes of answer."""
    data = reply.answer.encode("utf-8", "replace")
    if len(data) <= limit:
        return reply
    answer = data[:limit].decode("utf-8", "ignore")
    return msgspec.structs.replace(reply, answer=answer, truncated=True)


def _task(ran: _Ran, world: str) -> Attempt:
    """The trial as the agent sees it."""
    stage, role, reference = ran.stage, role_of(ran.planned), ran.case.reference
    asked = launched.asked(stage, ran.planned)
    return Attempt(
        trial=ran.trial,
        task=ran.case.messages_or_task() if asked is None else asked,
        token=ran.token,
        env=stage.environment(ran.token, ran.planned, stage.world_in_box(world), ran.trial),
        workdir=world or stage.empty_workdir(ran.trial),
        timeout_s=stage.suite.timeout_of(ran.case),
        tenant=ran.planned.tenant,
        seed=ran.planned.seed,
        headers=identity_headers(ran.token, ran.trial),
        root=trial_root(stage.rig.port, ran.token),
        ticket=ran.ticket,
        reference=reference.model_dump() if reference and role == "reference" else None,
    )


def _evidence(ran: _Ran) -> Evidence:
    stage = ran.stage
    level, payload = level_of(stage.suite), stage.payloads.get
    return gather(
        ran.case,
        ran.reply.answer,
        ran.actions,
        payload,
        ran.started,
        state=ran.state,
        level=level,
        changes=ran.left.changes if ran.left else None,
    )


async def _judged(ran: _Ran) -> Judged:
    """What counts of it; evidence that cannot be gathered is the trial's trouble, not the run's."""
    if ran.left is not None and ran.started.path and ran.left.changes.error:
        return Judged([_no_world(ran.left.changes.error)])
    try:
        evidence = _evidence(ran)
        own = await verify(ran.case.verify, evidence)
        expect = expected_of(ran.case, role_of(ran.planned))
        return judged(expect, own, evidence, Tried.of(ran.reply, ran.reply.answer))
    except Exception as error:
        ran.harness = f"{type(error).__name__}: {error}"
        return Judged([])


def _no_world(error: str) -> Verdict:
    """The verdict on what could not be collected: more than a world may hold, most often."""
    return Verdict("world", False, message=f"the world it left could not be collected: {error}")


def expected_of(case: Case, role: str) -> Expect | None:
    """What the case expects under faults; nothing of baselines, which meet none."""
    return None if role in ("null", "reference") else case.expect


async def verify(verifiers: Iterable[Verifier], evidence: Evidence) -> list[Verdict]:
    """All verdicts. What reads files, databases or commands, or runs the suite's code, runs in a
    thread of its own."""
    verifiers = list(verifiers)
    if all(verifier.needs() <= {"actions", "trajectory", "state"} for verifier in verifiers):
        return [judge(verifier, evidence) for verifier in verifiers]
    return await asyncio.to_thread(lambda: [judge(verifier, evidence) for verifier in verifiers])


def _end(ran: _Ran, verdicts: list[Verdict], failure: FailureClass) -> dict[str, Any]:
    """The attributes of the end entry; what says nothing is left out."""
    stage, reply = ran.stage, ran.reply
    attrs = judgement(verdicts, failure) | {
        "answer": stage.journal.payload(reply.answer.encode("utf-8", "replace")),
        "ending": reply.ending,
        "duration_ns": time.monotonic_ns() - ran.began_ns,
    }
    optional = {
        "error": ran.error(failure),
        "detail": reply.detail[-4_000:] if failure or reply.ending != "ok" else "",
        "exit_code": reply.exit_code,
        "usage": reply.usage,
        "truncated": reply.truncated,
        "throttled": bool(ran.throttled) and failure == "infra",
        "world": stage.relative(ran.started.path) if ran.started.path else "",
    }
    if ran.left is not None:
        optional |= told(ran.left, stage.journal)
    return attrs | {name: value for name, value in optional.items() if value}


def judgement(verdicts: list[Verdict], failure: FailureClass) -> dict[str, Any]:
    """What verdicts come to, as the history keeps it: the words only where they did not pass."""
    measured = failure in MEASURED
    scores = [verdict.score for verdict in verdicts]
    kept = (Verdict(v.verifier, True, v.score) if v.passed else v for v in verdicts)
    return {
        "passed": (failure == "") if measured else None,
        "failure": failure,
        "score": sum(scores) / len(scores) if scores and measured else 0.0,
        "verdicts": [msgspec.to_builtins(verdict) for verdict in kept],
    }
