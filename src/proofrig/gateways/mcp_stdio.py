"""Stdio MCP servers behind the tap: the rig's end of it.

Rules:
1. A tap's WebSocket (`/t/{token}/taps/{server}`) lives as long as its server; when it closes, calls
   that wait for an answer are unknown.
2. Frames are as `tap.py` describes them; a question about a line of the server is an answer to
   what the rig has let pass.
3. Lines are decided in the order they came in. One that waits for an approval is set aside, and
   others pass it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import aiohttp
from aiohttp import web

from proofrig.gateways.gateway import Context
from proofrig.gateways.mcp_messages import Exchange, Verdict
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
        headers = request.headers
        socket = web.WebSocketResponse(max_msg_size=0, compress=False)
        await socket.prepare(request)
        self._taps.add(socket)
        identity = self._calls.identify(headers, token)
        exchange = Exchange(self._calls, identity, request.match_info["server"], lines=True)
        tasks: set[asyncio.Task[Any]] = set()
        try:
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.BINARY:
                    continue
                head, _, line = message.data.partition(b"\n")
                number, _, way = head.partition(b" ")
                if way == b"s":
                    await socket.send_bytes(_frame(number, exchange.from_server(line)))
                    continue
                exchange.identity = self._calls.identify(headers, token)
                deciding = exchange.from_client(line)
                if not self._context.admission.asks:
                    await socket.send_bytes(_frame(number, await deciding))
                    continue
                task = asyncio.ensure_future(deciding)
                await asyncio.sleep(0)  # as far as it comes without waiting
                if task.done():
                    await socket.send_bytes(_frame(number, task.result()))
                    continue
                await socket.send_bytes(_frame(number, Verdict("hold")))
                for one in (task, asyncio.create_task(_later(socket, number, task))):
                    tasks.add(one)
                    one.add_done_callback(tasks.discard)
        except ConnectionResetError:
            pass  # the tap went away while it was answered
        finally:
            self._taps.discard(socket)
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            exchange.close("the server or its agent ended before the call was answered")
        return socket


async def _later(
    socket: web.WebSocketResponse, number: bytes, deciding: asyncio.Task[Verdict]
) -> None:
    """Send the verdict on a line once there is one."""
    try:
        verdict = await deciding
    except asyncio.CancelledError:
        ours = asyncio.current_task()
        if ours is None or ours.cancelling():
            raise
        verdict = Verdict("drop")  # the agent cancelled its call, and expects no answer
    except BaseException:
        await socket.close()  # the tap refuses what it cannot ask about
        raise
    with suppress(ConnectionResetError):  # the tap went away while it was answered
        await socket.send_bytes(_frame(number, verdict))


def _frame(number: bytes, verdict: Verdict) -> bytes:
    return b"%b %b %.3f\n%b" % (number, verdict.do.encode(), verdict.delay_s, verdict.body)
