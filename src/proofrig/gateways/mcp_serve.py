"""A suite's own tools as an MCP server, for agents that speak MCP.

Rules:
1. The official SDK serves both protocol eras; it is imported and started with the first request,
   because it costs half a second that most runs do not need.
2. It listens on a loopback port of its own; agents reach it through the tap only, which records
   the calls and tells it whose they are. A request that names no running trial gets no tool.
3. A tool's JSON object is also its structured content; a failure is a result with `isError`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from proofrig.errors import HarnessError
from proofrig.gateways.gateway import Bindings
from proofrig.gateways.mcp_messages import OUTCOME_META
from proofrig.gateways.tool import ToolContext, ToolFailure
from proofrig.gateways.toolbox import Toolbox

if TYPE_CHECKING:
    import mcp_types
    import uvicorn
    from mcp.server import Server, ServerRequestContext

TOKEN = "x-proofrig-token"


class McpServe:
    """Serves a toolbox under `name`. `url` starts it when it does not run."""

    def __init__(self, name: str, toolbox: Toolbox, bindings: Bindings) -> None:
        self.name = name
        self._toolbox = toolbox
        self._bindings = bindings
        self._starting: asyncio.Task[str] | None = None
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def url(self) -> str:
        """Where it listens. Raises HarnessError when it does not come up."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        # Shielded: the first request may be given up, and others wait for the same start.
        return await asyncio.shield(self._starting)

    async def close(self) -> None:
        """End it; streams still open after a second are cut."""
        if self._starting is not None:
            await asyncio.wait({self._starting})
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task
        self._server = self._task = self._starting = None

    async def _start(self) -> str:
        uvicorn = await asyncio.to_thread(_import_uvicorn)
        app = _server(self.name, self._toolbox, self._bindings).streamable_http_app()
        listening = socket.create_server(("127.0.0.1", 0))

        class Embedded(uvicorn.Server):  # type: ignore[name-defined,misc]
            @contextlib.contextmanager
            def capture_signals(self) -> Iterator[None]:
                yield  # signals belong to the rig

        config = uvicorn.Config(
            app,
            log_level="critical",
            access_log=False,
            lifespan="on",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        self._server = server = Embedded(config)
        self._task = task = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:
            if task.done():
                raise HarnessError(f"the MCP server for {self.name} did not start") from (
                    task.exception()
                )
            await asyncio.sleep(0.002)
        return f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"


def _import_uvicorn() -> Any:
    """Import all it takes, off the loop."""
    import mcp.server
    import uvicorn

    # The SDK logs each failed request with its traceback; the history has them already.
    logging.getLogger(mcp.__name__).setLevel(logging.CRITICAL)
    return uvicorn


def _server(name: str, toolbox: Toolbox, bindings: Bindings) -> Server[Any]:
    import mcp_types as types
    from mcp.server import Server

    tools = [
        types.Tool(name=tool.name, description=tool.description, input_schema=tool.schema)
        for tool in toolbox.tools.values()
    ]

    async def list_tools(
        context: ServerRequestContext[Any, Any], params: mcp_types.PaginatedRequestParams | None
    ) -> mcp_types.ListToolsResult:
        return types.ListToolsResult(tools=tools)

    async def call_tool(
        context: ServerRequestContext[Any, Any], params: mcp_types.CallToolRequestParams
    ) -> mcp_types.CallToolResult:
        try:
            headers = context.request.headers if context.request is not None else {}
            binding = bindings.live(headers.get(TOKEN, ""))
            if binding is None:
                raise ToolFailure("tool_error", "proofrig: this call belongs to no running trial")
            result = await toolbox.call(
                params.name, params.arguments or {}, ToolContext.of(binding)
            )
        except ToolFailure as failure:
            text = types.TextContent(type="text", text=failure.message)
            meta = {OUTCOME_META: failure.outcome} if failure.outcome != "fail" else None
            return types.CallToolResult(content=[text], is_error=True, _meta=meta)
        value = msgspec.json.decode(result)
        shown = value if isinstance(value, str) else result.decode()
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=shown)],
            structured_content=value if isinstance(value, dict) else None,
        )

    return Server(name, on_list_tools=list_tools, on_call_tool=call_tool)
