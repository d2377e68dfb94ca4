"""The rig's process: reads its plan, serves the gateways, obeys the runner, and ends with it.

Rules:
1. Entries reach the operating system at the latest `FLUSH_S` after they were written, and all
   entries of a trial before its `Ended` is sent.
2. What is wrong with the plan is said to the runner as one message, not as a traceback.
3. A history or a ledger that cannot be written ends the rig, before any trial that it touched is
   judged: going on would let actions happen unseen, or blame agents for a full disk.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import uvloop
from aiohttp import web

from proofrig.authority.authority import Authority, recover
from proofrig.authority.policy import parse_policy
from proofrig.authority.prices import PriceTable
from proofrig.authority.shadow import recover_shadow
from proofrig.errors import InfraError, ProofrigError, UsageError
from proofrig.gateways.arrival import Arrivals, stamped
from proofrig.gateways.asked import AskedCalls
from proofrig.gateways.auth import AuthGateway
from proofrig.gateways.gateway import Binding, Bindings, Context, Gateway, RunClock
from proofrig.gateways.limits import Limiter
from proofrig.gateways.llm import LlmGateway, LlmSettings
from proofrig.gateways.mcp_http import HttpServer, McpHttpGateway
from proofrig.gateways.mcp_serve import McpServe
from proofrig.gateways.mcp_stdio import McpStdioGateway
from proofrig.gateways.services import ServicesGateway
from proofrig.gateways.tool import state_json
from proofrig.gateways.tool_action import Calls
from proofrig.gateways.tool_settings import PYTHON_SERVER, McpServerSettings, tool_settings
from proofrig.gateways.toolbox import Toolbox
from proofrig.gateways.tools import ToolsGateway
from proofrig.gateways.upstream import open_client
from proofrig.history.journal import Journal
from proofrig.rig.faulting import Around, Strikes, injector
from proofrig.rig.lag import watch_lag
from proofrig.rig.protocol import (
    Begin,
    Begun,
    End,
    Ended,
    Failed,
    Kind,
    Plan,
    Ready,
    Strike,
    line,
    order_decoder,
    plan_decoder,
)
from proofrig.rig.recovery import settle_open
from proofrig.rig.shared import observe, open_egress, open_proxies, service_calls
from proofrig.rig.taping import open_tape

FLUSH_S = 0.05
SWEEP_S = 1.0
MAX_LINE = 64 << 20
PAYLOAD_CAP = 8 << 20  # a request that is cut cannot be read into a trajectory


class Desk:
    """Carries out the runner's orders."""

    def __init__(
        self, context: Context, plan: Plan, llm: LlmGateway, arrivals: Arrivals, ready: Ready
    ) -> None:
        self.ready = ready
        self._context = context
        self._plan = plan
        self._llm = llm
        self._arrivals = arrivals

    def begin(self, binding: Binding) -> Begun:
        """Make a trial known."""
        self._context.bindings.add(binding)
        self._arrivals.expect(binding)
        return Begun(binding.token)

    def end(self, token: str) -> Ended:
        """Settle a trial: what is still open is given up as unknown, and everything is flushed."""
        binding = self._context.bindings.live(token)
        given_up = self._llm.open_calls(binding.trial) if binding else 0
        ended = self._context.bindings.end(token)
        if ended is not None:
            self._context.asked.end(ended.trial)
            if ended.keep_state:
                self._write_state(ended)
        self._context.authority.check()
        self._context.journal.flush()
        return Ended(token, given_up)

    def _write_state(self, binding: Binding) -> None:
        """Write down what the trial's tools left. What is no JSON is said, and ends nothing."""
        journal = self._context.journal
        try:
            attrs = {"state": journal.payload(state_json(binding.state, PAYLOAD_CAP))}
        except ValueError as error:
            attrs = {"error": str(error)}
        owner = {"trial": binding.trial, "tenant": binding.tenant, "scope": binding.scope}
        journal.write("note", "tool_state", **owner, attrs=attrs)


@asynccontextmanager
async def opened(plan: Plan, strikes: Strikes) -> AsyncIterator[tuple[Desk, Context]]:
    """Everything a rig holds: journal, authority, gateways, the listening port."""
    async with AsyncExitStack() as closing:
        clock = RunClock(plan.origin_ns)
        run_dir = Path(plan.run_dir)
        journal = Journal(run_dir, "rig", clock, payload_cap=PAYLOAD_CAP)
        closing.callback(journal.close)
        authority = _authority(plan, run_dir, clock)
        closing.callback(authority.close)
        settle_open(run_dir, journal, authority)  # an earlier rig's: its callers are dead
        client = open_client()
        closing.push_async_callback(client.close)
        context = Context(journal, authority, Bindings(), AskedCalls(), client, clock)
        context.admission.approvals = plan.approvals
        context.admission.watch = plan.watch
        context.admission.limiter = Limiter(plan.limits)
        context.admission.enforces = not plan.shadow
        llm = LlmGateway(
            context,
            LlmSettings(
                endpoints=plan.endpoints,
                prices=PriceTable(plan.prices, plan.fallback_price),
                unattributed=plan.unattributed,
            ),
        )
        gateways: list[Gateway] = [*_tool_gateways(context, plan, closing, llm, strikes), llm]
        arrivals = Arrivals(context)
        seen = [arrivals.middleware()] if plan.lab else []
        app = web.Application(client_max_size=MAX_LINE, middlewares=seen)
        for gateway in gateways:
            app.add_routes(gateway.routes())
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0
        )
        await runner.setup()
        stamped(runner)
        closing.push_async_callback(runner.cleanup)
        for gateway in gateways:  # before the cleanup, so that open calls are given up at once
            closing.push_async_callback(gateway.close)
        await _listen(runner, plan)
        port: int = runner.addresses[0][1]
        proxies = await open_proxies(context, plan.services, closing)
        egress, bundle = await open_egress(context, plan, port, closing)
        ready = Ready(port, journal.segment, proxies, egress, bundle)
        yield Desk(context, plan, llm, arrivals, ready), context


