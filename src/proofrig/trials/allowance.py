"""What a run may use, money and wall time, and whether that is enough for one more trial.

Rules:
1. There is one book: the history. What was spent is what its commits say, of baselines, retries and
   attempts that were cut off too, and over all processes that worked on the run.
2. A trial may begin when what is left pays for it, by the most that a trial of its kind has cost so
   far. It may begin beside others when what is left also covers the most that each of them holds at
   a time, so that the ledger has no reason to refuse a call. Of a kind that is not known yet, one
   begins, or as many as their own hard cap allows.
3. The ledger holds the same amount as a hard limit of the whole run. A trial that it hits in spite
   of rule 2 was stopped by the run and not by itself: it is no trial (`Overdrawn`).
4. Time is the run's own: what lies between two processes that worked on it does not count.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from proofrig.history.action import Entry
from proofrig.history.format import SEGMENT, folder_of, segments_of
from proofrig.history.history import History, Tail
from proofrig.suites.authority import SUITE_SCOPE

NOTE = "allowance"
RESERVED = 0.9  # a capped call that holds so much of what is left was capped by that
_WRITERS = ("runner", "scenario", "rig")  # of what counts here, in the order to read them in

Reason = Literal["usd", "minutes", "gate"]
Answer = Literal["start", "wait"]


class Why(msgspec.Struct, frozen=True):
    """Why a run is not carried on: which limit it came to, and that in words."""

    reason: Reason
    says: str


class Overdrawn(Exception):
    """The ledger refused a trial what the run as a whole has not got any more."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the whole run may use; None: any amount. trial_usd_micro: the hard cap of one trial.
    hard: the ledger holds the run to just this amount of money, and not to a lower one of the
    suite's own."""

    usd_micro: int | None = None
    ns: int | None = None
    trial_usd_micro: int | None = None
    hard: bool = True

    def __bool__(self) -> bool:
        return self.usd_micro is not None or self.ns is not None


@dataclass(slots=True)
class Needs:
    """The most that one of a kind has taken so far: what it cost, what it held and had spent at a
    time, and how long it took."""

    usd_micro: int = 0
    room_usd_micro: int = 0
    ns: int = 0

    def include(self, usd_micro: int, room_usd_micro: int, ns: int) -> None:
        self.usd_micro = max(self.usd_micro, usd_micro)
        self.room_usd_micro = max(self.room_usd_micro, room_usd_micro, usd_micro)
        self.ns = max(self.ns, ns)


@dataclass(slots=True)
class _Attempt:
    """An attempt on its way, by its entries so far."""

    role: str = ""
    scenario: str = ""
    began: int = 0
    usd_micro: int = 0
    held: int = 0
    room: int = 0
    ended: int = 0


