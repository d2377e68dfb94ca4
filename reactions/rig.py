"""The rig of one cell: gateways for models and tools, with one fault in them.

Rules:
1. Faults, injector and gateways are the real ones; only the surroundings know a trial's process by
   its id, because it was forked and carries no marker.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter

from proofrig.authority.authority import Authority
from proofrig.authority.ledger import Ledger
from proofrig.faults import AnyFault, Fault
from proofrig.faults.injector import Injector
from proofrig.gateways.asked import AskedCalls
from proofrig.gateways.gateway import Binding, Bindings, Context, RunClock
from proofrig.gateways.llm import LlmGateway, LlmSettings
from proofrig.gateways.mcp_http import HttpServer, McpHttpGateway
from proofrig.gateways.mcp_serve import McpServe
from proofrig.gateways.tool_action import Calls
from proofrig.gateways.tool_settings import PYTHON_SERVER, PythonToolSettings
from proofrig.gateways.toolbox import Toolbox
from proofrig.gateways.tools import ToolsGateway
from proofrig.gateways.upstream import open_client
from proofrig.history.journal import Journal
from proofrig.providers.provider import Endpoint
from proofrig.rig.faulting import Around, Strikes
from proofrig.rig.protocol import Strike, Struck
from proofrig.wire import CODECS
from proofrig.wire.outbound import Outbound
from reactions.model import serving

SEED = 7
TOOL = PythonToolSettings.model_validate({"type": "python", "target": "refund_tool:refund"})
_fault: TypeAdapter[Fault] = TypeAdapter(AnyFault)


class OneProcess(Strikes):
    """The processes of a trial that has one; none while `pid` is 0."""

    pid = 0

    def __init__(self) -> None:
        super().__init__(self._signal)

    def _signal(self, asked: Strike) -> None:
        sent = 0
        with suppress(ProcessLookupError):
            if self.pid:
                os.kill(self.pid, asked.signal)
                sent = 1
        self.told(Struck(asked.number, sent))


@dataclass(slots=True)
class Rig:
    """What a cell sees of it."""

    run_dir: Path
    context: Context
    process: OneProcess
    port: int


@asynccontextmanager
async def rig(
    written: dict[str, Any], binding: Binding, upstream: str, run_dir: Path
) -> AsyncIterator[Rig]:
    """A rig with the fault that is written so. Raises ValidationError for one that is none."""
    fault = _fault.validate_python(written)
    async with AsyncExitStack() as stack:
        clock = RunClock(time.monotonic_ns())
        journal = Journal(run_dir, "rig", clock)
        stack.callback(journal.close)
        client = await stack.enter_async_context(open_client())
        authority = Authority(Ledger(), None, clock, None)
        context = Context(journal, authority, Bindings(), AskedCalls(), client, clock)
        context.bindings.add(binding)
        app = web.Application(client_max_size=64 << 20)
        llm = _models(context, upstream)
        gateways = [*_tools(context, stack), llm]
        for gateway in gateways:
            stack.push_async_callback(gateway.close)
            app.add_routes(gateway.routes())

        def write(call: Outbound, kind: str, attrs: dict[str, Any]) -> None:
            owner = {"trial": call.trial, "tenant": call.tenant, "scope": call.scope}
            journal.write("fault", kind, **owner, id=call.action, attrs=attrs)

        process = OneProcess()
        around = Around(context, {}, llm.hold, process)
        context.faults = Injector([fault], SEED, clock, write, around)
        stack.callback(context.faults.close)
        stack.callback(context.bindings.end, binding.token)
        port = await stack.enter_async_context(serving(app))
        yield Rig(run_dir, context, process, port)


def _models(context: Context, upstream: str) -> LlmGateway:
    endpoint = Endpoint(upstream, key="sk-nobodys", connections=2)
    return LlmGateway(context, LlmSettings(endpoints=dict.fromkeys(CODECS, endpoint)))


def _tools(context: Context, stack: AsyncExitStack) -> list[ToolsGateway | McpHttpGateway]:
    calls = Calls(context)
    stack.callback(calls.close)
    toolbox = Toolbox.load([TOOL], Path(__file__).parent, context.client)
    serve = McpServe(PYTHON_SERVER, toolbox, context.bindings)
    stack.push_async_callback(serve.close)
    servers = {PYTHON_SERVER: HttpServer(serve.url, own=True)}
    return [ToolsGateway(context, toolbox, calls), McpHttpGateway(context, calls, servers)]
