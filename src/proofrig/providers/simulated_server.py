"""The process of a simulated provider: `python -m proofrig.providers.simulated_server`.

Rules:
1. The first line of stdin says what to be: `{"settings": ..., "suite_dir": ..., "seed": ...}`.
2. The first line of stdout is `{"port": N}` when it listens, or `{"error": "..."}`. After that
   stdout is stderr: what a model prints must not fill a pipe that nobody reads.
3. When stdin ends, or the parent does, so does the process, also while a model hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from aiohttp import web

from proofrig.errors import ProofrigError
from proofrig.providers.answers import Failure, model_entry, model_list
from proofrig.providers.door import Door
from proofrig.providers.models import load_model
from proofrig.providers.simulated import SimulatedSettings
from proofrig.providers.simulated_api import SimulatedApi, failure_response
from proofrig.wire import CODECS
from proofrig.wire.codec import Codec

_PR_SET_PDEATHSIG = 1
_CODEC_AT = {path.removeprefix("/v1"): codec for codec in CODECS.values() for path in codec.paths}
_COUNT_AT = {
    "/messages/count_tokens": CODECS["messages"],
    "/responses/input_tokens": CODECS["responses"],
}


class Site:
    """Which path is served by what."""

    def __init__(self, settings: SimulatedSettings, api: SimulatedApi) -> None:
        self._api = api
        named = [name for name in settings.models if not set(name) & set("*?[")]
        self._models = named or ["simulated"]
        self.door = Door(self.handle, settings.connections)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request, whatever it is for."""
        path = request.path.removeprefix("/v1")
        codec = _CODEC_AT.get(path)
        if codec is not None and request.method == "POST":
            return await self._api.answer(request, codec)
        if request.method == "POST" and path in _COUNT_AT:
            return await self._api.count(request, _COUNT_AT[path])
        if request.method == "GET" and path == "/_proofrig/stats":
            return web.json_response(self._stats())
        anthropic = "anthropic-version" in request.headers
        if request.method == "GET" and path.startswith("/models"):
            name = path.removeprefix("/models").strip("/")
            body = model_entry(name, anthropic) if name else model_list(self._models, anthropic)
            return web.json_response(body)
        return _not_found(request, codec or CODECS["messages" if anthropic else "responses"])

    def _stats(self) -> dict[str, Any]:
        door = self.door
        connections = {"open": door.open, "peak": door.peak, "refused": door.refused}
        counted = self._api.counters.as_dict()
        return counted | {"connections": connections, "tenants": self._api.tenants()}


def _not_found(request: web.BaseRequest, codec: Codec) -> web.Response:
    message = f"expected a model API, got {request.method} {request.path}"
    return failure_response(codec, Failure(404, "not_found", message), 0)


async def serve(told: dict[str, Any], answer: int) -> None:
    """Load the model, listen, say so on `answer`, and go on until stdin ends."""
    settings = SimulatedSettings.model_validate(told["settings"])
    suite_dir = Path(told["suite_dir"])
    model = load_model(settings.script, settings.function, suite_dir)
    site = Site(settings, SimulatedApi(settings, model, told["seed"]))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(site.door, "127.0.0.1", 0, backlog=4096)
    ended = asyncio.Event()
    watch = threading.Thread(target=_watch_stdin, args=(loop, ended), daemon=True)
    watch.start()
    _say(answer, {"port": server.sockets[0].getsockname()[1]})
    await ended.wait()
    server.close()
    await site.door.shutdown(0.1)


def _watch_stdin(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    """When stdin ends: ask the loop to stop, and stop without it when it does not."""
    while os.read(0, 4096):
        pass
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(ended.set)
    threading.Event().wait(2.0)
    os._exit(0)


def _say(answer: int, value: dict[str, Any]) -> None:
    os.write(answer, msgspec.json.encode(value) + b"\n")
    os.close(answer)


def _first_line() -> bytes:
    """The first line of stdin, unbuffered, so that its end can be watched afterwards."""
    line = bytearray()
    while not line.endswith(b"\n"):
        more = os.read(0, 65536)
        if not more:
            sys.exit(0)
        line += more
    return bytes(line)


def main() -> None:
    """Be a simulated provider until stdin ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    told = msgspec.json.decode(_first_line())
    answer = os.dup(1)
    os.dup2(2, 1)
    try:
        uvloop.run(serve(told, answer))
    except ProofrigError as error:
        _say(answer, {"error": str(error)})
        sys.exit(2)


if __name__ == "__main__":
    main()
