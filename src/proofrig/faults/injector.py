"""Puts faults upon calls: which, by what draw, and what of it stands on the history.

Rules:
1. A draw depends on the seed, the fault, the trial, what is called, and the number of that call in
   its trial: not on times, other trials, or the order in which they come. What is called is the
   action's name, and what a tool, host or service is given: a trial may call it with several at
   once. Models are asked one turn after another, and what they are sent holds ids that differ from
   run to run.
2. `times` counts what was struck, not what was drawn.
3. What is to be undone is undone once: when its time comes, when its trial ends, or at `close`.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from proofrig.faults.fault import Fault, Hit, Onward, Surroundings
from proofrig.wire.answer import Answer
from proofrig.wire.outbound import Outbound

Write = Callable[[Outbound, str, dict[str, Any]], None]


class _Trial:
    """What is kept for one live trial."""

    __slots__ = ("calls", "ended", "fitting", "memory", "struck", "undos")

    def __init__(self) -> None:
        self.fitting: dict[int, int] = {}  # fault -> calls that fitted it
        self.calls: dict[tuple[int, str], int] = {}  # fault, and what is called -> how often
        self.struck: dict[int, int] = {}
        self.memory: dict[int, dict[str, Any]] = {}
        self.undos: set[_Undo] = set()
        self.ended = False


class _Undo:
    """Something to take back, once."""

    def __init__(self, how: Callable[[], None]) -> None:
        self._how: Callable[[], None] | None = how
        self.timer: asyncio.TimerHandle | None = None

    def __call__(self) -> None:
        how, self._how = self._how, None
        if self.timer is not None:
            self.timer.cancel()
        if how is not None:
            how()


class Injector:
    """The faults of a rig. `write(call, kind, attrs)` puts the entry `fault` on the history."""

    def __init__(
        self,
        faults: Sequence[Fault],
        seed: int,
        clock: Callable[[], int],
        write: Write,
        around: Surroundings,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.faults = tuple(faults)
        self._seed = seed
        self._clock = clock
        self._write = write
        self._around = around
        self._sleep = sleep
        self._trials: dict[str, _Trial] = {}

    def upon(self, call: Outbound) -> list[tuple[Fault, Hit]]:
        """The faults that are to strike this call; each is counted and drawn once."""
        kept = self._trials.get(call.trial)
        if kept is None:
            kept = self._trials[call.trial] = _Trial()
        found = []
        for number, fault in enumerate(self.faults):
            if call.surface in fault.surfaces and fault.on.fits(call):
                hit = self._drawn(number, fault, call, kept)
                if hit is not None:
                    found.append((fault, hit))
        return found

    def _drawn(self, number: int, fault: Fault, call: Outbound, kept: _Trial) -> Hit | None:
        nth = kept.fitting[number] = kept.fitting.get(number, 0) + 1
        called = _called(call)
        what = (number, called)
        place = kept.calls[what] = kept.calls.get(what, 0) + 1
        if not fault.on.meant(nth) or not fault.when.holds(self._clock(), call.began_ns):
            return None
        if fault.times is not None and kept.struck.get(number, 0) >= fault.times:
            return None
        rng = random.Random(_draw(self._seed, number, fault.title, call.trial, called, place))
        if rng.random() >= fault.probability:
            return None

        def write(facts: dict[str, Any]) -> None:
            kept.struck[number] = kept.struck.get(number, 0) + 1
            attrs = {"fault": fault.title, "number": number, "at": call.surface, "nth": nth}
            self._write(call, fault.kind, attrs | facts)

        def later(after_s: float, how: Callable[[], None]) -> None:
            undo = _Undo(how)
            if kept.ended:  # by a call that was still on its way
                return undo()
            kept.undos.add(undo)
            undo.timer = asyncio.get_running_loop().call_later(after_s, self._undone, kept, undo)

        memory = kept.memory.setdefault(number, {})
        around, sleep, clock = self._around, self._sleep, self._clock
        return Hit(fault.title, call, nth, rng, around, sleep, clock, memory, write, later)

    def _undone(self, kept: _Trial, undo: _Undo) -> None:
        kept.undos.discard(undo)
        undo()

    def end(self, trial: str) -> None:
        """A trial has ended: what was done to it is undone, what was kept of it is forgotten."""
        kept = self._trials.pop(trial, None)
        if kept is None:
            return
        kept.ended = True
        for undo in kept.undos:
            with suppress(Exception):  # its processes or its pool may be gone
                undo()

    def close(self) -> None:
        """The rig ends."""
        for trial in list(self._trials):
            self.end(trial)


async def carry(strikes: Sequence[tuple[Fault, Hit]], onward: Onward) -> Answer:
    """Carry a call out with its faults, the first outermost. Raises what they raise."""
    for fault, hit in reversed(strikes):
        onward = _bound(fault, hit, onward)
    return await onward()


def _bound(fault: Fault, hit: Hit, onward: Onward) -> Onward:
    return lambda: fault.strike(hit, onward)


def _called(call: Outbound) -> str:
    """What is called, the same in every run of the same suite and seed."""
    if call.surface == "llm":
        return call.name
    return f"{call.name} {hashlib.blake2b(call.body, digest_size=8).hexdigest()}"


def _draw(seed: int, *what: object) -> int:
    text = "\0".join(map(str, ("fault", seed, *what))).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