@dataclass(slots=True)
class Spending:
    """A fold: what a run has spent. used_ns: the time that the processes so far took together;
    needs: by the role of trials; scenarios: what the scenarios needed that came to their end;
    overdrawn: attempts that the ledger's `limit` of the whole run stood in the way of."""

    limit: int | None = None
    usd_micro: int = 0
    used_ns: int = 0
    needs: dict[str, Needs] = field(default_factory=dict)
    scenarios: Needs | None = None
    overdrawn: set[str] = field(default_factory=set)
    _held: dict[str, int] = field(default_factory=dict)
    _capped: set[str] = field(default_factory=set)
    _open: dict[str, _Attempt] = field(default_factory=dict)
    _ended: list[str] = field(default_factory=list)
    _scenario_usd: dict[str, int] = field(default_factory=dict)
    _scenario_began: dict[str, int] = field(default_factory=dict)
    _process: tuple[int, int] = (0, 0)  # when the latest began, and what was used before it

    def step(self, entry: Entry) -> None:
        if entry.kind == "reserve":
            self._reserved(entry)
        elif entry.kind in ("commit", "release"):
            self._settled(entry)
        elif entry.kind == "trial":
            self._trial(entry)
        elif entry.kind == "note":
            self._noted(entry)
        if entry.kind != "note" or entry.name not in ("segment", "rescored"):
            began, before = self._process
            self.used_ns = max(self.used_ns, before + entry.t - began)

    def result(self) -> Spending:
        """Itself, with the attempts that ended among its needs. Their money must have been handed
        in, in whatever order."""
        for trial in self._ended:
            done = self._open.pop(trial, None)
            if done is None:
                continue
            took = done.ended - done.began
            self.needs.setdefault(done.role, Needs()).include(done.usd_micro, done.room, took)
            if done.scenario:
                spent = self._scenario_usd.get(done.scenario, 0)
                self._scenario_usd[done.scenario] = spent + done.usd_micro
        self._ended.clear()
        return self

    def _attempt(self, trial: str) -> _Attempt:
        return self._open.setdefault(trial, _Attempt())

    def _reserved(self, entry: Entry) -> None:
        attrs = entry.attrs
        asked = attrs.get("estimate", {}).get("usd_micro", 0)
        if attrs.get("decision") == "deny":
            left = (attrs.get("remaining") or {}).get("usd_micro")
            if attrs.get("at") == SUITE_SCOPE and self.limit is not None and left is not None:
                self.overdrawn.update([entry.trial] if asked > left else [])
            return
        if self._is_capped_by_the_run(attrs, asked):
            self._capped.add(entry.id)
        self._held[entry.id] = asked
        if entry.trial:
            attempt = self._attempt(entry.trial)
            attempt.held += asked
            attempt.room = max(attempt.room, attempt.usd_micro + attempt.held)

    def _is_capped_by_the_run(self, attrs: Mapping[str, Any], asked: int) -> bool:
        """Whether a call got fewer output tokens than it wanted for want of the run's money."""
        if self.limit is None or "max_tokens" not in attrs.get("amended", ()) or attrs.get("rule"):
            return False
        return asked >= RESERVED * (self.limit - self.usd_micro - sum(self._held.values()))

    def _settled(self, entry: Entry) -> None:
        held = self._held.pop(entry.id, 0)
        cost = entry.attrs.get("actual", {}).get("usd_micro", 0)
        self.usd_micro += cost
        if entry.trial:
            attempt = self._attempt(entry.trial)
            attempt.held -= held
            attempt.usd_micro += cost
        if entry.id in self._capped and entry.attrs.get("finish") == "length":
            self.overdrawn.add(entry.trial)

    def _trial(self, entry: Entry) -> None:
        attempt = self._attempt(entry.trial)
        if entry.name == "begin":
            attempt.role = entry.attrs.get("role", "subject")
            attempt.scenario = entry.attrs.get("scenario", "")
            attempt.began = entry.t
        else:
            attempt.ended = entry.t
            self._ended.append(entry.trial)

    def _noted(self, entry: Entry) -> None:
        attrs = entry.attrs
        if entry.name == NOTE:
            self._process = (entry.t, attrs["used_ns"])
        elif entry.name == "scenario" and attrs["state"] == "begin":
            self._scenario_began[attrs["scenario"]] = entry.t
            self._scenario_usd.pop(attrs["scenario"], None)  # what was cut off is begun anew
        elif entry.name == "scenario":
            self.result()
            name = attrs["scenario"]
            spent = self._scenario_usd.get(name, 0)
            self.scenarios = self.scenarios or Needs()
            self.scenarios.include(spent, spent, entry.t - self._scenario_began.get(name, entry.t))


