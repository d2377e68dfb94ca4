"""Puts faults upon calls: which, by what draw, and what of it stands on the history.

Rules:
1. A draw depends on the seed, the fault, the trial, what is called, and the number of that call in
   its trial: not on times, other trials, or the order in which they come. What is called is the
   action's name, and what a tool, host or service is given: a trial may call it with several at
   once. Models are asked one turn after another, and what they are sent holds ids that differ from
   run to run.
2. `times` counts what was struck, not what was drawn: a call that was drawn has one of them until
   it ends, and gives it back when it was not struck. Calls at once do not exceed it.
3. What is to be undone is undone once: when its time comes, when its trial ends, or at `close`.
4. A call whose fault waits when its trial ends goes no further: its connection breaks.
5. When a fault raises, the answers that it got are closed.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from proofrig.faults.fault import Fault, Hit, Onward, Surroundings, Test
from proofrig.wire.answer import Answer, Cut
from proofrig.wire.outbound import SURFACES, Outbound

Write = Callable[[Outbound, str, dict[str, Any]], None]
Sleep = Callable[[float], Awaitable[None]]


class _Trial:
    """What is kept for one live trial."""

    __slots__ = ("asleep", "calls", "ended", "fitting", "memory", "taken", "undos")

    def __init__(self) -> None:
        self.fitting: dict[int, int] = {}  # fault -> calls that fitted it
        self.calls: dict[tuple[int, str], int] = {}  # fault, and what is called -> how often
        self.taken: dict[int, int] = {}  # fault -> of its times, how many are gone
        self.memory: dict[int, dict[str, Any]] = {}
        self.undos: set[_Undo] = set()
        self.asleep: set[asyncio.Future[None]] = set()
        self.ended = False

    async def sleep(self, how: Sleep, seconds: float) -> None:
        """Wait. Raises Cut when the trial ends meanwhile."""
        sleeping = asyncio.ensure_future(how(seconds))
        self.asleep.add(sleeping)
        try:
            await sleeping
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self.ended and (task is None or not task.cancelling()):
                raise Cut from None
            raise
        finally:
            self.asleep.discard(sleeping)


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
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.faults = tuple(faults)
        self._seed = seed
        self._clock = clock
        self._write = write
        self._around = around
        self._sleep = sleep
        self._aimed: Mapping[str, list[tuple[int, Fault, list[tuple[str, Test]]]]] = {
            surface: [
                (number, fault, fault.on.tests())
                for number, fault in enumerate(self.faults)
                if surface in fault.acts_at
            ]
            for surface in SURFACES
        }
        self._trials: dict[str, _Trial] = {}

    def upon(self, call: Outbound) -> list[tuple[Fault, Hit]]:
        """The faults that are to strike this call, or to look at it; each is counted and drawn
        once."""
        found: list[tuple[Fault, Hit]] = []
        called = ""
        for number, fault, tests in self._aimed[call.surface]:
            for part, test in tests:
                if not test(getattr(call, part)):
                    break
            else:
                called = called or _called(call)
                hit = self._drawn(number, fault, call, called)
                if hit is not None:
                    found.append((fault, hit))
        return found

    def _drawn(self, number: int, fault: Fault, call: Outbound, called: str) -> Hit | None:
        kept = self._trials.get(call.trial)
        if kept is None:
            kept = self._trials[call.trial] = _Trial()
        nth = kept.fitting[number] = kept.fitting.get(number, 0) + 1
        what = (number, called)
        place = kept.calls[what] = kept.calls.get(what, 0) + 1
        rng = random.Random(_draw(self._seed, number, fault.title, call.trial, called, place))
        drawn = (
            rng.random() < fault.probability
            and fault.on.meant(nth)
            and fault.when.holds(self._clock(), call.began_ns)
            and (fault.times is None or kept.taken.get(number, 0) < fault.times)
        )
        if not drawn and not fault.watches:
            return None
        hit = self._hit(kept, number, call, nth=nth, rng=rng)
        if not drawn:
            hit.idle = True
        elif fault.times is not None:
            kept.taken[number] = kept.taken.get(number, 0) + 1

            def unreserve() -> None:
                kept.taken[number] -= 1

            hit.unreserve = unreserve
        return hit

    def _hit(
        self, kept: _Trial, number: int, call: Outbound, *, nth: int, rng: random.Random
    ) -> Hit:
        fault = self.faults[number]

        def write(facts: dict[str, Any]) -> None:
            attrs = {"fault": fault.title, "number": number, "at": call.surface, "nth": nth}
            self._write(call, fault.kind, attrs | facts)

        def later(after_s: float, how: Callable[[], None]) -> None:
            undo = _Undo(how)
            if kept.ended:  # by a call that was still on its way
                return undo()
            kept.undos.add(undo)
            undo.timer = asyncio.get_running_loop().call_later(after_s, self._undone, kept, undo)

        async def sleep(seconds: float) -> None:
            if kept.ended:
                raise Cut
            await kept.sleep(self._sleep, seconds)

        memory = kept.memory.setdefault(number, {})
        around, clock = self._around, self._clock
        return Hit(fault.title, call, nth, rng, around, sleep, clock, memory, write, later)

    def _undone(self, kept: _Trial, undo: _Undo) -> None:
        kept.undos.discard(undo)
        undo()

    def end(self, trial: str) -> None:
        """A trial has ended: what was done to it is undone, what waits is broken off, what was kept
        of it is forgotten."""
        kept = self._trials.pop(trial, None)
        if kept is None:
            return
        kept.ended = True
        for undo in kept.undos:
            with suppress(Exception):  # its processes or its pool may be gone
                undo()
        for sleeping in kept.asleep:
            sleeping.cancel()

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
    async def through() -> Answer:
        behind: list[Answer] = []

        async def answered() -> Answer:
            behind.append(await onward())
            return behind[-1]

        try:
            answer = await fault.strike(hit, answered)
        except BaseException:
            hit.spare()
            for one in behind:
                one.close()
            raise
        return answer if hit.unreserve is None or hit.fired else _Sparing(answer, hit)

    return through


class _Sparing:
    """An answer that may still be struck, until it ends."""

    def __init__(self, answer: Answer, hit: Hit) -> None:
        self._answer = answer
        self._hit = hit
        self.status = answer.status
        self.reason = answer.reason
        self.headers = answer.headers
        self.length = getattr(answer, "length", None)

    async def readany(self) -> bytes:
        chunk = await self._answer.readany()
        if not chunk:
            self._hit.spare()
        return chunk

    def close(self) -> None:
        self._hit.spare()
        self._answer.close()


def _called(call: Outbound) -> str:
    """What is called, the same in every run of the same suite and seed."""
    if call.surface == "llm":
        return call.name
    at = "\0".join((call.name, call.server, call.service, call.host, call.path))
    return f"{at}\0{hashlib.blake2b(call.body, digest_size=8).hexdigest()}"


def _draw(seed: int, *what: object) -> int:
    text = "\0".join(map(str, ("fault", seed, *what))).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
