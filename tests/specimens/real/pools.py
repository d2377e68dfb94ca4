"""Connection pools of real clients before a real server: long streams that starve short requests,
and how each is prevented."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import httpx2
from aiohttp import web
from openai import AsyncOpenAI

from proofrig.checkers.checker import Finding
from proofrig.observers import RecordingTransport, recording_trace_config
from specimens.real.lab import Lab, Ran, Specimen, now

SIZE = 4  # connections
SHORT_S, LONG_S, PIECES, ENOUGH = 0.005, 0.8, 16, 4
SHORTS = 12
STARVED_S = 0.25  # of a request that takes 5 ms


class Client:
    """How the agents ask: `short()`, and `stream()`, which takes until it is read."""

    async def short(self) -> None:
        raise NotImplementedError

    async def stream(self) -> None:
        raise NotImplementedError


Make = Callable[[str, Lab, AsyncExitStack], Awaitable[Client]]


class Httpx(Client):
    """httpx or httpx2, with a pool for short requests and one for streams, often the same. left:
    what is done to a stream after a few pieces: "" reads on, "break" leaves it, "close" ends it."""

    def __init__(self, url: str, short: Any, long: Any, left: str = "") -> None:
        self._url, self._short, self._long, self._left = url, short, long, left
        self._kept: list[Any] = []

    async def short(self) -> None:
        (await self._short.get(f"{self._url}/short")).raise_for_status()

    async def stream(self) -> None:
        request = self._long.build_request("GET", f"{self._url}/stream")
        response = await self._long.send(request, stream=True)
        lines = response.aiter_lines()
        read = 0
        async for line in lines:
            read += bool(line)
            if self._left and read == ENOUGH:
                break
        if self._left != "break":
            await response.aclose()
            return
        self._kept.append(lines)  # somebody still refers to it
        await asyncio.sleep(LONG_S)


class Aiohttp(Client):
    def __init__(self, url: str, short: aiohttp.ClientSession, long: aiohttp.ClientSession) -> None:
        self._url, self._short, self._long = url, short, long

    async def short(self) -> None:
        async with self._short.get(f"{self._url}/short") as response:
            await response.read()

    async def stream(self) -> None:
        async with self._long.get(f"{self._url}/stream") as response:
            async for _ in response.content:
                pass


class OpenAi(Client):
    def __init__(self, short: AsyncOpenAI, long: AsyncOpenAI) -> None:
        self._short, self._long = short, long

    async def short(self) -> None:
        await self._short.chat.completions.create(model="short", messages=[])

    async def stream(self) -> None:
        answer = await self._long.chat.completions.create(model="long", messages=[], stream=True)
        async with answer:
            async for _ in answer:
                pass


def httpx_pools(library: Any, *, size: int = SIZE, apart: bool = False, left: str = "") -> Make:
    async def make(url: str, lab: Lab, closing: AsyncExitStack) -> Client:
        short, long = await _two(lambda: _httpx_client(library, lab, size), closing, apart=apart)
        return Httpx(url, short, long, left)

    return make


def aiohttp_pools(*, apart: bool = False) -> Make:
    async def make(url: str, lab: Lab, closing: AsyncExitStack) -> Client:
        def session() -> aiohttp.ClientSession:
            traced = recording_trace_config(recorder=lab.recorder)
            limit = aiohttp.TCPConnector(limit=SIZE)
            return aiohttp.ClientSession(connector=limit, trace_configs=[traced])

        return Aiohttp(url, *await _two(session, closing, apart=apart))

    return make


def openai_pools(*, apart: bool = False) -> Make:
    async def make(url: str, lab: Lab, closing: AsyncExitStack) -> Client:
        def client() -> AsyncOpenAI:
            http = _httpx_client(httpx2, lab, SIZE)
            return AsyncOpenAI(base_url=f"{url}/v1", api_key="none", http_client=http)

        return OpenAi(*await _two(client, closing, apart=apart))

    return make


def _httpx_client(library: Any, lab: Lab, size: int) -> Any:
    inner = library.AsyncHTTPTransport(limits=library.Limits(max_connections=size))
    transport = RecordingTransport(inner, recorder=lab.recorder)
    timeout = library.Timeout(5, pool=STARVED_S + 0.1)
    return library.AsyncClient(transport=transport, timeout=timeout)


async def _two(make: Callable[[], Any], closing: AsyncExitStack, *, apart: bool) -> tuple[Any, Any]:
    """A client for short requests and one for streams: the same, or two."""
    made = [await closing.enter_async_context(make()) for _ in range(1 + apart)]
    return made[0], made[-1]


async def _pieces(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    with suppress(ConnectionError):
        for _ in range(PIECES):
            await response.write(b'data: {"id":"1","choices":[]}\n\n')
            await asyncio.sleep(LONG_S / PIECES)
        await response.write(b"data: [DONE]\n\n")
    return response


@asynccontextmanager
async def _server() -> AsyncIterator[str]:
    async def short(request: web.Request) -> web.Response:
        await asyncio.sleep(SHORT_S)
        return web.Response(text="done")

    async def chat(request: web.Request) -> web.StreamResponse:
        if (await request.json()).get("stream"):
            return await _pieces(request)
        await asyncio.sleep(SHORT_S)
        return web.json_response({"id": "1", "choices": []})

    app = web.Application()
    app.router.add_get("/short", short)
    app.router.add_get("/stream", _pieces)
    app.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class _Seen:
    """What the agents themselves saw: how long short requests took, and who streamed."""

    def __init__(self) -> None:
        self.slow: set[str] = set()
        self.streamed: set[str] = set()

    def true(self, finding: Finding) -> bool:
        victim, *holders = sorted(finding.witness, key=lambda one: "waited" not in one.says)
        return victim.trial in self.slow and {one.trial for one in holders} <= self.streamed


async def _play(lab: Lab, make: Make, seen: _Seen) -> None:
    async with AsyncExitStack() as closing:
        url = await closing.enter_async_context(_server())
        client = await make(url, lab, closing)

        async def streaming() -> None:
            seen.streamed.add(now())
            await client.stream()

        async def asking() -> None:
            await asyncio.sleep(0.13)
            began = time.perf_counter()
            with suppress(Exception):  # a pool timeout, in the words of each library
                await client.short()
            if time.perf_counter() - began > STARVED_S:
                seen.slow.add(now())

        await lab.tasks([*(streaming() for _ in range(SIZE)), *(asking() for _ in range(SHORTS))])


def _specimen(variant: str, make: Make, *, bad: bool) -> Specimen:
    def run(folder: Path, seed: int) -> Ran:
        seen = _Seen()
        with Lab(folder, seed, "long_stream") as lab:
            asyncio.run(_play(lab, make, seen))
        return Ran(lab.run_dir, len(seen.slow) > SHORTS // 2, seen.true)

    kind = "pool_starvation" if bad else None
    return Specimen("pool starvation", variant, kind, "pool_starvation", run)


SPECIMENS = [
    _specimen("httpx: streams and short requests in one pool", httpx_pools(httpx), bad=True),
    _specimen("httpx: streams left by `break`", httpx_pools(httpx, left="break"), bad=True),
    _specimen("httpx2: streams and short requests in one pool", httpx_pools(httpx2), bad=True),
    _specimen("aiohttp: streams and short requests in one session", aiohttp_pools(), bad=True),
    _specimen("openai: streams and short requests in one client", openai_pools(), bad=True),
    _specimen("httpx: a pool for each", httpx_pools(httpx, apart=True), bad=False),
    _specimen("httpx: a larger pool", httpx_pools(httpx, size=3 * SIZE), bad=False),
    _specimen("httpx: streams closed", httpx_pools(httpx, left="close"), bad=False),
    _specimen("aiohttp: a session for each", aiohttp_pools(apart=True), bad=False),
    _specimen("openai: a client for each", openai_pools(apart=True), bad=False),
]
