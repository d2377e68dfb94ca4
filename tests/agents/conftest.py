"""A suite directory with small agents, a sandbox, and a server that says what it was asked."""

from __future__ import annotations

import textwrap
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from proofrig.agents.agent import Attempt
from proofrig.agents.environment import (
    EnvironmentSettings,
    identity_headers,
    trial_environment,
)
from proofrig.sandboxes.process import ProcessSandbox

Write = Callable[[str, str], Path]


@pytest.fixture
async def sandbox() -> AsyncIterator[ProcessSandbox]:
    made = ProcessSandbox()
    yield made
    await made.close()


@pytest.fixture
def suite_dir(tmp_path: Path) -> Path:
    (tmp_path / "suite").mkdir()
    return tmp_path / "suite"


@pytest.fixture
def write(suite_dir: Path) -> Write:
    def write_file(name: str, text: str) -> Path:
        (suite_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (suite_dir / name).write_text(textwrap.dedent(text))
        return suite_dir / name

    return write_file


@pytest.fixture
def attempt(tmp_path: Path) -> Callable[..., Attempt]:
    """`attempt("task", n=3, timeout_s=1)`: trial `case:3` with token `token-3...`."""

    def make(
        task: Any = "do it", *, n: int = 0, port: int = 9, shared: bool = False, **changes: Any
    ) -> Attempt:
        token = f"token-{n}-{tmp_path.name}"
        world = tmp_path / f"world-{n}"
        world.mkdir(exist_ok=True)
        settings = EnvironmentSettings(port=port, token=token, seed=n, shared=shared)
        fields: dict[str, Any] = {
            "trial": f"case:{n}",
            "task": task,
            "token": token,
            "env": trial_environment(settings),
            "workdir": str(world),
            "timeout_s": 20.0,
            "seed": n,
            "headers": identity_headers(token, f"case:{n}"),
        }
        return Attempt(**{**fields, **changes})

    return make


@dataclass
class Server:
    """A loopback server; `asked` holds (method, path, headers, body) of every request.

    POST /answer/<status> answers its body with that status; /tools/<name> doubles `n`, or fails
    for the tool `broken`; /to?<url> redirects there.
    """

    port: int = 0
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append((request.method, request.path, headers, body))
        if request.path == "/to":
            raise web.HTTPTemporaryRedirect(request.query_string)
        if request.path.endswith("/tools/double"):
            return web.json_response({"result": (await request.json())["n"] * 2})
        if "/tools/" in request.path:
            error = {"type": "tool_failed", "message": "it broke"}
            return web.json_response({"error": error}, status=502)
        if request.path.startswith("/answer/"):
            return web.Response(status=int(request.path.split("/")[2]), body=body)
        if request.path == "/hang-up":
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"headers": headers})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application(client_max_size=50_000_000)
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "0.0.0.0", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()