def _authority(plan: Plan, run_dir: Path, clock: RunClock) -> Authority:
    """The authority as its journal left it. In shadow mode the ledger that decides has a journal of
    its own."""
    policy = None if plan.policy is None else parse_policy(plan.policy)
    if not plan.shadow:
        return recover(run_dir / "authority.db", clock, policy)
    judge = recover(run_dir / "authority.shadow.db", clock, policy)
    return recover_shadow(run_dir / "authority.db", clock, judge)


async def _listen(runner: web.AppRunner, plan: Plan) -> None:
    try:
        await web.TCPSite(runner, plan.host, plan.port, backlog=4096).start()
    except OSError as error:
        if not plan.port:
            raise InfraError(f"no port of {plan.host} is free: {error.strerror}") from error
        raise UsageError(
            f"gateway_port: {plan.host}:{plan.port} cannot be used: {error.strerror or error}. End "
            "what listens there (another run?), name another port, or leave the key out for a free "
            "one."
        ) from error


def _tool_gateways(
    context: Context, plan: Plan, closing: AsyncExitStack, llm: LlmGateway, strikes: Strikes
) -> list[Gateway]:
    suite = Path(plan.suite_dir)
    settings = [tool_settings.validate_python(tool) for tool in plan.tools]
    calls = Calls(context)
    closing.callback(calls.close)
    services = service_calls(context, plan.services, plan.seed)
    context.tape = open_tape(context, plan, settings)
    if context.tape is not None:
        closing.callback(context.tape.close)
    around = Around(context, services.services, llm.hold, strikes)
    context.faults = injector(context, plan.faults, plan.seed, around)
    if context.faults is not None:
        closing.callback(context.faults.close)
    observe(plan)
    toolbox = Toolbox.load(settings, suite, context.client, services=services)
    servers = {
        tool.name: HttpServer.at(tool.url, tool.headers)
        for tool in settings
        if isinstance(tool, McpServerSettings) and tool.url
    }
    if toolbox.tools:
        own = McpServe(PYTHON_SERVER, toolbox, context.bindings)
        closing.push_async_callback(own.close)
        servers[PYTHON_SERVER] = HttpServer(own.url, own=True)
    return [
        AuthGateway(context),
        ToolsGateway(context, toolbox, calls),
        ServicesGateway(context, services),
        McpHttpGateway(context, calls, servers),
        McpStdioGateway(context, calls),
    ]


async def serve(plan: Plan, orders: asyncio.StreamReader) -> None:
    """Serve until the runner's end of the line closes."""
    strikes = Strikes(_say)
    async with opened(plan, strikes) as (desk, context):
        _say(desk.ready)
        ticking = asyncio.create_task(_tick(context))
        reading = asyncio.create_task(_obey(desk, strikes, orders))
        tasks = {ticking, reading}
        if plan.lab:
            tasks.add(asyncio.create_task(watch_lag(context.journal)))
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for task in done:
            task.result()


async def _obey(desk: Desk, strikes: Strikes, orders: asyncio.StreamReader) -> None:
    while raw := await orders.readline():
        order = order_decoder.decode(raw)
        if isinstance(order, Begin):
            _say(desk.begin(order.binding))
        elif isinstance(order, End):
            _say(desk.end(order.token))
        else:
            strikes.told(order)


async def _tick(context: Context) -> None:
    """Flush and sweep now and then."""
    beats = 0
    while True:
        await asyncio.sleep(FLUSH_S)
        context.authority.check()
        context.journal.flush()
        beats += 1
        if beats * FLUSH_S >= SWEEP_S:
            beats = 0
            context.authority.sweep()


def kind_of(error: ProofrigError) -> Kind:
    """Whose fault it is, for the runner."""
    if isinstance(error, UsageError):
        return "usage"
    return "infra" if isinstance(error, InfraError) else "harness"


def _say(message: Ready | Begun | Ended | Strike | Failed) -> None:
    data = line(message)
    while data:
        data = data[os.write(_ANSWERS, data) :]


async def _main() -> int:
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader(limit=MAX_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    raw = await orders.readline()
    if not raw:
        return 0
    try:
        await serve(plan_decoder.decode(raw), orders)
    except ProofrigError as error:
        _say(Failed(str(error), kind_of(error)))
        return 1
    except BrokenPipeError:
        pass  # the runner is gone; everything is settled and flushed
    return 0


if __name__ == "__main__":
    # What tools print must not get between the answers.
    _ANSWERS = os.dup(1)
    os.dup2(2, 1)
    sys.exit(uvloop.run(_main()))
