"""When the first request of each trial reached the rig: the spread of a launch, measured where it
counts.

Rules:
1. The time is taken when the first bytes of a request come out of the socket, before anything is
   parsed: what the rig does with the requests before it does not count.
2. Only trials that were released from a gate are waited for; for all others this costs one look
   at an empty set.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from proofrig.gateways.gateway import Binding, Context
from proofrig.gateways.identity import identify

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Stamping(RequestHandler):
    """Remembers when the bytes came that woke it."""

    __slots__ = ("came_ns",)

    came_ns: int

    def data_received(self, data: bytes) -> None:
        self.came_ns = time.monotonic_ns()
        super().data_received(data)


class StampingServer(web.Server):
    """Makes handlers that remember."""

    def __call__(self) -> Stamping:
        return Stamping(self, loop=self._loop, **self._kwargs)


def stamped(runner: web.AppRunner) -> None:
    """Let a runner that is set up, and listens to nothing yet, take the time of what comes in."""
    assert runner.server is not None
    runner.server.__class__ = StampingServer


class Arrivals:
    """The trials whose first request is waited for."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._awaited: set[str] = set()
        self._noted = 0
        context.bindings.on_end.append(lambda binding: self._awaited.discard(binding.token))

    def expect(self, binding: Binding) -> None:
        """Wait for the first request of this trial."""
        if binding.gated:
            self._awaited.add(binding.token)

    def middleware(self) -> Any:
        """For the rig's application."""

        @web.middleware
        async def arrivals(request: web.Request, handler: Handler) -> web.StreamResponse:
            if self._awaited and self._note(request):
                await self._all_read()
            return await handler(request)

        return arrivals

    async def _all_read(self) -> None:
        """Let all that came together be read before the first of it is worked on: the work on one
        would look like the others' being late. A turn of the loop without a new one ends it."""
        seen = -1
        while seen != self._noted:
            seen = self._noted
            await asyncio.sleep(0)

    def _note(self, request: web.Request) -> bool:
        """True for a trial's first request, which is written down."""
        token = request.match_info.get("token", "")
        binding = identify(self._context.bindings, request.headers, token).binding
        if binding is None or binding.token not in self._awaited:
            return False
        self._awaited.discard(binding.token)
        self._noted += 1
        waited_ns = time.monotonic_ns() - getattr(request.protocol, "came_ns", time.monotonic_ns())
        self._context.journal.write(
            "note",
            "arrival",
            trial=binding.trial,
            tenant=binding.tenant,
            scope=binding.scope,
            attrs={"arrived_ns": self._context.clock() - waited_ns},
        )
        return True
