"""Shared services for tests: alone with a clock of their own, or in a rig over real sockets.

lock = make({"type": "lock", "name": "jobs"}, clock)
done(lock, "acquire", key="a")                  what it came to, for the trial case:0
async with service_rig(tmp_path, [settings...]) as rig:
    await rig.post("memory/put", {"key": "a", "value": 1})      (status, answer)
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from pydantic import TypeAdapter

from proofrig.gateways.gateway import Binding, Context
from proofrig.gateways.service_action import Kills, ServiceCalls
from proofrig.gateways.services import ServicesGateway
from proofrig.gateways.tool import ToolContext
from proofrig.gateways.tool_settings import tool_settings
from proofrig.gateways.toolbox import Toolbox
from proofrig.gateways.upstream import open_client
from proofrig.history.action import Action, Entry
from proofrig.history.history import History
from proofrig.history.payloads import PayloadReader
from proofrig.services import AnyServiceSettings, Caller, Done, Service, make_service
from tool_rig import BINDING, make_context, serving

OTHER = Binding("tok-fedcba9876543210", "case:1", "globex", "globex/flow/agent/run", seed=8)
ADAPTER: TypeAdapter[Any] = TypeAdapter(AnyServiceSettings)
ACME, GLOBEX = Caller("case:0", "acme"), Caller("case:1", "globex")


class Clock:
    """Nanoseconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)


def make(settings: dict[str, Any], clock: Clock | None = None, seed: int = 1) -> Service:
    return make_service(ADAPTER.validate_python(settings), clock or Clock(), seed)


def done(service: Service, operation: str, caller: Caller = ACME, **arguments: Any) -> Done:
    made = service.apply(service.ask(caller, operation, arguments))
    assert isinstance(made, Done)
    return made


@dataclass
class ServiceRig:
    context: Context
    calls: ServiceCalls
    toolbox: Toolbox
    run_dir: Path
    port: int

    def url(self, binding: Binding = BINDING) -> str:
        return f"http://127.0.0.1:{self.port}/t/{binding.token}/services"

    async def post(
        self, path: str, body: Any = None, binding: Binding = BINDING
    ) -> tuple[int, Any]:
        url = f"{self.url(binding)}/{path}"
        async with self.context.client.post(url, json={} if body is None else body) as answer:
            return answer.status, await answer.json()

    async def tool(self, name: str, arguments: dict[str, Any], action: str = "rig.tool") -> bytes:
        return await self.toolbox.call(name, arguments, ToolContext.of(BINDING, action))

    def entries(self, kind: str = "", name: str = "") -> list[Entry]:
        self.context.journal.flush()
        return [
            entry
            for entry in History(self.run_dir).entries()
            if (not kind or entry.kind == kind) and (not name or entry.name == name)
        ]

    def actions(self) -> list[Action]:
        self.context.journal.flush()
        actions = list(History(self.run_dir).actions())
        return sorted(actions, key=lambda action: int(action.id.rsplit(".", 1)[1]))

    def payload(self, digest: str) -> bytes | None:
        self.context.journal.flush()
        return PayloadReader(self.run_dir).get(digest)


@contextlib.asynccontextmanager
async def service_rig(
    tmp_path: Path,
    settings: Iterable[dict[str, Any]],
    tools: Iterable[dict[str, Any]] = (),
    kills: Kills | None = None,
    **options: Any,
) -> AsyncIterator[ServiceRig]:
    """A rig with these services, on the run's real clock; the suite's folder is `tmp_path`.
    options: see `make_context`."""
    async with open_client() as client:
        context = make_context(tmp_path / "run", client, **options)
        context.bindings.add(OTHER)
        made = [make_service(ADAPTER.validate_python(one), context.clock, 1) for one in settings]
        calls = ServiceCalls(context, {one.name: one for one in made}, kills)
        parsed = [tool_settings.validate_python(one) for one in tools]
        toolbox = Toolbox.load(parsed, tmp_path, client, services=calls)
        gateway = ServicesGateway(context, calls)
        app = web.Application()
        app.add_routes(gateway.routes())
        async with serving(app) as port:
            yield ServiceRig(context, calls, toolbox, tmp_path / "run", port)
            await gateway.close()
        toolbox.close()
        context.journal.close()


async def post_as(
    client: aiohttp.ClientSession, url: str, headers: dict[str, str]
) -> tuple[int, Any]:
    async with client.post(url, json={}, headers=headers) as answer:
        return answer.status, await answer.json()
