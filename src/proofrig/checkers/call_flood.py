"""Runs that suddenly made far more calls, or used far more tokens, than they did before.

Rules:
1. A flood is found where `anomalies.floods` comes to its last step; shorter bursts are counted.
2. One flood is one finding. Its witness: the first call of the run, the first that was hot, the
   last one.
3. A run that was over before its own pace was known says nothing.
"""

from __future__ import annotations

from typing import ClassVar

from proofrig.anomalies.floods import Flood, Floods
from proofrig.checkers._calls import APART, run_of, settings_of, tokens_of
from proofrig.checkers.checker import Checked, Evidence, Findings, Setting, conclude, evidence
from proofrig.history.action import Action, Entry

STOP = 3


class _Run:
    """One run, and the flood it is in."""

    __slots__ = ("first", "flood", "floods", "hot", "last", "settled")

    def __init__(self, floods: Floods, first: Evidence) -> None:
        self.floods = floods
        self.first = first
        self.hot: Evidence | None = None
        self.last: Evidence | None = None
        self.flood: Flood | None = None
        self.settled = False


class CallFlood:
    """Finds floods of calls and of tokens, whatever they cost."""

    name: ClassVar[str] = "call_flood"
    reads: ClassVar[tuple[str, ...]] = ("",)
    notes: ClassVar[tuple[str, ...]] = ("trial.end",)
    timing: ClassVar[bool] = False
    always: ClassVar[bool] = True

    def __init__(self, setting: Setting) -> None:
        self._settings = settings_of(setting)
        self._runs: dict[tuple[str, str], _Run] = {}
        self._scopes: dict[str, set[str]] = {}
        self._findings = Findings()
        self._calls = self._known = self._bursts = self._all = 0
        self._fastest = 0.0

    def action(self, action: Action) -> None:
        if action.name.startswith(APART):
            return
        end, reserve = action.end, action.reserve
        if end is not None and end.kind == "commit":
            at, tokens = end.t, tokens_of(end.attrs)
        elif reserve is not None and action.denied:
            at, tokens = reserve.t, 0
        else:
            return
        self._calls += 1
        key = run_of(action)
        run = self._runs.get(key)
        if run is None:
            first = evidence(action, "the first call of the run")
            run = self._runs[key] = _Run(Floods(self._settings), first)
            self._scopes.setdefault(action.trial, set()).add(action.scope)
            self._all += 1
        flood = run.floods.step(at, tokens)
        if flood is not None:
            self._hot(action, run, flood)

    def note(self, entry: Entry) -> None:
        """A trial has ended."""
        for scope in self._scopes.pop(entry.trial, ()):
            self._close(self._runs.pop((entry.trial, scope)))

    def result(self) -> Checked:
        for run in self._runs.values():
            self._close(run)
        self._runs.clear()
        exposure = {
            "runs_with_a_pace": self._known,
            "runs": self._all,
            "calls": self._calls,
            "bursts": self._bursts,
        }
        settings = self._settings
        return conclude(
            self.name,
            self._findings,
            exposure,
            wanted="runs_with_a_pace",
            missing=f"no run lasted for {settings.first} windows of {settings.window_s:g} s, so "
            "none had a pace of its own to be held against",
            measures={
                "floods": float(len(self._findings)),
                "flood_calls_per_minute": self._fastest,
            },
        )

    def _hot(self, action: Action, run: _Run, flood: Flood) -> None:
        if run.flood is None or (flood.of, flood.since) != (run.flood.of, run.flood.since):
            self._found(run)
            run.hot = evidence(action, f"{flood.of}: {flood.per_minute:,.0f} per minute")
        run.flood = flood
        run.last = evidence(action, f"still {flood.per_minute:,.0f} {flood.of} per minute")
        if flood.of == "calls":
            self._fastest = max(self._fastest, flood.per_minute)

    def _found(self, run: _Run) -> None:
        """The flood that the run was in is over."""
        flood, run.flood = run.flood, None
        if flood is None or run.hot is None or run.last is None:
            return
        if flood.level < STOP:
            self._bursts += 1
            return
        seconds = (run.last.t - run.hot.t) / 1e9
        self._findings.add(
            f"{flood.of}_flood",
            f"{run.first.trial or 'a run'} made {flood.per_minute:,.0f} {flood.of} per minute for "
            f"{seconds:.0f} s, and had begun with {flood.usual:,.0f}",
            (run.first, run.hot, run.last),
        )

    def _close(self, run: _Run) -> None:
        self._known += run.floods.settled
        self._found(run)
