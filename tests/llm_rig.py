"""A gateway on a loopback port before an upstream that a test writes as one function."""

from __future__ import annotations

import io
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from proofrig.authority.authority import Authority
from proofrig.authority.ledger import Ledger
from proofrig.authority.policy import parse_policy
from proofrig.authority.prices import parse_prices
from proofrig.authority.shadow import Shadow
from proofrig.gateways.asked import AskedCalls
from proofrig.gateways.gateway import Binding, Bindings, Context, RunClock
from proofrig.gateways.llm import LlmGateway, LlmSettings
from proofrig.gateways.upstream import open_client
from proofrig.history.action import Action, Entry
from proofrig.history.history import History
from proofrig.history.journal import Journal
from proofrig.history.payloads import PayloadReader
from proofrig.providers.provider import Ceilings, Endpoint
from proofrig.wire import CODECS
from proofrig.wire.turn import ToolCall, Turn, Usage

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# A dollar per million tokens in, two out: micro-dollars are easy to add up.
PRICES = parse_prices(
    {"prices": {"sim*": {"input": "1", "output": "2", "source": "test", "as_of": "2026-01-01"}}}
)
BINDING = Binding("tok-of-trial-one", "case:1", "acme", "acme/shop/bot/r1", seed=7)


@dataclass
class Rig:
    """What a test sees: where to call, what upstream got, what the history says."""

    url: str
    run_dir: Path
    context: Context
    gateway: LlmGateway
    received: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def trial_url(self, version: str = "/v1") -> str:
        return f"{self.url}/t/{BINDING.token}{version}"

    def entries(self) -> list[Entry]:
        self.context.journal.flush()
        return [e for e in History(self.run_dir).entries() if e.name != "segment"]

    def actions(self) -> list[Action]:
        self.context.journal.flush()
        actions = list(History(self.run_dir).actions())
        return sorted(actions, key=lambda action: int(action.id.rsplit(".", 1)[1]))

    def payload(self, digest: str) -> bytes:
        self.context.journal.flush()
        found = PayloadReader(self.run_dir).get(digest)
        assert found is not None
        return found

    def turn(self, action: Action) -> Turn:
        return msgspec.json.decode(self.payload(action.attr("response")), type=Turn)

    def spent(self, scope: str = "acme") -> dict[str, int]:
        return {u: b.spent for u, b in self.context.authority.balances(scope).items()}

    def reserved(self, scope: str = "acme") -> dict[str, int]:
        return {u: b.reserved for u, b in self.context.authority.balances(scope).items()}


def authority_of(
    clock: Callable[[], int], policy: dict[str, Any] | None = None, *, shadow: bool = False
) -> Authority:
    """An authority in memory, with the policy as written."""
    parsed = None if policy is None else parse_policy(policy)
    if not shadow:
        return Authority(Ledger(), None, clock, parsed)
    return Shadow(Ledger(), None, clock, Authority(Ledger(), None, clock, parsed))


@asynccontextmanager
async def serving(app: web.Application, **options: Any) -> AsyncIterator[str]:
    """An application on a free loopback port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, **options)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def rig(
    run_dir: Path,
    handler: Handler,
    *,
    bindings: Sequence[Binding] = (BINDING,),
    budget: dict[str, int] | None = None,
    key: str = "sk-upstream",
    simulated: bool = False,
    connections: int = 0,
    endpoint_url: str = "",
    ceilings: Ceilings | None = None,
    policy: dict[str, Any] | None = None,
    shadow: bool = False,
    **settings: Any,
) -> AsyncIterator[Rig]:
    """A rig before an upstream whose every request `handler` answers. shadow: what `policy` says is
    noted and not obeyed."""
    received: list[web.Request] = []
    bodies: list[bytes] = []

    async def upstream(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.read())
        received.append(request)
        return await handler(request)

    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{path:.*}", upstream)
    async with serving(app, handler_cancellation=True) as upstream_url:
        clock = RunClock(time.monotonic_ns())
        context = Context(
            journal=Journal(run_dir, "rig", clock),
            authority=authority_of(clock, policy, shadow=shadow),
            bindings=Bindings(),
            asked=AskedCalls(),
            client=open_client(),
            clock=clock,
        )
        context.admission.enforces = not shadow
        for binding in bindings:
            context.bindings.add(binding)
        if budget:
            context.authority.set_budget("acme", budget)
        endpoint = Endpoint(
            endpoint_url or f"{upstream_url}/v1",
            key=key,
            simulated=simulated,
            connections=connections,
            ceilings=ceilings,
        )
        apis = ("chat_completions", "responses", "messages")
        given = {"endpoints": dict.fromkeys(apis, endpoint), "prices": PRICES} | settings
        gateway = LlmGateway(context, LlmSettings(**given))
        front = web.Application(client_max_size=64 << 20)
        front.add_routes(gateway.routes())
        try:
            async with serving(front, handler_cancellation=True) as url:
                yield Rig(url, run_dir, context, gateway, received, bodies)
        finally:
            await gateway.close()
            await context.client.close()
            context.journal.close()


def answer(body: bytes, **headers: str) -> web.Response:
    """A JSON answer."""
    return web.Response(body=body, content_type="application/json", headers=headers)


async def stream(request: web.Request, chunks: Sequence[bytes]) -> web.StreamResponse:
    """An event stream in these chunks, ended properly."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for chunk in chunks:
        await response.write(chunk)
    await response.write_eof()
    return response


async def post(url: str, body: Any, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """POST JSON; the status, headers and body of the answer."""
    data = io.BytesIO(body if isinstance(body, bytes) else msgspec.json.encode(body))
    sent = {
        "content-type": "application/json",
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=data, headers=sent) as response,
    ):
        got = {name.lower(): value for name, value in response.headers.items()}
        return response.status, got, await response.read()


CHAT = {"model": "sim", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10}
USAGE = Usage(input=12, output=5)
CALL = ToolCall("c1", "refund", '{"order":7}')


def turn(api: str = "chat_completions", **changes: object) -> Turn:
    """What the upstream of a test answers."""
    made = Turn(api, "r1", "sim", "hello", finish="stop", usage=USAGE)  # type: ignore[arg-type]
    return msgspec.structs.replace(made, **changes)


async def says_hello(request: web.Request) -> web.StreamResponse:
    """An upstream that always answers well."""
    return answer(CODECS["chat_completions"].encode_response(turn()))


def request_of(api: str) -> bytes:
    """A small request of this API."""
    messages = [{"role": "user", "content": "hi"}]
    if api == "responses":
        return msgspec.json.encode({"model": "sim", "input": messages, "max_output_tokens": 9})
    return msgspec.json.encode({"model": "sim", "messages": messages, "max_tokens": 9})
