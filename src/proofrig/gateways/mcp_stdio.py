"""Stdio MCP servers behind the tap: the rig's end of it.

Rules:
1. A tap's WebSocket (`/t/{token}/taps/{server}`) lives as long as its server; when it closes, calls
   that wait for an answer are unknown.
2. Frames are as `tap.py` describes them; a question about a line of the server is an answer to
   what the rig has let pass.
3. Lines are decided in the order they came in. One that waits, for an approval or for a fault, is
   set aside, and others pass it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import aiohttp
from aiohttp import web

from proofrig.gateways.gateway import Context
from proofrig.gateways.leg import clear
from proofrig.gateways.mcp_crossing import Crossing
from proofrig.gateways.mcp_leg import McpLeg
from proofrig.gateways.mcp_messages import (
    PASS,
    UNREADABLE,
    Exchange,
    Verdict,
    call_key,
    messages_of,
)
from proofrig.gateways.tool_action import Calls


class McpStdioGateway:
    """Answers the taps."""

    def __init__(self, context: Context, calls: Calls) -> None:
        self._context = context
        self._calls = calls
        self._taps: set[web.WebSocketResponse] = set()

    def routes(self) -> list[web.RouteDef]:
        """`GET /taps/{server}`, a WebSocket, bare and below `/t/{token}`."""
        return [web.get(f"{prefix}/taps/{{server}}", self._serve) for prefix in ("", "/t/{token}")]

    async def close(self) -> None:
        """End the taps' connections; they refuse further calls."""
        for socket in list(self._taps):
            await socket.close()

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        token = request.match_info.get("token", "")
        socket = web.WebSocketResponse(max_msg_size=0, compress=False)
        await socket.prepare(request)
        self._taps.add(socket)
        identity = self._calls.identify(request.headers, token)
        exchange = Exchange(self._calls, identity, request.match_info["server"])
        tap = _Tap(self._context, socket, exchange)
        try:
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.BINARY:
                    continue
                head, _, line = message.data.partition(b"\n")
                number, _, way = head.partition(b" ")
                if way == b"s":
                    await tap.from_server(number, line)
                    continue
                exchange.identity = self._calls.identify(request.headers, token)
                await tap.from_client(number, line)
        except ConnectionResetError:
            pass  # the tap went away while it was answered
        finally:
            self._taps.discard(socket)
            await tap.close()
            exchange.close("the server or its agent ended before the call was answered")
        return socket


class _Tap:
    """One tap's connection. `undecided`: the lines of the client that wait for their verdict."""

    def __init__(self, context: Context, socket: web.WebSocketResponse, exchange: Exchange) -> None:
        self._context = context
        self._socket = socket
        self._exchange = exchange
        self._undecided: set[bytes] = set()
        self._tasks: dict[asyncio.Task[None], Crossing | None] = {}
        self._crossings: dict[Any, Crossing] = {}  # by the id that the server answers to

    async def from_client(self, number: bytes, line: bytes) -> None:
        """Decide on a line of the client, or set it aside until that can be decided."""
        if clear(self._context) and not self._context.admission.asks:
            await self.say(number, await self._exchange.from_client(line))
            return
        self._undecided.add(number)
        task = asyncio.ensure_future(self._decide(number, line))
        self._tasks[task] = None
        task.add_done_callback(lambda task: self._tasks.pop(task, None))
        await asyncio.sleep(0)  # as far as it comes without waiting
        if task.done():
            task.result()
            return
        if number in self._undecided:
            await self.say(number, Verdict("hold"))

    async def from_server(self, number: bytes, line: bytes) -> None:
        """Decide on an answer of the server."""
        key = self._answered(line)
        if (crossing := self._crossings.pop(key, None)) is not None:
            await self.say(number, Verdict("hold"))
            crossing.came(key, number, line)
            return
        await self.say(number, self._exchange.from_server(line))

    def _answered(self, line: bytes) -> Any:
        """The id that a line of the server answers to, if a crossing waits for any."""
        if not self._crossings:
            return None
        try:
            messages = messages_of(line)
        except UNREADABLE:
            return None
        return call_key(messages[0].id) if len(messages) == 1 else None

    async def say(self, number: bytes, verdict: Verdict) -> None:
        """Give the verdict on a line."""
        if verdict.do != "hold":
            self._undecided.discard(number)
        await self._socket.send_bytes(b"%b %b\n%b" % (number, verdict.do.encode(), verdict.body))

    def expect(self, key: object, crossing: Crossing) -> None:
        """The answer with this id is the crossing's."""
        self._crossings[key] = crossing

    def forget(self, crossing: Crossing) -> None:
        """What answers still come of it pass."""
        for key in [key for key, one in self._crossings.items() if one is crossing]:
            del self._crossings[key]

    async def close(self) -> None:
        """The connection has ended: nobody waits any longer."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _decide(self, number: bytes, line: bytes) -> None:
        try:
            verdict = await self._exchange.from_client(line)
            self._withdraw()
            crossing = self._crossing(number, line) if verdict == PASS else None
            if crossing is None:
                await self._late(self.say(number, verdict))
                return
            task = asyncio.current_task()
            assert task is not None
            self._tasks[task] = crossing
            await self._late(crossing.cross())
        except asyncio.CancelledError:
            ours = asyncio.current_task()
            if ours is None or ours.cancelling():
                raise
            await self._late(self.say(number, Verdict("drop")))  # its agent expects no answer
        except BaseException:
            await self._socket.close()  # the tap refuses what it cannot ask about
            raise

    def _withdraw(self) -> None:
        """End the crossings whose calls the agent has cancelled."""
        for task, crossing in list(self._tasks.items()):
            if crossing is not None and not self._exchange.is_open(crossing.id):
                task.cancel()

    async def _late(self, saying: Coroutine[Any, Any, None]) -> None:
        with suppress(ConnectionResetError):  # the tap went away meanwhile
            await saying

    def _crossing(self, number: bytes, line: bytes) -> Crossing | None:
        """The crossing of a line that has begun a call, where there is anything in its way."""
        if clear(self._context) or (found := self._exchange.call_of(line)) is None:
            return None
        message, call = found
        leg = McpLeg(self._context, call.binding, self._exchange.server, message, call)
        call.leg = leg
        return Crossing(self, self._exchange, leg, number, line)
