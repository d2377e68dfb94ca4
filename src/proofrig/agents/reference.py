"""The reference agent: carries out a case's own solution, through the trial's gateways and world.
Where it does not pass, the case is broken.

Rules:
1. The order is: calls, files, sql, run, answer.
2. Calls go the way an agent's calls go, so that they stand on the history like any other.
3. The first step that fails ends the trial with ending "error" and names the step.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from proofrig.agents.agent import Attempt, Reply, ended_badly
from proofrig.agents.environment import mcp_variable
from proofrig.errors import InfraError, UsageError
from proofrig.sandboxes.process import ProcessSandbox
from proofrig.sandboxes.sandbox import Command

if TYPE_CHECKING:
    import aiohttp
    from mcp import Client


def _inside(path: str) -> str:
    parts = PurePosixPath(path)
    if not parts.parts or parts.is_absolute() or ".." in parts.parts or "\0" in path:
        raise ValueError(f"expected a relative path that stays inside the world, got {path!r}")
    return str(parts)


InWorld = Annotated[str, AfterValidator(_inside)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Call(_Settings):
    """One tool call. With `server` it goes to that MCP server, else to the suite's tools."""

    tool: str
    arguments: dict[str, Any] = {}
    server: str | None = None


class Sql(_Settings):
    """Statements for one SQLite database of the world."""

    database: InWorld
    statements: str


class Reference(_Settings):
    """A solution that is known to be right."""

    calls: tuple[Call, ...] = Field((), description="Tool calls, in order.")
    files: dict[InWorld, str] = Field({}, description="Path in the world -> text to write.")
    sql: tuple[Sql, ...] = Field((), description="Changes to databases of the world.")
    run: tuple[str | tuple[str, ...], ...] = Field(
        (), description="Commands in the world: shell text, or a list of arguments."
    )
    answer: str = ""


class ReferenceAgentSettings(_Settings):
    """`agent: {type: reference}`"""

    type: Literal["reference"] = "reference"


class StepFailed(Exception):
    """A step of the reference did not work; the text says which and why."""


class ReferenceAgent:
    """Needs `Attempt.reference`. What it carries out is the suite's own, on the host."""

    def __init__(self) -> None:
        self._sandbox = ProcessSandbox()
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None: ...

    async def run(self, attempt: Attempt) -> Reply:
        if attempt.reference is None:
            raise UsageError(
                f"{attempt.trial}: the case has no `reference:`; give it one, or leave it out of "
                "what the reference agent runs"
            )
        reference = Reference.model_validate(attempt.reference)
        try:
            async with asyncio.timeout(attempt.timeout_s):
                await self._calls(attempt, reference.calls)
                for path, text in reference.files.items():
                    _write(Path(attempt.workdir) / path, text)
                for change in reference.sql:
                    await asyncio.to_thread(_execute, Path(attempt.workdir), change)
                for command in reference.run:
                    await self._command(attempt, command)
        except TimeoutError:
            return Reply(ending="timeout", error=f"not done within {attempt.timeout_s:g} s")
        except StepFailed as failure:
            return Reply(ending="error", error=f"the reference failed: {failure}")
        return Reply(answer=reference.answer)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
        await self._sandbox.close()

    async def _calls(self, attempt: Attempt, calls: tuple[Call, ...]) -> None:
        failure: Exception | None = None  # raised outside: a client's task group would wrap it
        async with AsyncExitStack() as stack:
            clients: dict[str, Client] = {}
            for call in calls:
                try:
                    if call.server is None:
                        await self._call_tool(attempt, call)
                        continue
                    if call.server not in clients:
                        client = _mcp_client(attempt, call.server)
                        clients[call.server] = await stack.enter_async_context(client)
                    await _call_mcp(clients[call.server], call)
                except (StepFailed, InfraError) as error:
                    failure = error
                    break
                except Exception as error:
                    failure = StepFailed(f"{call.server}: {call.tool}: {_innermost(error)}")
                    break
        if failure is not None:
            raise failure

    async def _call_tool(self, attempt: Attempt, call: Call) -> None:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        url = f"{attempt.env['PROOFRIG_TOOLS_URL']}/{call.tool}"
        try:
            async with self._session.post(
                url, json=call.arguments, headers=attempt.headers
            ) as response:
                status, text = response.status, await response.text()
        except aiohttp.ClientError as error:
            raise InfraError(f"the tool gateway at {url} cannot be reached: {error}") from None
        try:
            failure = json.loads(text).get("error")
        except (ValueError, AttributeError):
            failure = text[:500]
        if status >= 400 or failure is not None:
            raise StepFailed(f"{call.tool}({call.arguments}): HTTP {status}: {failure or text}")

    async def _command(self, attempt: Attempt, command: str | tuple[str, ...]) -> None:
        argv = ["sh", "-c", command] if isinstance(command, str) else list(command)
        exit = await self._sandbox.run(
            Command(
                argv=argv,
                env=attempt.env,
                cwd=attempt.workdir,
                timeout_s=attempt.timeout_s,
                marker=attempt.token,
            )
        )
        bad = ended_badly(exit, attempt.timeout_s)
        if bad is not None:
            raise StepFailed(f"{command!r}: {bad.error}; {bad.detail[-500:]}")


async def _call_mcp(client: Client, call: Call) -> None:
    result = await client.call_tool(call.tool, call.arguments)
    if result.is_error:
        said = "; ".join(getattr(part, "text", "") for part in result.content)
        raise StepFailed(f"{call.server}: {call.tool}({call.arguments}): {said}")


def _innermost(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _mcp_client(attempt: Attempt, server: str) -> Client:
    """A client of the trial's MCP server: by URL, or started as its stdio command."""
    from mcp import Client, StdioServerParameters

    url = attempt.env.get(mcp_variable(server, "URL"))
    if url is not None:
        return Client(url)
    command = attempt.env.get(mcp_variable(server, "COMMAND"))
    if command is None:
        known = sorted(name for name in attempt.env if name.startswith("PROOFRIG_MCP_"))
        raise StepFailed(f"no MCP server {server!r}; the trial has {', '.join(known) or 'none'}")
    program, *arguments = json.loads(command)
    return Client(
        StdioServerParameters(command=program, args=arguments, env=attempt.env, cwd=attempt.workdir)
    )


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StepFailed(f"writing {path.name}: {error}") from None


def _execute(world: Path, change: Sql) -> None:
    file = world / change.database
    if not file.is_file():
        raise StepFailed(f"sql: the world has no database {change.database}")
    try:
        with closing(sqlite3.connect(file)) as database:
            database.executescript(change.statements)
            database.commit()
    except sqlite3.Error as error:
        raise StepFailed(f"sql on {change.database}: {error}") from None
