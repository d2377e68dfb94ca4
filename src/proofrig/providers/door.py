"""The server's door: how many connections are open, and what happens to one too many.

Rules:
1. A connection above `refuse_above` is cut as soon as it is accepted: its client sees a reset.
2. A connection above `busy_above` stays open, and is marked: its request is told "overloaded".
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from aiohttp import StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from proofrig.providers.simulated import Connections

MOST_BODY_BYTES = 64 << 20


class Door(web.Server):
    """A server that counts its connections. `open`, `peak` and `refused` can be read."""

    def __init__(self, handler: Any, caps: Connections) -> None:
        super().__init__(
            handler,
            request_factory=self._request,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=300,
        )
        self.caps = caps
        self.open = 0
        self.peak = 0
        self.refused = 0

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: Any,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._loop, client_max_size=MOST_BODY_BYTES
        )


class Connection(RequestHandler):
    """One connection. `busy`: it came when as many were open as the server serves."""

    busy = False
    _cut = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        door = cast(Door, self._manager)
        caps = door.caps
        if caps.refuse_above is not None and door.open >= caps.refuse_above:
            door.refused += 1
            self._cut = True
            cast(asyncio.Transport, transport).abort()
            return
        self.busy = caps.busy_above is not None and door.open >= caps.busy_above
        self._door = door
        door.open += 1
        door.peak = max(door.peak, door.open)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._cut:
            return
        self._door.open -= 1
        super().connection_lost(exc)
