"""A recorder into a run of its own, and a small server whose answers take their time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from proofrig.history.action import Action, Entry
from proofrig.history.history import History, pair
from proofrig.observers.recorder import Recorder


@dataclass
class Recorded:
    """A recorder, and what it wrote. `environ["PROOFRIG_TRIAL"]` may be changed at any time."""

    run: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.run / "history").mkdir(parents=True)
        self.environ |= {
            "PROOFRIG_HISTORY": str(self.run / "history"),
            "PROOFRIG_ORIGIN_NS": str(time.monotonic_ns()),
            "PROOFRIG_TRIAL": "case:0",
        }
        self.recorder = Recorder(self.environ)

    def entries(self) -> list[Entry]:
        history = History(self.run)
        found = [entry for entry in history.entries() if entry.name != "segment"]
        assert history.problems == []
        return found

    def actions(self) -> list[Action]:
        return list(pair(self.entries()))

    def told(self, *names: str) -> list[tuple[Any, ...]]:
        """(action, outcome, *attributes named) of each action, in the order of their end."""
        return [(a.name, a.outcome, *(a.attr(name) for name in names)) for a in self.actions()]


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path / "run")


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """/slow/<ms> answers late; /stream/<n>/<ms> sends n pieces; /status/<s>; /to redirects;
    /v1/chat/completions answers as a model, at the first attempt with 500."""

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(int(request.match_info["ms"]) / 1000)
        return web.Response(text="late")

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(int(request.match_info["n"])):
            await response.write(b"data: x\n\n")
            await asyncio.sleep(int(request.match_info["ms"]) / 1000)
        return response

    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    async def status(request: web.Request) -> web.Response:
        return web.Response(status=int(request.match_info["s"]), text="said")

    async def to(request: web.Request) -> web.Response:
        raise web.HTTPFound("/status/200")

    async def chat(request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        if request.headers.get("x-stainless-retry-count") == "0":
            return web.json_response({}, status=500, headers={"retry-after-ms": "1"})
        if not asked.get("stream"):
            message = {"role": "assistant", "content": "hi"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return web.json_response({"id": "1", "object": "chat.completion", "created": 1,
                                      "model": "m", "choices": [choice]})  # fmt: skip
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(3):
            choice = '{"index":0,"delta":{"content":"hi"},"finish_reason":null}'
            await response.write(f'data: {{"id":"1","choices":[{choice}]}}\n\n'.encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    app = web.Application()
    app.router.add_get("/slow/{ms}", slow)
    app.router.add_get("/stream/{n}/{ms}", stream)
    app.router.add_get("/broken", broken)
    app.router.add_route("*", "/status/{s}", status)
    app.router.add_get("/to", to)
    app.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()
