"""A queue that delivers each message at least once.

Rules:
1. A message that was received is hidden for `visibility_s`; one that is not acknowledged by then is
   delivered again, before all others, and `delivery` counts on.
2. `duplicate_rate` of the messages are in the queue twice under one id; with `reorder` n, each
   delivery is drawn from the first n that wait. Both are drawn from the seed.
3. Who has waited longest gets the next message.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar, Literal

import msgspec
from pydantic import Field

from proofrig.services.service import (
    EVERYONE,
    Arguments,
    Ask,
    Caller,
    Clock,
    Done,
    Json,
    Operation,
    Seconds,
    Service,
    StoreSettings,
    nanoseconds,
    refused,
    text_of,
    too_large,
)


class QueueSettings(StoreSettings):
    """A queue of messages."""

    type: Literal["queue"]
    visibility_s: float = Field(30.0, gt=0, description="Seconds a received message is hidden.")
    duplicate_rate: float = Field(0.0, ge=0, le=1, description="Share of messages queued twice.")
    reorder: int = Field(1, ge=1, description="Messages from whose first n each delivery is drawn.")
    seed: dict[str, list[Json]] = Field(
        {}, description="Tenant, or `*` for all of them, to its first messages."
    )


class Publish(Arguments):
    """Put a message into the queue."""

    body: Json


class Receive(Arguments):
    """Take the next message, waiting up to `wait_s` seconds for one. Acknowledge it when its work
    is done; it is delivered again otherwise."""

    wait_s: Seconds = 0.0


class Acknowledge(Arguments):
    """Say that the work of a message is done."""

    message: str

    def started(self) -> dict[str, Any]:
        return {"message": self.message}


class _Message(msgspec.Struct, eq=False):
    id: str
    body: Any
    owner: str
    public: bool
    expires: int | None
    delivery: int = 0


class _Waiter(msgspec.Struct, eq=False):
    trial: str
    got: asyncio.Future[_Message | None]


class _Lane(msgspec.Struct, eq=False):
    """The queue of one partition. hidden: id -> (message, when it shows again)."""

    ready: deque[_Message]
    hidden: dict[str, tuple[_Message, int]]
    waiting: deque[_Waiter]


class QueueService(Service):
    """A queue, or one for each partition."""

    operations: ClassVar[Mapping[str, Operation]] = {
        "publish": Operation("publish", "queue.publish", Publish),
        "receive": Operation("receive", "queue.receive", Receive),
        "ack": Operation("ack", "queue.ack", Acknowledge),
    }

    def __init__(self, settings: QueueSettings, clock: Clock, seed: int) -> None:
        super().__init__(settings, clock)
        self._settings = settings
        self._random = random.Random(f"{seed} queue {settings.name}")
        self._lanes: dict[str, _Lane] = {}
        self._count = 0

    def publish(self, ask: Ask) -> Done:
        body, lane = ask.arguments.body, self._lane(ask.caller)
        refusal = too_large(self.name, body, self._settings.max_value_bytes)
        if refusal is not None:
            return refusal
        cap = self._settings.max_entries
        if cap is not None and len(lane.ready) + len(lane.hidden) >= cap:
            return refused(f"{self.name} is full: it holds {cap:,} messages; try again later")
        message = self._add(lane, body, ask.caller.tenant, public=False)
        self._hand_out(lane)
        return Done({"message": message.id}, {"message": message.id})

    def receive(self, ask: Ask) -> Done | Awaitable[Done]:
        self.sweep()
        lane = self._lane(ask.caller)
        message = None if lane.waiting else self._next(lane)
        if message is None and ask.arguments.wait_s:
            return self._wait(ask, lane)
        return self._told(message)

    def ack(self, ask: Ask) -> Done:
        self.sweep()
        id = ask.arguments.message
        if self._lane(ask.caller).hidden.pop(id, None) is not None:
            return Done({})
        return refused(
            f"{id}: expected a message that was received and not acknowledged, within "
            f"{self._settings.visibility_s:g} s of it; it will be, or was, delivered again"
        )

    def due(self) -> int | None:
        """Only what somebody waits for has to be freed in time."""
        shows = (
            when
            for lane in self._lanes.values()
            if lane.waiting
            for _, when in lane.hidden.values()
        )
        return min(shows, default=None)

    def sweep(self) -> None:
        now = self._clock()
        for lane in self._lanes.values():
            # as they were received, so the first that was is delivered first again
            shown = [message for message, when in lane.hidden.values() if when <= now]
            for message in shown:
                del lane.hidden[message.id]
            lane.ready.extendleft(reversed(shown))
            if shown:
                self._hand_out(lane)

    def forget(self, trial: str) -> None:
        for lane in self._lanes.values():
            for waiter in [one for one in lane.waiting if one.trial == trial]:
                lane.waiting.remove(waiter)
                if not waiter.got.done():
                    waiter.got.set_result(None)

    async def _wait(self, ask: Ask, lane: _Lane) -> Done:
        waiter = _Waiter(ask.caller.trial, asyncio.get_running_loop().create_future())
        lane.waiting.append(waiter)
        try:
            async with asyncio.timeout(ask.arguments.wait_s):
                message = await waiter.got
        except TimeoutError:
            message = _result(waiter.got)
        except asyncio.CancelledError:
            if (lost := _result(waiter.got)) is not None:
                self._put_back(lane, lost)  # it came in the moment its caller went away
            raise
        finally:
            if waiter in lane.waiting:
                lane.waiting.remove(waiter)
        return self._told(message)

    def _lane(self, caller: Caller) -> _Lane:
        whose = self.physical(caller, "")
        lane = self._lanes.get(whose)
        if lane is None:
            lane = self._lanes[whose] = _Lane(deque(), {}, deque())
            seed = self._settings.seed
            mine = seed if self._partition == "none" else {EVERYONE, caller.tenant} & seed.keys()
            for tenant in sorted(mine, key=lambda one: one != EVERYONE):
                public = tenant == EVERYONE
                for body in seed[tenant]:
                    self._add(lane, body, "" if public else tenant, public=public)
        return lane

    def _add(self, lane: _Lane, body: Json, owner: str, *, public: bool) -> _Message:
        self._count += 1
        ttl = self._settings.ttl_s
        expires = self._clock() + nanoseconds(ttl) if ttl else None
        message = _Message(f"{self.name}-{self._count}", body, owner, public, expires)
        lane.ready.append(message)
        if self._settings.duplicate_rate and self._random.random() < self._settings.duplicate_rate:
            lane.ready.append(message)
        return message

    def _next(self, lane: _Lane) -> _Message | None:
        """The next message, hidden from now on; None when there is none."""
        now = self._clock()
        while lane.ready:
            place = 0
            if self._settings.reorder > 1:
                place = self._random.randrange(min(self._settings.reorder, len(lane.ready)))
            message = lane.ready[place]
            del lane.ready[place]
            if message.expires is not None and message.expires <= now:
                continue
            message.delivery += 1
            lane.hidden[message.id] = (message, now + nanoseconds(self._settings.visibility_s))
            return message
        return None

    def _hand_out(self, lane: _Lane) -> None:
        """Give what is ready to those that wait."""
        while lane.waiting and lane.ready:
            if lane.waiting[0].got.done():
                lane.waiting.popleft()
            elif (message := self._next(lane)) is not None:
                lane.waiting.popleft().got.set_result(message)

    def _put_back(self, lane: _Lane, message: _Message) -> None:
        if lane.hidden.pop(message.id, None) is not None:
            message.delivery -= 1
            lane.ready.appendleft(message)
            self._hand_out(lane)

    def _told(self, message: _Message | None) -> Done:
        if message is None:
            return Done({"message": None})
        attrs: dict[str, Any] = {"message": message.id, "delivery": message.delivery}
        if message.owner:
            attrs["owner"] = message.owner
        if message.public:
            attrs["public"] = True
        result = {"message": message.id, "body": message.body, "delivery": message.delivery}
        return Done(result, attrs, text=text_of(message.body))


def _result(future: asyncio.Future[_Message | None]) -> _Message | None:
    return future.result() if future.done() and not future.cancelled() else None
