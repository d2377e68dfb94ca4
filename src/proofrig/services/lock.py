"""A lock with a time-to-live and fencing tokens.

Rules:
1. One holder at a time; those that wait get it in the order they came. A holder that asks again
   waits like any other: the lock is not reentrant.
2. A lock that is not given back is free again when its time is up, which a note says; with
   `ttl_s: null` it never is. A trial that ends keeps what it holds until then.
3. Every holder gets a higher token than all before it. With `fencing: false` nobody is told.
4. A lock is renewed and released by its holder alone: the trial, under its token where it has one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Mapping
from fnmatch import fnmatchcase
from heapq import heappop, heappush
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from pydantic import Field

from proofrig.services.service import (
    Arguments,
    Ask,
    Caller,
    Clock,
    Done,
    Key,
    Operation,
    Seconds,
    Service,
    ServiceSettings,
    nanoseconds,
    refused,
)


class LockSettings(ServiceSettings):
    """A lock, or one lock for each key."""

    type: Literal["lock"]
    ttl_s: float | None = Field(30.0, gt=0, description="Seconds until it frees itself, or null.")
    fencing: bool = Field(True, description="Hand out a token that grows with each holder.")


class Acquire(Arguments):
    """Take a lock, waiting up to `wait_s` seconds for it. It is lost after `ttl_s` seconds."""

    key: Key
    ttl_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] | None = None
    wait_s: Seconds = 0.0


class Renew(Arguments):
    """Keep a lock for another time-to-live."""

    key: Key
    fencing: int | None = None

    def started(self) -> dict[str, Any]:
        return {} if self.fencing is None else {"fencing": self.fencing}


class Release(Renew):
    """Give a lock back."""


class _Holder(msgspec.Struct, frozen=True):
    token: int
    key: str
    trial: str
    ttl_ns: int | None
    expires: int | None


class _Waiter(msgspec.Struct, eq=False):
    ask: Ask
    ttl_ns: int | None
    granted: asyncio.Future[_Holder | None]


class LockService(Service):
    """Locks by key."""

    operations: ClassVar[Mapping[str, Operation]] = {
        "acquire": Operation("acquire", "lock.acquire", Acquire),
        "renew": Operation("renew", "lock.renew", Renew),
        "release": Operation("release", "lock.release", Release),
    }

    def __init__(self, settings: LockSettings, clock: Clock) -> None:
        super().__init__(settings, clock)
        self._settings = settings
        self._holders: dict[str, _Holder] = {}
        self._waiting: dict[str, deque[_Waiter]] = {}
        self._lost: set[tuple[str, str]] = set()  # (place, trial) that time took a lock from
        self._expiries: list[tuple[int, int, str]] = []  # (when, token, place), a heap
        self._token = 0

    def started(self, caller: Caller, arguments: Any) -> dict[str, Any]:
        said = super().started(caller, arguments)
        if isinstance(arguments, Acquire):
            ttl_ns = self._ttl(arguments)
            return said if ttl_ns is None else said | {"ttl_ns": ttl_ns}
        return said

    def acquire(self, ask: Ask) -> Done | Awaitable[Done]:
        self.sweep()
        held = self._holders.get(ask.place)
        if held is None:
            return self._told(self._give(ask.place, ask, self._ttl(ask.arguments)), 0)
        if not ask.arguments.wait_s:
            return self._busy(ask, 0)
        return self._wait(ask)

    def renew(self, ask: Ask) -> Done:
        held = self._mine(ask)
        if isinstance(held, Done):
            return held
        expires = None if held.ttl_ns is None else self._clock() + held.ttl_ns
        renewed = msgspec.structs.replace(held, expires=expires)
        self._holders[ask.place] = renewed
        self._watch(ask.place, renewed)
        return Done({"ttl_s": None if held.ttl_ns is None else held.ttl_ns / 1e9})

    def release(self, ask: Ask) -> Done:
        held = self._mine(ask)
        if isinstance(held, Done):
            return held
        self._free(ask.place)
        return Done({})

    def due(self) -> int | None:
        heap = self._expiries
        while heap:
            when, token, place = heap[0]
            held = self._holders.get(place)
            if held is not None and held.token == token and held.expires == when:
                return when
            heappop(heap)  # released or renewed since
        return None

    def sweep(self) -> None:
        now = self._clock()
        while (when := self.due()) is not None and when <= now:
            self._lose(heappop(self._expiries)[2])

    def expire(self, trial: str, keys: str = "*") -> list[str]:
        """Take from a trial the locks that it holds under `keys` (a glob), as if their time were
        up; which they were."""
        found = [
            (place, held.key)
            for place, held in self._holders.items()
            if held.trial == trial and fnmatchcase(held.key, keys)
        ]
        for place, _ in found:
            self._lose(place)
        if found:
            self.changed()
        return [key for _, key in found]

    def _lose(self, place: str) -> None:
        """A holder's time is up."""
        held = self._holders[place]
        self._lost.add((place, held.trial))
        attrs: dict[str, Any] = {"service": self.name, "key": held.key, "holder": held.trial}
        if self._settings.fencing:
            attrs["fencing"] = held.token
        self.note("lock_expired", attrs)
        self._free(place)

    def forget(self, trial: str) -> None:
        for waiting in self._waiting.values():
            for waiter in [one for one in waiting if one.ask.caller.trial == trial]:
                waiting.remove(waiter)
                if not waiter.granted.done():
                    waiter.granted.set_result(None)

    async def _wait(self, ask: Ask) -> Done:
        began, granted = self._clock(), asyncio.get_running_loop().create_future()
        waiter = _Waiter(ask, self._ttl(ask.arguments), granted)
        waiting = self._waiting.setdefault(ask.place, deque())
        waiting.append(waiter)
        try:
            async with asyncio.timeout(ask.arguments.wait_s):
                holder = await granted
        except TimeoutError:
            holder = granted.result() if granted.done() and not granted.cancelled() else None
        except asyncio.CancelledError:
            given = granted.result() if granted.done() and not granted.cancelled() else None
            if given is not None and self._holders.get(ask.place) is given:
                self._free(ask.place)  # it came in the moment its caller went away
            raise
        finally:
            if waiter in waiting:
                waiting.remove(waiter)
        waited = self._clock() - began
        return self._busy(ask, waited) if holder is None else self._told(holder, waited)

    def _ttl(self, arguments: Acquire) -> int | None:
        """Nanoseconds; None where the deployment has none, whatever was asked."""
        if self._settings.ttl_s is None:
            return None
        return nanoseconds(arguments.ttl_s or self._settings.ttl_s)

    def _give(self, place: str, ask: Ask, ttl_ns: int | None) -> _Holder:
        self._token += 1
        expires = None if ttl_ns is None else self._clock() + ttl_ns
        trial = ask.caller.trial
        held = _Holder(self._token, ask.arguments.key, trial, ttl_ns, expires)
        self._holders[place] = held
        self._lost.discard((place, trial))
        self._watch(place, held)
        return held

    def _watch(self, place: str, held: _Holder) -> None:
        if held.expires is not None:
            heappush(self._expiries, (held.expires, held.token, place))

    def _free(self, place: str) -> None:
        """Free a lock and give it to the first that waits."""
        del self._holders[place]
        waiting = self._waiting.get(place)
        while waiting:
            waiter = waiting.popleft()
            if not waiter.granted.done():
                waiter.granted.set_result(self._give(place, waiter.ask, waiter.ttl_ns))
                return

    def _mine(self, ask: Ask) -> _Holder | Done:
        """The holder, when it is the one who asks; else the refusal."""
        self.sweep()
        held, trial, token = self._holders.get(ask.place), ask.caller.trial, ask.arguments.fencing
        if held is not None and held.trial == trial and token in (None, held.token):
            return held
        key = ask.arguments.key
        if (ask.place, trial) in self._lost or (held is not None and held.trial == trial):
            return refused(
                f"{key}: the lock is no longer yours: its time was up; do not write what it "
                "protected",
                expired=True,
            )
        return refused(f"{key}: expected to hold this lock, and you do not; acquire it first")

    def _told(self, held: _Holder, waited_ns: int) -> Done:
        result: dict[str, Any] = {"ttl_s": None if held.ttl_ns is None else held.ttl_ns / 1e9}
        attrs: dict[str, Any] = {"waited_ns": waited_ns}
        if self._settings.fencing:
            result["fencing"] = attrs["fencing"] = held.token
        return Done(result, attrs)

    def _busy(self, ask: Ask, waited_ns: int) -> Done:
        held = self._holders.get(ask.place)
        attrs: dict[str, Any] = {"waited_ns": waited_ns}
        if held is not None:
            attrs["holder"] = held.trial
        return refused(
            f"{ask.arguments.key}: the lock is held by another; waited {waited_ns / 1e9:.3f} s, "
            "try again later",
            **attrs,
        )
