"""The server's door: connections counted, marked and cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from proofrig.providers.door import MOST_BODY_BYTES, Door
from proofrig.providers.simulated import Connections

REQUEST = b"GET / HTTP/1.1\r\nhost: door\r\n\r\n"


@asynccontextmanager
async def opened(caps: Connections) -> AsyncIterator[tuple[Door, int]]:
    """A door behind which every request is told whether its connection is busy."""

    async def handle(request: web.BaseRequest) -> web.Response:
        assert request._client_max_size == MOST_BODY_BYTES
        return web.Response(text=f"busy={getattr(request.protocol, 'busy', None)}")

    door = Door(handle, caps)
    server = await asyncio.get_running_loop().create_server(door, "127.0.0.1", 0)
    try:
        yield door, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await door.shutdown(0)


async def knock(port: int) -> tuple[bytes, asyncio.StreamWriter]:
    """What a new connection is told: the last line, nothing when it was cut."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return await reader.readexactly(length), writer
    except (ConnectionError, asyncio.IncompleteReadError):
        return b"", writer


async def test_connections_are_served_then_busy_then_cut() -> None:
    async with opened(Connections(busy_above=1, refuse_above=2)) as (door, port):
        told = [await knock(port) for _ in range(4)]
        assert [text for text, _ in told] == [b"busy=False", b"busy=True", b"", b""]
        assert (door.open, door.peak, door.refused) == (2, 2, 2)
        for _, writer in told:
            writer.close()
        for _ in range(2000):
            await asyncio.sleep(0.005 if door.open else 0)
        text, writer = await knock(port)
        assert text == b"busy=False"
        writer.close()
        assert (door.peak, door.refused) == (2, 2)


async def test_without_caps_everybody_comes_in() -> None:
    async with opened(Connections()) as (door, port):
        told = [await knock(port) for _ in range(20)]
        assert {text for text, _ in told} == {b"busy=False"}
        assert (door.open, door.refused) == (20, 0)
        for _, writer in told:
            writer.close()
