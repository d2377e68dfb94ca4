"""The tools of a suite that the rig itself carries out, by name.

Rules:
1. Loading gathers every problem before it raises.
2. Two tools of one name are a problem, whatever carries them out; so are two servers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from proofrig.errors import Problem, SuiteError, UsageError
from proofrig.gateways.http_tool import HttpTool
from proofrig.gateways.python_tool import PythonTool
from proofrig.gateways.tool import Tool, ToolContext, unknown_tool
from proofrig.gateways.tool_modules import load_module
from proofrig.gateways.tool_settings import (
    PYTHON_SERVER,
    HttpToolSettings,
    McpServerSettings,
    PythonToolSettings,
)
from proofrig.gateways.tool_threads import ToolThreads

Settings = PythonToolSettings | HttpToolSettings | McpServerSettings


class Toolbox:
    """Python functions and HTTP endpoints. `threads` is how many blocking calls may run at once."""

    def __init__(self, tools: Iterable[Tool], threads: ToolThreads) -> None:
        self.tools: dict[str, Tool] = {tool.name: tool for tool in tools}
        self._threads = threads

    @classmethod
    def load(
        cls,
        settings: Sequence[Settings],
        suite: Path,
        client: aiohttp.ClientSession,
        *,
        threads: int = 64,
    ) -> Toolbox:
        """The tools of a suite whose folder is `suite`; MCP servers are left to their gateways.
        Raises SuiteError with everything that is wrong."""
        pool = ToolThreads(threads)
        tools: list[Tool] = []
        problems: list[Problem] = []
        for one in settings:
            try:
                if isinstance(one, PythonToolSettings):
                    for name, function in _functions(one, suite):
                        tools.append(PythonTool(function, name, one, pool))
                elif isinstance(one, HttpToolSettings):
                    tools.append(HttpTool(one, client))
            except UsageError as error:
                problems.append(Problem(str(error)))
        servers = [one.name for one in settings if isinstance(one, McpServerSettings)]
        if tools:
            servers.append(PYTHON_SERVER)
        problems += _twice("tool", [tool.name for tool in tools])
        problems += _twice("MCP server", servers)
        if problems:
            raise SuiteError(problems)
        return cls(tools, pool)

    def find(self, name: str) -> Tool:
        """The tool of this name. Raises ToolFailure that names those there are."""
        tool = self.tools.get(name)
        if tool is None:
            raise unknown_tool(name, self.tools)
        return tool

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> bytes:
        """The result as JSON text. Raises ToolFailure."""
        return await self.find(name).call(arguments, context)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.close()


def _twice(what: str, names: list[str]) -> list[Problem]:
    return [
        Problem(
            f"{what} {name}: expected one of this name, got {count}",
            hint="The rig serves the suite's own tools under this name; choose another."
            if what == "MCP server" and name == PYTHON_SERVER
            else "",
        )
        for name, count in sorted(Counter(names).items())
        if count > 1
    ]


def _functions(settings: PythonToolSettings, suite: Path) -> list[tuple[str, Callable[..., Any]]]:
    """The functions a target names. Raises UsageError."""
    module_name, _, attribute = settings.target.partition(":")
    try:
        module = load_module(suite, module_name)
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"tool target {settings.target!r}: {module_name!r} cannot be imported from {suite}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if attribute:
        names = [attribute]
    elif hasattr(module, "__all__"):
        names = list(module.__all__)
    else:
        raise UsageError(
            f"tool target {settings.target!r}: expected {module_name} to list its tools in "
            f"__all__, got none; add it, or write {module_name}:function"
        )
    found = []
    for name in names:
        function = getattr(module, name, None)
        if not callable(function):
            got = "nothing of that name" if function is None else type(function).__name__
            raise UsageError(
                f"tool target {settings.target!r}: expected a function {name!r} in "
                f"{module_name}, got {got}"
            )
        found.append((settings.name or name, function))
    return found
