"""A seeded world in virtual time that writes a history: systems of which we know how they are.

    world = World(seed, scenario="burst", agents=200)
    world.spawn(agent(world, 1), at=0.01)     a process yields seconds to sleep, or a Line
    world.run()
    world.entries                             everything that was written, in the order of time

Rules:
1. All chance comes from the seed; no clock is read.
2. Scenarios follow one another in one history: `scenario(...)` ends the one before.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Generator
from typing import Any

from proofrig.history.action import Entry

SECOND = 1_000_000_000
Line = deque  # of processes that wait, first come first served
Process = Generator["float | Line[Any]", None, None]


class World:
    """Processes, a clock that jumps, and the history that they write."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self._written: list[Entry] = []
        self._due: list[tuple[float, int, Process]] = []
        self._count = 0
        self._actions = 0
        self._scenario = ""
        self._begun: dict[str, float] = {}
        self._tenants: dict[str, str] = {}

    @property
    def entries(self) -> list[Entry]:
        """The history, with the last scenario ended."""
        self._close()
        return sorted(self._written, key=lambda entry: entry.t)

    def scenario(self, name: str, **attrs: Any) -> None:
        """Begin a scenario, a second after all that was before."""
        self._close()
        self._scenario = name
        self.note("scenario", state="begin", scenario=name, **attrs)

    def spawn(self, process: Process, at: float = 0.0) -> None:
        """Start a process `at` seconds from now."""
        self._count += 1
        heapq.heappush(self._due, (self.now + at, self._count, process))

    def run(self, until: float = float("inf")) -> None:
        """Run all processes to their end, or until a time."""
        while self._due and self._due[0][0] <= until:
            self.now, _, process = heapq.heappop(self._due)
            try:
                wants = next(process)
            except StopIteration:
                continue
            if isinstance(wants, deque):
                wants.append(process)
            else:
                self.spawn(process, wants)

    def wake(self, line: Line[Any]) -> None:
        """Let the first of a line go on."""
        if line:
            self.spawn(line.popleft())

    def begin(self, trial: str, tenant: str = "acme", role: str = "subject") -> str:
        """A trial begins, and is launched."""
        self._begun[trial], self._tenants[trial] = self.now, tenant
        case = trial.rpartition("@")[0]
        self._write("trial", "begin", trial=trial, attrs={"case": case, "role": role})
        return trial

    def launched(self, trial: str, intended: float, phase: str = "burst") -> None:
        """A trial was launched now, and was meant to at `intended`."""
        times = {"intended_ns": _ns(intended), "started_ns": _ns(self.now)}
        self.note("launch", trial=trial, phase=phase, role="subject", **times)

    def end(self, trial: str, failure: str = "") -> None:
        """A trial ends; "" is passed."""
        took = _ns(self.now) - _ns(self._begun[trial])
        attrs = {"passed": not failure, "failure": failure, "duration_ns": took}
        self._write("trial", "end", trial=trial, attrs=attrs)

    def note(self, name: str, *, trial: str = "", **attrs: Any) -> None:
        """Write a note."""
        self._write("note", name, trial=trial, attrs=attrs)

    def fault(self, kind: str, id: str, trial: str, **attrs: Any) -> None:
        """A fault strikes an action that has begun."""
        self._write("fault", kind, trial=trial, id=id, attrs={"fault": kind, **attrs})

    def reserve(self, name: str, trial: str, **attrs: Any) -> str:
        """An action that the rig decides about begins; returns its id."""
        id = self._new()
        self._write("reserve", name, trial=trial, id=id, attrs={"decision": "allow", **attrs})
        self._write("start", name, trial=trial, id=id)
        return id

    def start(self, name: str, trial: str, **attrs: Any) -> str:
        """An observed action begins; returns its id."""
        id = self._new()
        self._write("start", name, trial=trial, id=id, attrs=attrs)
        return id

    def commit(self, id: str, name: str, trial: str, *, outcome: str = "ok", **attrs: Any) -> None:
        """An action ends."""
        self._write("commit", name, trial=trial, id=id, attrs={"outcome": outcome, **attrs})

    def _close(self) -> None:
        """End the scenario that goes on, after all that was written."""
        if self._scenario:
            last = max(entry.t for entry in self._written) / SECOND
            self.now = max(self.now, last) + 1.0
            self.note("scenario", state="end", scenario=self._scenario)
            self._scenario = ""
            self.now += 1.0

    def _new(self) -> str:
        self._actions += 1
        return f"a{self._actions}"

    def _write(
        self, kind: Any, name: str, *, trial: str, id: str = "", attrs: dict[str, Any] | None = None
    ) -> None:
        tenant = self._tenants.get(trial, "")
        self._written.append(
            Entry(len(self._written), _ns(self.now), kind, name, trial, tenant, "", id, attrs or {})
        )


def _ns(seconds: float) -> int:
    return round(seconds * SECOND)
