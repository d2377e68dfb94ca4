"""Connections that break, over real sockets, on the loop that rigs run on and on asyncio's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvloop
from aiohttp import web

from fault_rig import Got, fetch
from llm_rig import serving
from proofrig.gateways.breaking import break_off, broken, relay_pieces
from proofrig.wire.answer import Answer, Cut, Made

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def pieces(*parts: bytes | Exception) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, Exception):
            raise part
        yield part


def got_from(loop: str, handler: Handler, method: str = "POST") -> Got:
    """What a client gets from a server whose every request `handler` answers."""

    async def once() -> Got:
        app = web.Application()
        app.router.add_route("*", "/", handler)
        async with serving(app) as url:
            async with asyncio.timeout(10):
                return await fetch(f"{url}/", method=method)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(once())


def relayed(
    loop: str, make: Callable[[], Answer], method: str = "POST"
) -> tuple[Got, str, list[bytes]]:
    """What a client gets of a relayed answer; how it was cut, and what was seen of it."""
    seen: list[bytes] = []
    cuts: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        answer = make()
        response, cut = await relay_pieces(request, answer, answer.headers, seen.append)
        cuts.append(cut.how if cut is not None else "")
        return response

    got = got_from(loop, handler, method)
    return got, cuts[0], seen


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(("how", "ended"), [("reset", "reset"), ("close", "close")])
def test_before_a_byte(loop: str, how: str, ended: str) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        break_off(request, how)  # type: ignore[arg-type]
        return broken()

    got = got_from(loop, handler)
    assert (got.status, got.body, got.ended) == (0, b"", ended)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(("how", "ended"), [("reset", "reset"), ("close", "close")])
@pytest.mark.parametrize("length", [None, 10])
def test_in_the_middle(loop: str, how: str, ended: str, length: int | None) -> None:
    cut = Cut(how)  # type: ignore[arg-type]
    got, told, seen = relayed(loop, lambda: Made(200, pieces(b"abc", b"de", cut), length=length))
    assert (got.status, got.body, got.ended, told) == (200, b"abcde", ended, how)
    assert seen == [b"abc", b"de"]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("how", ["reset", "close"])
def test_after_the_head(loop: str, how: str) -> None:
    cut = Cut(how)  # type: ignore[arg-type]
    got, told, _ = relayed(loop, lambda: Made(206, pieces(cut), {"x-a": "1"}))
    assert (got.status, got.headers["x-a"], got.body, got.ended) == (206, "1", b"", how)
    assert told == how


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("made", "ended", "cut"),
    [
        (lambda: Made(200, b"abc"), "whole", ""),
        (lambda: Made(200, b""), "whole", ""),
        (lambda: Made(200, pieces(b"ab", b"c")), "whole", ""),
        (lambda: Made(200, pieces(b"ab", b"c"), length=3), "whole", ""),
        (lambda: Made(200, b"abc", length=9), "close", "close"),
        (lambda: Made(200, pieces(b"ab"), length=3), "close", "close"),
        (lambda: Made(204, b""), "whole", ""),
        (lambda: Made(304, b"", length=12), "whole", ""),
    ],
)
def test_a_length_that_is_not_kept_breaks_the_connection(
    loop: str, made: Callable[[], Made], ended: str, cut: str
) -> None:
    got, told, seen = relayed(loop, made)
    assert (got.ended, told, got.body) == (ended, cut, b"".join(seen))


def test_an_answer_to_head_has_a_length_and_no_body() -> None:
    got, told, _ = relayed("asyncio", lambda: Made(200, b"", length=512), "HEAD")
    assert (got.headers["content-length"], got.body, got.ended, told) == ("512", b"", "whole", "")


def test_pieces_keep_their_boundaries() -> None:
    got, _, _ = relayed("asyncio", lambda: Made(200, pieces(b"ab", b"c", b"def")))
    assert got.pieces == [b"ab", b"c", b"def"]
