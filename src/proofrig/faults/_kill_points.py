"""Kill an agent at a named point of a write, as a crash or an eviction would.

    before_write  the write has arrived, nothing of it is done        in the rig
    mid_bytes     some bytes of a file are written, the rest are not  in the agent's own process
    before_rename the new file is whole, the old one still in place   in the agent's own process
    after_write   it is done, and nobody has told the agent           in the rig
    after_ack     it is done and acknowledged, nothing after it       in the rig

Rules:
1. SIGKILL to every process of the trial, found by the token in their environment; nothing of the
   trial is told or can clean up.
2. A kill happens once; the history says at which point and during which action. An agent whose
   process is not ours to kill goes on, and the history says nothing.
3. A point that is never reached kills nobody: the trial ends as it would, and no note is written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import msgspec

from proofrig.sandboxes.process import halt, sweep

Point = Literal["before_write", "mid_bytes", "before_rename", "after_write", "after_ack"]
POINTS: tuple[Point, ...] = (
    "before_write",
    "mid_bytes",
    "before_rename",
    "after_write",
    "after_ack",
)
IN_THE_AGENT: tuple[Point, ...] = ("mid_bytes", "before_rename")


class KillPoint(msgspec.Struct, frozen=True):
    """Where an agent is killed: at its `nth` write that is at this point. `path`: a glob on the
    files it writes; `bytes`: how many of them still get there (`mid_bytes`). `fault`, `number`: of
    the fault that a suite declares, what it is called and its place among them."""

    point: Point
    nth: int = 1
    path: str = "*"
    bytes: int = 16
    fault: str = ""
    number: int = -1

    def of_fault(self, at: str) -> dict[str, Any]:
        """What the entry `fault` says of it, when it has struck at `at`; empty without one."""
        if not self.fault:
            return {}
        where = {"at": at, "nth": self.nth, "point": self.point}
        return {"fault": self.fault, "number": self.number} | where


class Victim(Protocol):
    """The trial that may be killed."""

    @property
    def token(self) -> str: ...
    @property
    def kill(self) -> KillPoint | None: ...


class Kills:
    """The rig's side: told of every point that a trial reaches. `note(victim, attrs)` writes the
    note `kill`, and the entry `fault` of a kill that a suite declares, with the operating system
    when it returns."""

    def __init__(
        self,
        note: Callable[[Any, dict[str, Any]], None],
        slay: Callable[[str], int] = sweep,
        halt: Callable[[str], int] = halt,
    ) -> None:
        self._note = note
        self._slay = slay
        self._halt = halt
        self._reached: dict[str, int] = {}

    def reached(self, point: str, victim: Victim, action: str) -> bool:
        """A write of `victim` has come to `point`. Blocks until its processes are killed; True when
        they were: a write that was not done yet is not to be done then."""
        kill = victim.kill
        if kill is None:
            return False
        if point == "after_write" and kill.point == "after_ack":
            if self._reached.get(victim.token, 0) + 1 == kill.nth:
                self._halt(victim.token)  # it gets its answer, and does nothing more with it
            return False
        if kill.point != point:
            return False
        count = self._reached[victim.token] = self._reached.get(victim.token, 0) + 1
        if count != kill.nth:
            return False
        if not self._slay(victim.token):
            return False  # it runs where nobody can kill it
        self._note(victim, {"point": point, "at": action})
        return True
