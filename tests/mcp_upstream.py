"""A real MCP server on the official SDK, as a program: `mcp_upstream.py stdio | http PORT`."""

from __future__ import annotations

import asyncio
import logging
import sys

from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("upstream")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
async def slow(steps: int, ctx: Context) -> str:
    """Tell its progress."""
    for step in range(steps):
        await ctx.report_progress(step, steps)
        await asyncio.sleep(0.01)
    return "done"


@server.tool()
def fail() -> str:
    """Raise."""
    raise ValueError("no such luck")


if __name__ == "__main__":
    logging.disable()  # the SDK draws every traceback, which takes half a second each
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        import uvicorn

        app = server.streamable_http_app(json_response="json" in sys.argv)
        uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
