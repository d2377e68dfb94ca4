"""What the history is told of a trial that a scenario launched, beside what every trial tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from proofrig.agents.agent import Reply
from proofrig.agents.gate import Ticket
from proofrig.history.action import Action
from proofrig.scenarios.scenario import Start
from proofrig.suites import Planned
from proofrig.trials.accepted import accepted_results
from proofrig.trials.faulted import IN_THE_AGENT, disorder

if TYPE_CHECKING:
    from proofrig.trials.stage import Stage


class Ran(Protocol):
    """A trial that has ended."""

    trial: str
    scope: str
    ticket: Ticket
    ended_ns: int
    reply: Reply
    actions: tuple[Action, ...]


def of_begin(start: Start) -> dict[str, Any]:
    """Attributes of the trial's begin."""
    return {"scenario": start.scenario} | ({"part": start.part} if start.part else {})


def is_unjudged(start: Start | None) -> bool:
    """True when the case's verifiers do not fit what was asked, or the agent was killed."""
    return start is not None and (start.task is not None or start.kill is not None)


def asked(stage: Stage, planned: Planned) -> str | None:
    """What the scenario has asked instead of the case's task, with the tenant's canaries in it."""
    start = planned.start
    if start is None or start.task is None:
        return None
    text: str = stage.planting.fill(start.task, start.tenant)
    return text


def passed_unjudged(planned: Planned, reply: Reply) -> bool | None:
    """Whether a trial without verdicts passed: one that nobody may judge does when it ends well."""
    return True if is_unjudged(planned.start) and reply.ending == "ok" else None


def write_kill(stage: Stage, ran: Ran, planned: Planned) -> None:
    """What the history is told of a kill inside an agent that has ended: nobody else saw it."""
    kill = stage.kill_of(planned)
    if kill is None or kill.point not in IN_THE_AGENT or ran.reply.ending != "killed":
        return
    owner = {"trial": ran.trial, "tenant": planned.tenant, "scope": ran.scope}
    stage.journal.write("note", "kill", **owner, attrs={"point": kill.point, "at": ""})
    if said := kill.of_fault("process"):
        stage.journal.write("fault", "kill", **owner, attrs=said)


def write_probe(stage: Stage, ran: Ran, start: Start) -> None:
    """The note `probe`, before the agent may meet what it asks for."""
    if start.operator:
        query = asked(stage, Planned.of(start)) or ""
        attrs = {"of": start.imitates, "operator": start.operator, "query": query}
        stage.journal.write(
            "note", "probe", trial=ran.trial, tenant=start.tenant, scope=ran.scope, attrs=attrs
        )


def write_notes(stage: Stage, ran: Ran, start: Start) -> None:
    """The notes `launch` and `accepted` of a trial whose agent has ended."""

    def note(name: str, attrs: dict[str, Any]) -> None:
        stage.journal.write(
            "note", name, trial=ran.trial, tenant=start.tenant, scope=ran.scope, attrs=attrs
        )

    ticket = ran.ticket
    origin = stage.clock.origin_ns
    if ticket.started_ns or ticket.intended_ns:
        intended = ticket.intended_ns or ticket.started_ns
        started = ticket.started_ns or intended  # of one that never said when: it was released
        times = {"intended_ns": intended - origin, "started_ns": started - origin}
        times["ended_ns"] = ran.ended_ns - origin
        note("launch", times | {"phase": start.phase, "part": start.part, "role": start.role})
    if disorder(stage.faults):
        for accepted in accepted_results(ran.actions, stage.payloads.get):
            note("accepted", accepted)
