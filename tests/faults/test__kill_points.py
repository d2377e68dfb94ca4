"""Kills: who is killed at which of its writes, and what is written down before it is."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from proofrig.faults._kill_points import IN_THE_AGENT, POINTS, KillPoint, Kills


@dataclass(frozen=True)
class Trial:
    token: str
    kill: KillPoint | None


class Record:
    """A rig's `Kills` whose notes and victims are kept, in the order in which they came."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.kills = Kills(self._note, self._slay)

    def _note(self, victim: Trial, attrs: dict[str, Any]) -> None:
        self.seen.append(("note", victim.token, attrs))

    def _slay(self, marker: str) -> int:
        self.seen.append(("slay", marker))
        return 1


def test_who_was_killed_stands_on_the_history() -> None:
    record = Record()
    assert record.kills.reached("after_write", Trial("t1", KillPoint("after_write")), "a.7")
    assert record.seen == [
        ("slay", "t1"),
        ("note", "t1", {"point": "after_write", "at": "a.7"}),
    ]


def test_who_cannot_be_killed_goes_on_and_no_note_says_otherwise() -> None:
    notes: list[Any] = []
    kills = Kills(lambda victim, attrs: notes.append(attrs), lambda token: 0)
    assert not kills.reached("before_write", Trial("t1", KillPoint("before_write")), "a.7")
    assert notes == []


def test_it_happens_at_the_write_that_was_named_and_once() -> None:
    record = Record()
    victim = Trial("t1", KillPoint("before_write", nth=2))
    for number in range(1, 5):
        record.kills.reached("before_write", victim, f"a.{number}")
    assert [each[2]["at"] for each in record.seen if each[0] == "note"] == ["a.2"]


def test_each_trials_writes_are_counted_apart() -> None:
    record = Record()
    trials = [Trial(f"t{n}", KillPoint("after_ack", nth=2)) for n in (1, 2)]
    for action in ("a", "b"):
        for trial in trials:
            record.kills.reached("after_ack", trial, f"{trial.token}.{action}")
    assert [each[1] for each in record.seen if each[0] == "slay"] == [
        "t1",
        "t2",
    ]


@pytest.mark.parametrize("kill", [None, KillPoint("after_ack"), KillPoint("mid_bytes")])
def test_nobody_else_is_killed_and_nothing_is_noted(kill: KillPoint | None) -> None:
    record = Record()
    for _ in range(3):
        record.kills.reached("before_write", Trial("t1", kill), "a.1")
    assert record.seen == []


def test_the_points_in_the_agents_own_process_are_points() -> None:
    assert set(IN_THE_AGENT) < set(POINTS)


def test_the_processes_with_the_token_are_killed_and_no_others() -> None:
    """The default: whatever has the trial's token in its environment, and not one that begins
    alike."""
    sleeping = [sys.executable, "-S", "-c", "import time; print(flush=True); time.sleep(60)"]
    token = f"kill-{os.getpid()}"
    running = {
        name: subprocess.Popen(
            sleeping, env={**os.environ, "PROOFRIG_TOKEN": name}, stdout=subprocess.PIPE
        )
        for name in (token, token + "0")
    }
    try:
        for process in running.values():
            assert process.stdout is not None
            process.stdout.readline()
        Kills(lambda victim, attrs: None).reached(
            "after_ack", Trial(token, KillPoint("after_ack")), "a"
        )
        assert running[token].wait(10) == -9
        assert running[token + "0"].poll() is None
    finally:
        for process in running.values():
            process.kill()
            process.communicate()


def test_one_that_is_killed_after_its_answer_is_stopped_before_it_gets_it() -> None:
    seen: list[str] = []
    kills = Kills(
        lambda victim, attrs: seen.append(attrs["point"]),
        lambda token: len(seen.append("killed") or "x"),  # type: ignore[func-returns-value]
        lambda token: len(seen.append("stopped") or "x"),  # type: ignore[func-returns-value]
    )
    victim = Trial("t1", KillPoint("after_ack", nth=2))
    for action in ("a", "b"):
        assert not kills.reached("after_write", victim, action)
        seen.append(f"answered {action}")
        kills.reached("after_ack", victim, action)
    assert seen == ["answered a", "stopped", "answered b", "killed", "after_ack"]
