"""A rig with tool gateways for tests: real sockets on the loopback, a real history on disk.

async with tool_rig(tmp_path, [settings...]) as rig:
    async with rig.client.post(f"{rig.base}/tools/echo", json={}) as answer: ...
    rig.entries("commit")     what stands on the history, after a flush

around = disturb(rig.context, [LateResult()])     from now on faults strike
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from fault_rig import Around
from llm_rig import authority_of
from proofrig.faults.fault import Fault
from proofrig.faults.injector import Injector
from proofrig.gateways.asked import AskedCalls
from proofrig.gateways.gateway import Binding, Bindings, Clock, Context, RunClock
from proofrig.gateways.mcp_http import HttpServer, McpHttpGateway
from proofrig.gateways.mcp_serve import McpServe
from proofrig.gateways.mcp_stdio import McpStdioGateway
from proofrig.gateways.tool_action import Calls
from proofrig.gateways.tool_settings import PYTHON_SERVER, tool_settings
from proofrig.gateways.toolbox import Toolbox
from proofrig.gateways.tools import ToolsGateway
from proofrig.gateways.upstream import open_client
from proofrig.history.action import Action, Entry
from proofrig.history.history import History
from proofrig.history.journal import Journal
from proofrig.history.payloads import PayloadReader
from proofrig.wire.outbound import Outbound

TOKEN = "tok-0123456789abcdef"
BINDING = Binding(TOKEN, "case:0", "acme", "acme/flow/agent/run", seed=7)


@dataclass
class ToolRig:
    context: Context
    calls: Calls
    toolbox: Toolbox
    run_dir: Path
    port: int
    serve: McpServe

    @property
    def client(self) -> aiohttp.ClientSession:
        return self.context.client

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def base(self) -> str:
        """The base URL of the trial."""
        return f"http://{self.address}/t/{TOKEN}"

    def entries(self, kind: str = "", name: str = "") -> list[Entry]:
        self.context.journal.flush()
        return [
            entry
            for entry in History(self.run_dir).entries()
            if (not kind or entry.kind == kind) and (not name or entry.name == name)
        ]

    async def until(self, kind: str) -> None:
        """Wait until an entry of this kind is written; at most ten seconds."""
        for _ in range(1000):
            if self.entries(kind):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"no {kind} entry was written")

    async def asking(self) -> str:
        """The id of an action that waits for an approval, once one does; at most ten seconds."""
        for _ in range(1000):
            if waiting := self.context.authority.pending():
                return waiting[0].id
            await asyncio.sleep(0.01)
        raise AssertionError("nothing waits for an approval")

    def actions(self) -> list[Action]:
        self.context.journal.flush()
        actions = list(History(self.run_dir).actions())
        return sorted(actions, key=lambda action: int(action.id.rsplit(".", 1)[1]))

    def payload(self, digest: str) -> bytes | None:
        self.context.journal.flush()
        return PayloadReader(self.run_dir).get(digest)


def make_context(
    run_dir: Path,
    client: aiohttp.ClientSession,
    clock: Clock | None = None,
    *,
    policy: dict[str, Any] | None = None,
    shadow: bool = False,
    binding: Binding = BINDING,
) -> Context:
    clock = clock or RunClock(time.monotonic_ns())
    context = Context(
        journal=Journal(run_dir, "rig", clock),
        authority=authority_of(clock, policy, shadow=shadow),
        bindings=Bindings(),
        asked=AskedCalls(),
        client=client,
        clock=clock,
    )
    context.admission.enforces = not shadow
    context.bindings.add(binding)
    return context


def disturb(
    context: Context,
    faults: Sequence[Fault],
    services: dict[str, Any] | None = None,
    *,
    waits: bool = False,
) -> Around:
    """Let these faults strike the calls of a rig. waits: they wait for as long as they say; else
    they only give way."""
    around = Around(context.bindings, services or {})

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds if waits else 0)

    def write(call: Outbound, kind: str, attrs: dict[str, Any]) -> None:
        owner = {"trial": call.trial, "tenant": call.tenant, "scope": call.scope}
        context.journal.write("fault", kind, **owner, id=call.action, attrs=attrs)

    injector = Injector(faults, 7, context.clock, write, around, sleep=sleep)
    context.faults = injector
    context.bindings.on_end.append(lambda binding: injector.end(binding.trial))
    return around


@contextlib.asynccontextmanager
async def tool_rig(
    tmp_path: Path,
    settings: Iterable[dict[str, Any]] = (),
    suite: Path | None = None,
    **options: Any,
) -> AsyncIterator[ToolRig]:
    """A rig with the tools that `settings` describe; the suite's folder is `tmp_path/suite`.
    options: see `make_context`."""
    suite = suite or tmp_path / "suite"
    suite.mkdir(exist_ok=True)
    parsed = [tool_settings.validate_python(one) for one in settings]
    async with open_client() as client:
        context = make_context(tmp_path / "run", client, **options)
        calls = Calls(context)
        toolbox = Toolbox.load(parsed, suite, client)
        serve = McpServe(PYTHON_SERVER, toolbox, context.bindings)
        servers = {
            one.name: HttpServer.at(one.url, one.headers)
            for one in parsed
            if one.type == "mcp" and one.url
        }
        servers[PYTHON_SERVER] = HttpServer(serve.url, own=True)
        gateways = [
            ToolsGateway(context, toolbox, calls),
            McpHttpGateway(context, calls, servers),
            McpStdioGateway(context, calls),
        ]
        app = web.Application(client_max_size=1 << 30)
        for gateway in gateways:
            app.add_routes(gateway.routes())
        async with serving(app) as port:
            yield ToolRig(context, calls, toolbox, tmp_path / "run", port, serve)
            for gateway in gateways:
                await gateway.close()
        await serve.close()
        calls.close()
        context.journal.close()


@contextlib.asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[int]:
    """Serve `app` on a free loopback port."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
