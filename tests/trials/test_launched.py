"""What a scenario's trial leaves on the history: when it was launched, whether it was killed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proofrig.agents.agent import Ending, Reply
from proofrig.agents.gate import Ticket
from proofrig.faults._kill_points import KillPoint, Point
from proofrig.faults.fault import Fault
from proofrig.faults.late_result import LateResult
from proofrig.faults.latency import Latency
from proofrig.gateways.gateway import RunClock
from proofrig.history.action import Action
from proofrig.history.history import History
from proofrig.history.journal import Journal
from proofrig.scenarios.scenario import Start
from proofrig.suites import Planned
from proofrig.trials.launched import (
    is_unjudged,
    of_begin,
    passed_unjudged,
    write_kill,
    write_notes,
)

ORIGIN = 1_000


@dataclass
class Ran:
    trial: str = "a@burst:1"
    scope: str = "acme/desk/subject/a"
    ticket: Ticket = field(default_factory=Ticket)
    reply: Reply = field(default_factory=Reply)
    actions: tuple[Action, ...] = ()
    ended_ns: int = ORIGIN + 20


def start(**given: Any) -> Start:
    known = {"trial": "a@burst:1", "case": "a", "tenant": "acme", "seed": 1, "scenario": "burst"}
    return Start(**known | given)


def ticket(intended_ns: int, started_ns: int) -> Ticket:
    made = Ticket()
    made.intended_ns, made.started_ns = intended_ns, started_ns
    return made


def noted(
    tmp_path: Path, ran: Ran, started: Start, faults: tuple[Fault, ...] = ()
) -> dict[str, dict[str, Any]]:
    """The notes of a trial, by name."""
    journal = Journal(tmp_path, "runner", lambda: 7)
    payloads = SimpleNamespace(get=lambda digest: None)
    stage: Any = SimpleNamespace(
        journal=journal,
        clock=RunClock(ORIGIN),
        payloads=payloads,
        faults=faults,
        kill_of=lambda planned: planned.start.kill,
    )
    write_kill(stage, ran, Planned.of(started))
    write_notes(stage, ran, started)
    journal.close()
    notes = [e for e in History(tmp_path).entries() if e.name != "segment"]
    assert {(e.kind, e.trial, e.tenant) for e in notes} <= {("note", ran.trial, "acme")}
    return {entry.name: entry.attrs for entry in notes}


def test_a_launch_is_told_in_nanoseconds_since_the_run_began(tmp_path: Path) -> None:
    ran = Ran(ticket=ticket(ORIGIN + 5, ORIGIN + 9))
    assert noted(tmp_path, ran, start(phase="burst", part="load", role="helper")) == {
        "launch": {
            "intended_ns": 5,
            "started_ns": 9,
            "ended_ns": 20,
            "phase": "burst",
            "part": "load",
            "role": "helper",
        }
    }


def test_one_that_was_never_parked_was_meant_to_start_when_it_did(tmp_path: Path) -> None:
    launch = noted(tmp_path, Ran(ticket=ticket(0, ORIGIN + 9)), start())["launch"]
    assert (launch["intended_ns"], launch["started_ns"]) == (9, 9)


def test_one_that_never_said_when_it_started_did_at_its_release(tmp_path: Path) -> None:
    launch = noted(tmp_path, Ran(ticket=ticket(ORIGIN + 5, 0)), start())["launch"]
    assert (launch["intended_ns"], launch["started_ns"]) == (5, 5)


def test_one_that_was_never_released_was_not_launched(tmp_path: Path) -> None:
    assert noted(tmp_path, Ran(ticket=ticket(0, 0)), start()) == {}


@pytest.mark.parametrize(
    ("point", "ending", "told"),
    [
        ("mid_bytes", "killed", True),
        ("before_rename", "killed", True),
        ("mid_bytes", "ok", False),  # it never came there
        ("after_ack", "killed", False),  # the rig has told it
    ],
)
def test_a_kill_inside_the_agent_is_told_when_it_came_to_it(
    tmp_path: Path, point: Point, ending: Ending, told: bool
) -> None:
    found = noted(tmp_path, Ran(reply=Reply(ending=ending)), start(kill=KillPoint(point)))
    assert ("kill" in found) == told
    if told:
        assert found["kill"]["point"] == point


def test_a_kill_inside_the_agent_that_a_suite_declares_is_a_fault(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "runner", lambda: 7)
    kill = KillPoint("mid_bytes", 2, fault="torn", number=3)
    stage: Any = SimpleNamespace(journal=journal, kill_of=lambda planned: kill)
    write_kill(stage, Ran(reply=Reply(ending="killed")), Planned.of(start()))
    journal.close()
    note, fault = [e for e in History(tmp_path).entries() if e.name != "segment"]
    assert (note.kind, fault.kind, note.name, fault.name) == ("note", "fault", "kill", "kill")
    assert fault.attrs == {
        "fault": "torn",
        "number": 3,
        "at": "process",
        "nth": 2,
        "point": "mid_bytes",
    }


def test_what_was_accepted_is_looked_for_only_under_disorder(tmp_path: Path) -> None:
    looked: list[str] = []

    class Watched(Ran):
        @property
        def actions(self) -> tuple[Action, ...]:  # type: ignore[override]
            looked.append("looked")
            return ()

        @actions.setter
        def actions(self, given: tuple[Action, ...]) -> None: ...

    assert noted(tmp_path, Watched(), start(), (LateResult(),)) == {}
    assert looked == ["looked"]
    assert noted(tmp_path, Watched(), start(), (Latency(),)) == {}
    assert looked == ["looked"]


@pytest.mark.parametrize(
    ("given", "unjudged"),
    [({}, False), ({"task": "another"}, True), ({"kill": KillPoint("after_ack")}, True)],
)
def test_who_was_asked_something_else_or_killed_is_not_judged(
    given: dict[str, Any], unjudged: bool
) -> None:
    begun = start(**given)
    assert is_unjudged(begun) == unjudged
    passed = passed_unjudged(Planned.of(begun), Reply())
    assert passed is (True if unjudged else None)
    assert passed_unjudged(Planned.of(begun), Reply(ending="timeout")) is None
    assert not is_unjudged(None)


def test_a_begin_names_the_scenario_and_the_part() -> None:
    assert of_begin(start()) == {"scenario": "burst"}
    assert of_begin(start(part="probe")) == {"scenario": "burst", "part": "probe"}
