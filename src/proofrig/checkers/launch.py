"""Whether the contention that was asked for was there: starts, arrivals, and the rig's own lag.

Rules:
1. Never invalid: what it finds is a fault of the harness, and makes others' `valid` unknown.
2. Where a phase names a target, its starts lie within it; where it names one for arrivals, so do
   the first requests of its trials at what they share.
3. Starts lag what was intended by no more than a tenth of what a trial takes (median), or 5 ms
   where that is more; else the harness is the bottleneck. Of those that start together the first
   counts: the others wait for its own work. One after another there is no such promise.
4. The rig's loop runs no more than 20 ms late, in 99 % of the seconds.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from proofrig.checkers._load_figures import LAG_LIMIT_MS, MS, Lag, nearest
from proofrig.checkers.checker import Checked, Setting, began
from proofrig.history.action import Action, Entry

SHARE = 0.1
LEAST_NS = 5 * MS
ALONE = "sequential"


class _Phase(msgspec.Struct):
    """One run of a phase. Targets: 0 when no spread was asked for. started: by trial."""

    name: str
    target_ns: int = 0
    arrival_ns: int = 0
    started: dict[str, int] = {}


class Launch:
    """The spread of starts and arrivals, how late starts were, and how late the rig."""

    name: ClassVar[str] = "launch"
    reads: ClassVar[tuple[str, ...]] = ("",)
    notes: ClassVar[tuple[str, ...]] = (
        *("note.launch", "note.phase", "note.arrival", "note.lag", "trial.end"),
    )
    timing: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._lag = Lag()
        self._phases: dict[str, _Phase] = {}  # those that go on, by name
        self._past: list[_Phase] = []
        self._arrived: dict[str, int] = {}
        self._acted: dict[str, int] = {}
        self._started: dict[str, int] = {}
        self._took: dict[str, int] = {}
        self._delays: dict[int, int] = {}  # of the first to start, by when it was meant to
        self._durations: list[int] = []

    def action(self, action: Action) -> None:
        trial = action.trial
        if trial and trial not in self._arrived:
            at = began(action)
            if at < self._acted.get(trial, at + 1):
                self._acted[trial] = at

    def note(self, entry: Entry) -> None:
        attrs = entry.attrs
        if entry.name == "lag":
            self._lag.note(entry)
        elif entry.name == "arrival":
            self._arrived.setdefault(entry.trial, attrs["arrived_ns"])
            self._acted.pop(entry.trial, None)
        elif entry.name == "end":
            since = self._started.get(entry.trial)
            took = attrs.get("duration_ns", 0) if since is None else entry.t - since
            self._durations.append(self._took.get(entry.trial, took))
        elif entry.name == "phase":
            if attrs.get("state") != "end" and attrs["phase"] in self._phases:
                self._past.append(self._phases.pop(attrs["phase"]))  # a wave of the same name
            phase = self._phase(attrs["phase"])
            phase.target_ns = attrs.get("target_ns") or phase.target_ns
            phase.arrival_ns = attrs.get("arrival_target_ns") or phase.arrival_ns
        elif entry.name == "launch":
            started = self._started[entry.trial] = attrs["started_ns"]
            phase = self._phase(attrs.get("phase", ""))
            phase.started[entry.trial] = started
            if "ended_ns" in attrs:
                self._took[entry.trial] = attrs["ended_ns"] - started
            intended = attrs.get("intended_ns")
            if intended is not None:
                # Of those that start together, the second waits for the first's own work.
                late = max(0, started - intended)
                self._delays[intended] = min(late, self._delays.get(intended, late))

    def result(self) -> Checked:
        troubles: list[str] = []
        starts, arrivals = list[int](), list[int]()
        phases = [*self._past, *self._phases.values()]
        for phase in phases:
            if not (phase.target_ns or phase.arrival_ns):
                continue
            at = {trial: self._arrival(trial) for trial in phase.started}
            start = _spread(list(phase.started.values()))
            arrival = _spread([each for each in at.values() if each is not None])
            starts.append(start)
            arrivals.append(arrival)
            troubles += _missed(phase, start, arrival)
        delay = nearest(sorted(self._delays.values()), 0.99)
        typical = nearest(sorted(self._durations), 0.5)
        limit = max(SHARE * typical, LEAST_NS)
        if delay > limit and self._setting.scenario != ALONE:
            troubles.append(
                f"starts lag what was intended by {delay / MS:.1f} ms (p99), more than "
                f"{limit / MS:.1f} ms, a tenth of what a trial takes: the harness is the bottleneck"
            )
        missed = len(troubles)
        if self._lag.p99_ms > LAG_LIMIT_MS:
            troubles.append(
                f"the rig's loop ran {self._lag.p99_ms:.0f} ms late (p99; at most "
                f"{LAG_LIMIT_MS:g} ms)"
            )
        launched = sum(len(phase.started) for phase in phases)
        says = (
            f"{launched:,} launched"
            + (f"; starts within {max(starts) / MS:.1f} ms" if starts else "")
            + (f", first requests within {max(arrivals) / MS:.1f} ms" if arrivals else "")
            + (f"; starts {delay / MS:.1f} ms late (p99)" if self._delays else "")
            + f"; the rig's loop {self._lag.p99_ms:.1f} ms late (p99)"
        )
        spreads = {"start_spread_ms": starts, "arrival_spread_ms": arrivals}
        return Checked(
            checker=self.name,
            verdict="unknown" if troubles else "valid",
            says="; ".join(troubles) or says,
            exposure={
                "launched": launched,
                "targets": sum(phase.target_ns > 0 or phase.arrival_ns > 0 for phase in phases),
                "arrivals": len(self._arrived),
                "missed": missed,
            },
            measures={
                **{name: max(found) / MS for name, found in spreads.items() if found},
                "start_delay_p99_ms": delay / MS,
                "lag_p99_ms": self._lag.p99_ms,
            },
        )

    def _phase(self, name: str) -> _Phase:
        phase = self._phases.get(name)
        if phase is None:
            phase = self._phases[name] = _Phase(name)
        return phase

    def _arrival(self, trial: str) -> int | None:
        """When a trial's first request arrived: as the socket saw it, else its first action."""
        return self._arrived.get(trial, self._acted.get(trial))


def _missed(phase: _Phase, start: int, arrival: int) -> list[str]:
    """What a phase missed of its target."""
    if not phase.started:
        return [f"phase {phase.name}: nothing was launched"]
    return [
        f"phase {phase.name}: {len(phase.started)} {what} {spread / MS:.1f} ms apart, expected "
        f"within {target / MS:g} ms"
        for what, spread, target in (
            ("starts were", start, phase.target_ns),
            ("first requests arrived", arrival, phase.arrival_ns),
        )
        if target and spread > target
    ]


def _spread(at: list[int]) -> int:
    return max(at) - min(at) if at else 0
