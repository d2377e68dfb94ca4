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

from proofrig.agents.identity import IDENTITY
from proofrig.errors import Problem, SuiteError, UsageError
from proofrig.gateways.http_tool import HttpTool
from proofrig.gateways.python_tool import PythonTool
from proofrig.gateways.service_action import Asker, ServiceCalls
from proofrig.gateways.service_tool import ServiceClients, service_tools
from proofrig.gateways.tool import Tool, ToolContext, unknown_tool
from proofrig.gateways.tool_modules import load_module
from proofrig.gateways.tool_settings import (
    PYTHON_SERVER,
    HttpToolSettings,
    McpServerSettings,
    OneToolSettings,
    PythonToolSettings,
    ServiceToolSettings,
)
from proofrig.gateways.tool_threads import ToolThreads


class Toolbox:
    """Python functions, HTTP endpoints and operations of `services`. `threads` is how many blocking
    calls may run at once."""

    def __init__(
        self, tools: Iterable[Tool], threads: ToolThreads, services: ServiceCalls | None = None
    ) -> None:
        self.tools: dict[str, Tool] = {tool.name: tool for tool in tools}
        self._threads = threads
        self._services = services

    @classmethod
    def load(
        cls,
        settings: Sequence[OneToolSettings],
        suite: Path,
        client: aiohttp.ClientSession,
        *,
        threads: int = 64,
        services: ServiceCalls | None = None,
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
                elif isinstance(one, ServiceToolSettings):
                    tools += service_tools(one, services)
            except UsageError as error:
                problems.append(Problem(str(error)))
        servers = [one.name for one in settings if isinstance(one, McpServerSettings)]
        if tools:
            servers.append(PYTHON_SERVER)
        problems += _twice("tool", [tool.name for tool in tools])
        problems += _twice("MCP server", servers)
        if problems:
            raise SuiteError(problems)
        return cls(tools, pool, services)

    def find(self, name: str) -> Tool:
        """The tool of this name. Raises ToolFailure that names those there are."""
        tool = self.tools.get(name)
        if tool is None:
            raise unknown_tool(name, self.tools)
        return tool

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> bytes:
        """The result as JSON text. Raises ToolFailure."""
        tool = self.find(name)
        if self._services is not None and context.binding is not None:
            asker = Asker(context.binding, parent=context.action)
            context = context.serving(ServiceClients(self._services, asker))
        if context.binding is not None:
            IDENTITY.set((context.binding.token, context.trial))  # for observers in tools
        return await tool.call(arguments, context)

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
