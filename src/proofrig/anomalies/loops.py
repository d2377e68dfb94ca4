"""Loops: a run that does the same over and over and learns nothing.

Kinds: `repeat` (the same call, the same result), `ping_pong` (two or three calls in turn, with the
same results each round), `no_progress` (other calls, or other names, and nothing comes of them),
`retry` (the same call fails in the same way, with pauses), `polling` (the same call with changing
results, or with pauses in between, for very long).

Rules:
1. Calls are compared by name, digest of the arguments and digest of the result. Another result is
   news: the same call whose result changes is polling.
2. Calls to a model are no part of a sequence; that one lies between two calls is known.
3. Calls that overlap, or that one turn of a model asked for, are one.
4. A run that waits between two equal calls is polling: nothing ran for `idle_ms` (with a model call
   in between `model_idle_ms`), the call itself took `long_call_ms`, or its name says that it waits.
   So is one whose call was refused (429, 503).
5. Equal results of different calls are how batch work looks ("ok"). They are no progress only where
   a model went on after each of them and they failed alike, or looked for something and found
   nothing; or where the same arguments went to many names.
6. Kept per run: three calls, a few counters, and at most `ARGUMENTS` arguments of one streak.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from proofrig.anomalies.names import looks, waits
from proofrig.anomalies.settings import DEFAULTS, Done, Settings, Steps

LoopKind = Literal["repeat", "ping_pong", "retry", "no_progress", "polling"]
ARGUMENTS = 64
MODEL = "llm."
_MS = 1_000_000


class Loop(msgspec.Struct, frozen=True, gc=False):
    """A loop as it stands: how often (see `Settings`), of how many calls a round is, the names in
    it. level: 1 warn, 2 deny, 3 stop. since: the number of the call with which it began, which
    tells one loop from the next."""

    kind: LoopKind
    count: int
    level: int
    period: int
    names: tuple[str, ...]
    since: int


class _Streak:
    """How long the sequence has repeated with one period."""

    __slots__ = ("hasty", "period", "same")

    def __init__(self, period: int) -> None:
        self.period = period
        self.same = 0  # calls that were as the one `period` before
        self.hasty = 0  # of these, the ones of rounds that did not wait

    def step(self, same: bool, waited: bool) -> None:
        if not same:
            self.same = self.hasty = 0
            return
        self.same += 1
        # A wait excuses a whole round.
        self.hasty = max(0, self.hasty - self.period + 1) if waited else self.hasty + 1


def _never(digest: str) -> bool:
    return False


class Loops:
    """The loops of one run. `empty` says of a result's digest whether it brought nothing; it is
    asked once a streak of equal results is long enough to matter."""

    def __init__(
        self, settings: Settings = DEFAULTS, empty: Callable[[str], bool] = _never
    ) -> None:
        self._settings = settings
        self._empty = empty
        self._exempt: dict[str, bool] = {}
        self._number = 0
        self._ring: list[Done] = []  # the last three, the latest last
        self._recent: tuple[tuple[str, str], ...] = ()  # their names and arguments
        self._repeats = False
        self._streaks = (_Streak(1), _Streak(2), _Streak(3))
        self._asked = 0  # the same call in a row, whatever came of it
        self._model_number = self._asked_model = self._model_until = 0
        self._model_arguments = ""
        self._model_loop: Loop | None = None
        self._barren = _Barren(settings.no_progress.warn)
        self._busy_until = -1
        self._model_between = False
        self._waited = False

    def ended(self, done: Done) -> Loop | None:
        """A call has ended. Returns the loop that it is part of, from the first warning on."""
        model = done.name.startswith(MODEL)
        self._time(done, model)
        if model:
            return self._model(done)
        if self._settings.may_repeat and self._exempted(done.name):
            return None
        ring, what = self._ring, (done.name, done.arguments)
        known = what in self._recent
        if known and self._together(done):
            return None
        self._number += 1
        waited = self._waits(done)
        if known or self._repeats:
            self._repeat(done, waited)
        new_turn = bool(done.turn) and not (ring and ring[-1].turn == done.turn)
        went_on = (self._model_between or new_turn) and not waited
        self._barren.step(done, self._number, went_on)
        ring.append(done)
        if len(ring) > 3:
            del ring[0]
        self._recent = (*self._recent[-2:], what)
        self._model_between = self._waited = False
        return self.now() if self._repeats or self._barren.long else None

    def now(self) -> Loop | None:
        """The worst loop that the calls so far are in; None when they are in none."""
        found = max(self._found(), key=lambda loop: loop.level, default=None)
        return found if found is not None and found.level else None

    def goes_on(self, loop: Loop, name: str, arguments: str) -> bool:
        """Whether a call that is about to be made would be one more of `loop`."""
        if loop.kind == "no_progress":
            return name in self._barren.names or arguments in self._barren.by_arguments
        if loop.names and loop.names[0].startswith(MODEL):
            return name in loop.names and arguments == self._model_arguments
        return (name, arguments) in self._recent[-loop.period :]

    def _together(self, done: Done) -> bool:
        """Whether one of the last calls is the same, and is one with this (rule 3)."""
        for before in self._ring:
            if before.arguments == done.arguments and before.name == done.name:
                overlaps = done.began_ns < before.ended_ns
                if overlaps or (done.turn and done.turn == before.turn):
                    return True
        return False

    def _repeat(self, done: Done, waited: bool) -> None:
        """One of the last three calls was as this one, or a streak has come to its end."""
        ring = self._ring
        repeats = False
        for streak in self._streaks:
            same = len(ring) >= streak.period and _same(ring[-streak.period], done)
            streak.step(same, waited)
            repeats = repeats or same
        asked = ring[-1].arguments == done.arguments and ring[-1].name == done.name
        self._asked = self._asked + 1 if asked else 0
        self._repeats = repeats or asked

    def _time(self, done: Done, model: bool) -> None:
        """Whether the run waited before this call began."""
        if self._busy_until >= 0:
            settings = self._settings
            patience = settings.model_idle_ms if self._model_between or model else settings.idle_ms
            if done.began_ns - self._busy_until >= patience * _MS:
                self._waited = True
        if done.ended_ns > self._busy_until:
            self._busy_until = done.ended_ns
        if model:
            self._model_between = True

    def _waits(self, done: Done) -> bool:
        if self._waited or done.state == "refused":
            return True
        took = done.ended_ns - done.began_ns
        return took >= self._settings.long_call_ms * _MS or (
            took >= 1000 * _MS and waits(done.name)
        )

    def _exempted(self, name: str) -> bool:
        exempt = self._exempt.get(name)
        if exempt is None:
            globs = self._settings.may_repeat
            exempt = self._exempt[name] = any(fnmatchcase(name, glob) for glob in globs)
        return exempt

    def _model(self, done: Done) -> Loop | None:
        """The same request in a row, each after the answer to the one before, counts as polling."""
        if done.state != "ok" or not done.arguments or done.began_ns < self._model_until:
            return self._model_loop
        self._model_until = done.ended_ns
        self._model_number += 1
        same = done.arguments == self._model_arguments
        self._asked_model = self._asked_model + 1 if same else 0
        self._model_arguments = done.arguments
        count = self._asked_model + 1
        level = self._settings.polling.level(count)
        since = self._model_number - self._asked_model
        loop = Loop("polling", count, level, 1, (done.name,), since) if level else None
        self._model_loop = loop
        return loop

    def _found(self) -> Iterable[Loop]:
        settings, ring = self._settings, self._ring
        if self._model_loop is not None:
            yield self._model_loop
        if not ring:
            return
        failed = ring[-1].state == "failed"
        for streak in self._streaks:
            period = streak.period
            if not streak.same or (period > 1 and self._streaks[0].same >= streak.same):
                continue
            names = tuple(one.name for one in ring[-period:])
            kind: LoopKind = "repeat" if period == 1 else "ping_pong"
            steps = settings.repeat if period == 1 else settings.cycle
            yield self._loop(kind, streak.hasty // period + 1, steps, names, streak.same)
            rounds = streak.same // period + 1
            if failed and period == 1:
                yield self._loop("retry", rounds, settings.no_progress, names, streak.same)
            yield self._loop("polling", rounds, settings.polling, names, streak.same)
        if self._asked:
            names = (ring[-1].name,)
            yield self._loop("polling", self._asked + 1, settings.polling, names, self._asked)
        barren = self._barren
        if barren.long:
            count = barren.names_of_one
            if barren.turns > count and (barren.failed or self._found_nothing()):
                count = barren.turns
            level = settings.no_progress.level(count)
            yield Loop("no_progress", count, level, 0, tuple(barren.names), barren.since)

    def _found_nothing(self) -> bool:
        return all(map(looks, self._barren.names)) and self._empty(self._barren.result)

    def _loop(
        self, kind: LoopKind, count: int, steps: Steps, names: tuple[str, ...], back: int
    ) -> Loop:
        return Loop(kind, count, steps.level(count), len(names), names, self._number - back)


class _Barren:
    """A streak of calls with one result."""

    __slots__ = (
        *("_first", "by_arguments", "failed", "matters", "names", "names_of_one", "result"),
        *("since", "turns"),
    )

    def __init__(self, matters: int) -> None:
        self.matters = matters
        self.names: dict[str, None] = {}
        self.by_arguments: dict[str, set[str]] = {}
        self._first: Done | None = None  # until there is a second
        self._begin("", 0)

    @property
    def long(self) -> bool:
        """Whether it is long enough to matter."""
        return self.turns >= self.matters or self.names_of_one >= self.matters

    def _begin(self, result: str, number: int) -> None:
        self.result = result
        self.since = number
        self.turns = 0  # calls that a model asked for, with what came before in view
        self.failed = True
        self.names_of_one = 0  # the most names that got the same arguments
        if self.names:
            self.names = {}
            self.by_arguments = {}

    def step(self, done: Done, number: int, went_on: bool) -> None:
        if done.result != self.result or done.state == "refused" or not done.result:
            self._begin(done.result, number)
            self._first = done
        elif self._first is not None:
            first, self._first = self._first, None
            self._name(first)
            self._name(done)
        else:
            self._name(done)
        self.turns += went_on
        self.failed = self.failed and done.state == "failed"

    def _name(self, done: Done) -> None:
        if len(self.names) < 8:
            self.names[done.name] = None
        names = self.by_arguments.get(done.arguments)
        if names is None:
            if len(self.by_arguments) >= ARGUMENTS:
                del self.by_arguments[next(iter(self.by_arguments))]
            names = self.by_arguments[done.arguments] = set()
        if len(names) < ARGUMENTS:
            names.add(done.name)
        if len(names) > self.names_of_one:
            self.names_of_one = len(names)


def _same(before: Done, done: Done) -> bool:
    return (
        before.result == done.result
        and before.arguments == done.arguments
        and before.name == done.name
        and bool(done.result)
    )
