"""A vendor's limits kept away from agents: calls are paced below its ceilings, slowed down when it
refuses, and sent again.

Rules:
1. All calls of an endpoint leave one after another, never in a herd: by turns among the trials that
   wait, and in their order within a trial.
2. A refusal by the vendor's limits (429, 529, or 503 that says when to come back) halves the pace
   of all calls, once for all that had left before; what goes well then raises it step by step.
3. A refused call waits as it was told, and a little longer by chance, and goes before the other
   calls of its trial. It holds no connection of the cap meanwhile. What it waited is no part of
   its service time.
4. A call waits at most `max_wait_s` in all. Then the vendor's refusal is handed on; one that never
   left fails as throttled. Neither is the agent's doing.
5. This stands right before the socket: a fault's refusal never comes here.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from proofrig.gateways.pace import Pace
from proofrig.gateways.rate_headers import told_wait
from proofrig.gateways.upstream import OVER_LIMIT, LiveAnswer, Place, Upstream, UpstreamError
from proofrig.providers.provider import Ceilings
from proofrig.wire.turn import Api

if TYPE_CHECKING:
    from proofrig.gateways.gateway import Binding

_FIRST_WAIT_S = 0.5  # where the vendor does not say, doubled with each refusal
_LONGEST_WAIT_S = 30.0
_JITTER = 0.25  # of a wait, at most
_NAP_S = 0.1  # after which it is looked again: tokens may have been given back
_SPENT = (b"insufficient_quota", b"billing_hard_limit_reached")  # no wait mends an empty account
_SECOND_NS = 1_000_000_000

Send = Callable[[], Awaitable[LiveAnswer]]


class Paced(Protocol):
    """A call as it is told of its waits. Times are nanoseconds."""

    @property
    def binding(self) -> Binding: ...

    queue_ns: int
    backoff_ns: int
    sent_ns: int


@dataclass(slots=True, eq=False)
class Patience:
    """One call in its wait for the vendor. tokens: what it may come to, at most. note: writes the
    note `throttle` on the history. place: its connection. held: it waits now, and nothing of it is
    under way. taken: its tokens were taken from the pace. handed_on: the vendor refused it for
    good. waited_ns: what it has waited in all."""

    throttle: Throttle
    call: Paced
    tokens: int
    note: Callable[[dict[str, Any]], object]
    place: Place | None = None
    held: bool = False
    taken: bool = False
    handed_on: bool = False
    waited_ns: int = 0
    refused: int = 0

    def leaves(self, waited_s: float) -> None:
        """It is sent, after this wait."""
        self.held = False
        if waited_s <= 0:
            return
        waited = int(waited_s * _SECOND_NS)
        self.waited_ns += waited
        self.call.sent_ns += waited
        if self.refused:
            self.call.backoff_ns += waited
        else:
            self.call.queue_ns += waited

    def take(self, now: float) -> None:
        """Its turn has come."""
        self.throttle.pace.take(now, self.tokens)
        self.taken = True

    def give_back(self, used: int = 0) -> None:
        """It has come to so many tokens: what was taken above that is given back."""
        if self.taken:
            self.throttle.pace.give_back(self.tokens - used)
        self.taken = False

    def settle(self, tokens: int) -> dict[str, Any]:
        """The call has come to so many tokens. Returns what its end says of its waits."""
        self.give_back(tokens)
        found: dict[str, Any] = {"throttle_ns": self.waited_ns} if self.waited_ns else {}
        throttled = self.held or self.handed_on
        return found | {"infra": True, "throttled": True} if throttled else found


@dataclass(slots=True, eq=False)
class _Turn:
    patience: Patience
    until: float
    granted: asyncio.Future[bool] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Throttle:
    """The pace of one endpoint. Times are seconds; `clock` and `sleep` belong together; `chance`
    gives numbers in [0, 1)."""

    def __init__(
        self,
        ceilings: Ceilings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.ceilings = ceilings
        self.pace = Pace(ceilings.requests_per_minute, ceilings.tokens_per_minute)
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._lines: dict[str, deque[_Turn]] = {}  # by trial; the next turn is the first one's
        self._granting: asyncio.Task[None] | None = None

    async def carry(self, patience: Patience, send: Send) -> LiveAnswer:
        """The vendor's answer, once it lets the call through; its refusal when waiting is no use.
        Raises UpstreamError: what `send` raises, or that the call waited for too long."""
        since = self._clock()
        until = since + self.ceilings.max_wait_s
        not_before = since
        refusal: LiveAnswer | None = None
        while True:
            patience.held = True
            try:
                waited = await self._own_turn(patience, not_before, until)
            except UpstreamError:
                if refusal is None:
                    raise
                patience.leaves(self._clock() - since)
                patience.handed_on = True
                return refusal
            now = self._clock()
            patience.leaves(now - since if waited else 0.0)
            answer = await send()
            patience.handed_on = _refuses(answer)
            if self.ceilings.on_throttle == "fail_fast":
                return answer
            if not patience.handed_on:
                self.pace.went_well(now, self._clock(), answer.headers, time.time())
                return answer
            pause = await self._refused(patience, now, answer, until)
            if pause is None:
                return answer
            patience.handed_on = False
            patience.give_back()
            if patience.place is not None:
                patience.place.give_back()
            refusal = answer  # read to its end: it holds no connection
            since, not_before = now, self._clock() + pause

    def close(self) -> None:
        """Stop granting turns."""
        if self._granting is not None:
            self._granting.cancel()

    async def _refused(
        self, patience: Patience, sent: float, answer: LiveAnswer, until: float
    ) -> float | None:
        """Lower the pace; how long the call has to wait, or None when it shall not be sent again.
        Raises UpstreamError."""
        body = await answer.peek()
        if any(said in body for said in _SPENT):
            return None
        now = self._clock()
        told = told_wait(answer.headers, time.time())
        before, after = self.pace.refused(sent, now, min(told or 0.0, self.ceilings.max_wait_s))
        own = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**patience.refused) if told is None else told
        pause = own * (1 + _JITTER * self._chance())
        hopeless = now + pause > until or answer.headers.get("x-should-retry") == "false"
        patience.refused += 1
        rates = {"rate_after": after} | ({"rate_before": before} if before else {})
        wait_ns = 0 if hopeless else int(pause * _SECOND_NS)
        patience.note({"why": f"status {answer.status}", "wait_ns": wait_ns} | rates)
        return None if hopeless else pause

    async def _own_turn(self, patience: Patience, not_before: float, until: float) -> bool:
        """Wait for the call's turn; False when it has come at once. Raises UpstreamError when it
        does not come in time."""
        again = patience.refused > 0
        if (pause := not_before - self._clock()) > 0:
            await self._sleep(pause)
        if patience.place is not None:
            await patience.place.take()
        if not self._lines and self.pace.opens() <= self._clock():
            patience.take(self._clock())
            return again
        turn = _Turn(patience, until)
        line = self._lines.setdefault(patience.call.binding.trial, deque())
        if again:
            line.appendleft(turn)
        else:
            line.append(turn)
        if self._granting is None:
            self._granting = asyncio.create_task(self._grant())
        if not await turn.granted:
            raise self._too_long()
        return True

    async def _grant(self) -> None:
        """Grant turns as the pace allows, until nobody waits."""
        try:
            while self._lines:
                now, opens = self._clock(), self.pace.opens()
                self._turn_away(now)
                if opens > now:
                    first = min((line[0].until for line in self._lines.values()), default=now)
                    await self._sleep(min(_NAP_S, max(0.0, min(opens, first) - now)))
                    continue
                if (turn := self._next()) is not None:
                    turn.patience.take(now)
                    turn.granted.set_result(True)
        finally:
            self._granting = None

    def _next(self) -> _Turn | None:
        """The first turn of the trial that has waited longest for one; the trial goes to the end of
        the round."""
        for trial in list(self._lines):
            line = self._lines.pop(trial)
            turn = line.popleft()
            if line:
                self._lines[trial] = line
            if not turn.granted.done():
                return turn
        return None

    def _turn_away(self, now: float) -> None:
        """Tell those at the head of their lines whose time is up, and drop who has gone."""
        for trial, line in list(self._lines.items()):
            while line and (line[0].granted.done() or line[0].until <= now):
                turn = line.popleft()
                if not turn.granted.done():
                    turn.granted.set_result(False)
            if not line:
                del self._lines[trial]

    def _too_long(self) -> UpstreamError:
        waited, pace = self.ceilings.max_wait_s, self.pace.per_minute
        now = "" if pace is None else f" Its pace is {pace:g} requests a minute now."
        return UpstreamError(
            f"throttled: the call waited {waited:g} s for the vendor's limits and was not sent."
            f"{now} Launch fewer agents, raise `max_wait_s`, or ask the vendor for more.",
            status=429,
            definite=True,
            throttled=True,
        )


def open_throttles(upstreams: Mapping[Api, Upstream]) -> dict[Api, Throttle]:
    """One throttle for each upstream that has ceilings; APIs that share one share its pace."""
    found: dict[int, Throttle] = {}
    for upstream in upstreams.values():
        ceilings = upstream.endpoint.ceilings
        if ceilings is not None and id(upstream) not in found:
            found[id(upstream)] = Throttle(ceilings)
    return {
        api: found[id(upstream)] for api, upstream in upstreams.items() if id(upstream) in found
    }


def _refuses(answer: LiveAnswer) -> bool:
    """True when the vendor says that this was too much for its limits."""
    if answer.status in OVER_LIMIT:
        return True
    told = "retry-after" in answer.headers or "retry-after-ms" in answer.headers
    return answer.status == 503 and told