class Allowance:
    """What a run may use, and what it has used so far, as this process sees it. Made before the
    process writes anything; `clock` is the run's."""

    def __init__(self, limits: Limits, run_dir: Path, clock: Callable[[], int]) -> None:
        self.limits = limits
        self.spending = Spending(limits.usd_micro if limits.hard else None)
        self._run_dir = run_dir
        self._clock = clock
        self._earlier = {path.name.split(".")[0] for path in segments_of(run_dir)}
        self._tails: dict[str, Tail] = {}
        if self._earlier and limits:
            History(run_dir).fold(self.spending)
            self.spending.result()
            self._began, self._before = clock(), self.spending.used_ns
        else:
            self._began, self._before = 0, 0

    def attrs(self) -> dict[str, Any]:
        """The attributes of the note with which a process begins."""
        limits = {"limit_usd_micro": self.limits.usd_micro, "limit_ns": self.limits.ns}
        used = {"usd_micro": self.spending.usd_micro, "used_ns": self.used_ns()}
        return {name: value for name, value in limits.items() if value is not None} | used

    def used_ns(self) -> int:
        """The time that the run has taken, earlier processes included."""
        return self._before + self._clock() - self._began

    def left_s(self) -> float | None:
        """How long the run may still take, in seconds, below 0 when it took too long; None where
        that is not limited."""
        limit = self.limits.ns
        return None if limit is None else (limit - self.used_ns()) / 1e9

    def refresh(self) -> None:
        """Read what was written since the last time: of the runner first, so that all that the
        trials spent whose end is read is read as well."""
        for name in sorted(self._mine(), key=_reading_order):
            if name not in self._tails:
                self._tails[name] = Tail(self._run_dir, name)
            for entry in self._tails[name].poll():
                self.spending.step(entry)
        self.spending.result()

    def _mine(self) -> Iterator[str]:
        """The segments of this process that tell what was spent. There may be thousands of others:
        of observers in agents."""
        folder = folder_of(self._run_dir)
        for name in os.listdir(folder) if folder.is_dir() else ():
            segment = name.removesuffix(SEGMENT)
            known = segment != name and segment.rpartition("-")[0] in _WRITERS
            if known and segment not in self._earlier:
                yield segment

    def is_overdrawn(self, trial: str) -> bool:
        """Whether the run's own limit stood in the way of an attempt that has ended."""
        if self.limits.usd_micro is None:
            return False
        self.refresh()
        return trial in self.spending.overdrawn

    def trial(self, role: str, running: Mapping[str, int]) -> Answer | Why:
        """Whether a trial may begin beside those that are `running`, a count by role; whether to
        ask again when one of them has ended; or why not."""
        needs = self.spending.needs.get(role)
        if why := self._no_time(needs, "a trial"):
            return why
        limit = self.limits.usd_micro
        if limit is None:
            return "start"
        left = limit - self.spending.usd_micro
        alone = not any(running.values())
        wanted = self._wanted(role, left)
        if left <= 0 or wanted.usd_micro > left:
            cost = f"a trial takes up to {_usd(wanted.usd_micro)}" if wanted.usd_micro else ""
            return self.no_money(cost) if alone else "wait"
        taken = sum(n * self._wanted(one, left).room_usd_micro for one, n in running.items())
        return "start" if alone or taken + wanted.room_usd_micro <= left else "wait"

    def scenario(self, at_once: int) -> Why | None:
        """Why a scenario with so many trials at a time may not begin; None when it may. The ledger
        must have no reason to refuse any of them, or they would meet something else than each
        other."""
        self.refresh()
        spending, limit = self.spending, self.limits.usd_micro
        if why := self._no_time(spending.scenarios, "a scenario"):
            return why
        if limit is None:
            return None
        left = limit - spending.usd_micro
        cost = 0 if spending.scenarios is None else spending.scenarios.usd_micro
        if left <= 0 or cost > left:
            return self.no_money(f"a scenario takes up to {_usd(cost)}" if cost else "")
        held = at_once * max((one.room_usd_micro for one in spending.needs.values()), default=0)
        if held > left:
            return self.no_money(f"its {at_once} trials hold up to {_usd(held)} at a time")
        return None

    def time_is_up(self) -> Why:
        """Why what runs is stopped at the end of the run's time."""
        return Why("minutes", f"the time budget of {_minutes(self.limits.ns or 0)} was reached")

    def no_money(self, because: str = "") -> Why:
        """Why nothing begins when money is short."""
        says = f"{_usd(self.spending.usd_micro)} were spent"
        budget = _usd(self.limits.usd_micro or 0)
        says += f", and {because}" if because else ""
        return Why("usd", f"the money budget of {budget} was reached: {says}")

    def _no_time(self, needs: Needs | None, what: str) -> Why | None:
        left_s = self.left_s()
        longest_s = 0.0 if needs is None else needs.ns / 1e9
        if left_s is None or left_s > longest_s:
            return None
        why = self.time_is_up()
        if longest_s <= 0 or left_s <= 0:
            return why
        left, longest = f"{left_s:.1f} s are left", f"{what} takes up to {longest_s:.1f} s"
        return Why(why.reason, f"{why.says}: {left}, and {longest}")

    def _wanted(self, role: str, left: int) -> Needs:
        known = self.spending.needs.get(role)
        if known is not None:
            return known
        cap = self.limits.trial_usd_micro
        most = left if cap is None else min(cap, left)
        return Needs(most, most)


def _reading_order(segment: str) -> tuple[int, str]:
    return _WRITERS.index(segment.rpartition("-")[0]), segment


def _usd(micro: int) -> str:
    return f"{micro / 1e6:.2f} USD" if micro % 10_000 == 0 else f"{micro / 1e6:.6f} USD"


def _minutes(ns: int) -> str:
    return f"{ns / 60e9:.3g} min"
