"""Breaking an agent's connection, and relaying bodies that may break."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from typing import cast

from aiohttp import web

from proofrig.wire.answer import Answer, Cut, How, length_of

_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: nothing is waited for, and the end is an RST


def hang_up(transport: asyncio.BaseTransport, how: How) -> None:
    """End a connection: by RST, where what is on its way is lost, or by FIN after it."""
    if how == "close":
        transport.close()
        return
    ours = transport.get_extra_info("socket")
    if ours is not None and not transport.is_closing():
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    cast(asyncio.WriteTransport, transport).abort()


def break_off(request: web.Request, how: How) -> None:
    """End the agent's connection without ending the answer."""
    if request.transport is not None:
        hang_up(request.transport, how)


def broken() -> web.Response:
    """What a handler returns when nobody is there to read it."""
    return web.Response(status=499)


async def relay_pieces(
    request: web.Request,
    answer: Answer,
    headers: Mapping[str, str],
    seen: Callable[[bytes], None],
) -> tuple[web.StreamResponse, Cut | None]:
    """Pass an answer on chunk by chunk as it comes, with the length its head says; `seen` is told
    of each chunk before it passes. What broke it, if it did: then the connection is broken too, and
    the answer has no end. Raises what reading raises, and ConnectionResetError."""
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    length = length_of(answer)
    if length >= 0:
        response.content_length = length
    await response.prepare(request)
    sent = 0
    try:
        while chunk := await answer.readany():
            seen(chunk)
            sent += len(chunk)
            await response.write(chunk)
    except Cut as cut:
        break_off(request, cut.how)
        return response, cut
    bodiless = request.method == "HEAD" or answer.status in (204, 304)
    if 0 <= length != sent and not bodiless:
        break_off(request, "close")  # its head said another length
        return response, Cut("close")
    return response, None


async def relay_whole(
    request: web.Request,
    answer: Answer,
    headers: Mapping[str, str],
    whole: Callable[[bytes], None],
    seen: Callable[[int], None] = lambda came: None,
) -> tuple[web.StreamResponse, Cut | None]:
    """`relay_pieces`, where `whole` is told the body once, before the agent can know that it is
    whole, and not at all when it broke. `seen`: how many bytes have come so far."""
    came, length, told = bytearray(), length_of(answer), False

    def tell() -> None:
        nonlocal told
        if not told:
            told = True
            whole(bytes(came))

    def step(chunk: bytes) -> None:
        came.extend(chunk)
        seen(len(came))
        if len(came) == length:
            tell()

    response, cut = await relay_pieces(request, answer, headers, step)
    if cut is None:
        tell()
    return response, cut
