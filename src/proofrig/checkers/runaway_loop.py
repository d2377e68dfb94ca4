"""Runs that did the same over and over and learned nothing.

Rules:
1. A loop is found where `anomalies.loops` comes to its last step; what only reaches a warning or a
   denial is counted. So what is right now and then (a second look, a retry) is none.
2. One loop is one finding, with how often it went round in all.
3. The witness is the last calls of the loop, up to `SHOWN`.
4. What is kept of a run goes when its trial ends.
"""

from __future__ import annotations

from collections import deque
from typing import ClassVar

from proofrig.anomalies.loops import MODEL, Loop, Loops
from proofrig.anomalies.names import empty
from proofrig.checkers._calls import APART, done_of, run_of, settings_of
from proofrig.checkers.checker import Checked, Evidence, Findings, Setting, conclude
from proofrig.history.action import Action, Entry

SHOWN = 8
ASKED = 1024  # digests of results that were looked into
STOP = 3

_Call = tuple[int, str, str, str]  # time, name, id, result: evidence in the making


class _Run:
    """One run, and the loop it is in."""

    __slots__ = ("calls", "level", "loop", "loops", "tenant", "worst")

    def __init__(self, loops: Loops, tenant: str) -> None:
        self.loops = loops
        self.tenant = tenant
        self.calls: deque[_Call] = deque(maxlen=SHOWN)
        self.loop: Loop | None = None  # the one at its last step
        self.worst: list[_Call] = []
        self.level = 0


class RunawayLoop:
    """Finds repeats, ping-pong, retries and polling without end, and calls that bring nothing."""

    name: ClassVar[str] = "runaway_loop"
    reads: ClassVar[tuple[str, ...]] = ("",)
    notes: ClassVar[tuple[str, ...]] = ("trial.end",)
    timing: ClassVar[bool] = False
    always: ClassVar[bool] = True

    def __init__(self, setting: Setting) -> None:
        self._settings = settings_of(setting)
        self._payload = setting.payload
        self._empty: dict[str, bool] = {}
        self._runs: dict[tuple[str, str], _Run] = {}
        self._scopes: dict[str, set[str]] = {}  # of a trial
        self._findings = Findings()
        self._counts = {"calls": 0, "runs": 0, "warned": 0, "denied": 0}
        self._longest = 0

    def action(self, action: Action) -> None:
        if action.name.startswith(APART):
            return
        done = done_of(action)
        if done is None or not done.arguments:
            return
        counts = self._counts
        counts["calls"] += 1
        key = run_of(action)
        run = self._runs.get(key)
        if run is None:
            run = self._runs[key] = _Run(Loops(self._settings, self._is_empty), action.tenant)
            self._scopes.setdefault(action.trial, set()).add(action.scope)
            counts["runs"] += 1
        loop = run.loops.ended(done)
        if loop is None and done.name.startswith(MODEL):
            return  # a turn between two calls ends no loop of theirs
        run.calls.append((done.ended_ns, done.name, action.id, done.result))
        if loop is not None or run.level:
            self._step(key[0], run, loop)

    def note(self, entry: Entry) -> None:
        """A trial has ended: nothing of it goes on."""
        for scope in self._scopes.pop(entry.trial, ()):
            self._close(entry.trial, self._runs.pop((entry.trial, scope)))

    def result(self) -> Checked:
        for (trial, _), run in self._runs.items():
            self._close(trial, run)
        return conclude(
            self.name,
            self._findings,
            self._counts,
            wanted="calls",
            missing="no call with its arguments was seen, so nothing can be said",
            measures={
                "loops": float(len(self._findings)),
                "loop_longest": float(self._longest),
            },
        )

    def _step(self, trial: str, run: _Run, loop: Loop | None) -> None:
        level = loop.level if loop is not None else 0
        if run.loop is not None and (
            loop is None or (loop.kind, loop.since) != (run.loop.kind, run.loop.since)
        ):
            self._close(trial, run)
        counts = self._counts
        counts["warned"] += run.level < 1 <= level
        counts["denied"] += run.level < 2 <= level
        run.level = level
        if loop is not None:
            self._longest = max(self._longest, loop.count)
            if level == STOP:
                run.loop = loop
                run.worst = list(run.calls)

    def _close(self, trial: str, run: _Run) -> None:
        """The loop that the run was in is over."""
        loop, run.loop = run.loop, None
        if loop is None:
            return
        witness = [
            Evidence(t, name, f"came to {result[:12] or 'nothing'}", id, trial, run.tenant)
            for t, name, id, result in run.worst
            if name in loop.names or loop.kind == "no_progress"
        ]
        who = trial or "a run"
        self._findings.add(loop.kind, f"{who} {_says(loop)}", witness)

    def _is_empty(self, digest: str) -> bool:
        known = self._empty.get(digest)
        if known is None:
            if len(self._empty) >= ASKED:
                self._empty.clear()
            known = self._empty[digest] = empty(self._payload(digest))
        return known


def _says(loop: Loop) -> str:
    names = ", ".join(loop.names)
    if loop.kind == "repeat":
        return f"called {names} {loop.count} times in a row with one and the same result"
    if loop.kind == "ping_pong":
        return f"went round {names} {loop.count} times, with the same results each time"
    if loop.kind == "retry":
        return f"called {names} {loop.count} times in a row, which failed in the same way each time"
    if loop.kind == "no_progress":
        return f"made {loop.count} calls in a row that came to the same nothing ({names})"
    return f"asked {names} the same {loop.count} times in a row"
