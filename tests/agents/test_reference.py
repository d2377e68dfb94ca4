"""The reference agent in a real world, against real tools."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from proofrig.agents.agent import Attempt, Reply
from proofrig.agents.environment import EnvironmentSettings, trial_environment
from proofrig.agents.reference import Reference, ReferenceAgent
from proofrig.errors import InfraError, UsageError
from proofrig.sandboxes.process import ProcessSandbox

from .conftest import Server, Write

Run = Callable[..., Any]

MCP_SERVER = """
    import os
    from mcp.server import MCPServer
    server = MCPServer("orders")

    @server.tool()
    def note(text: str) -> str:
        if text == "bad": raise ValueError("refused")
        with open("noted.txt", "a") as file: file.write(text + os.environ["PROOFRIG_TOKEN"][:6])
        return "ok"

    server.run()
"""


@pytest.fixture
def run(
    server: Server, sandbox: ProcessSandbox, write: Write, attempt: Callable[..., Attempt]
) -> Run:
    async def run(reference: Any, port: int = 0, **changes: Any) -> Reply:
        agent = ReferenceAgent()
        program = write("orders.py", MCP_SERVER)
        made = attempt()
        settings = EnvironmentSettings(
            port=port or server.port,
            token=made.token,
            mcp={"orders": [sys.executable, str(program)], "absent": ["/no/such/server"]},
        )
        await agent.start()
        try:
            return await agent.run(
                attempt(env=trial_environment(settings), reference=reference, **changes)
            )
        finally:
            await agent.close()

    return run


async def test_everything_in_order(run: Run, server: Server, tmp_path: Path) -> None:
    world = tmp_path / "world-0"
    world.mkdir()
    with closing(sqlite3.connect(world / "o.db")) as database:
        database.execute("create table o(id, state)")
        database.execute("insert into o values (1, 'open')")
        database.commit()
    reference = Reference.model_validate(
        {
            "calls": [{"tool": "double", "arguments": {"n": 4}}],
            "files": {"notes/a.txt": "caf\u00e9"},
            "sql": [{"database": "o.db", "statements": "update o set state = 'done'; select 1;"}],
            "run": ["cat notes/a.txt > b.txt", ["cp", "b.txt", "c.txt"]],
            "answer": "done",
        }
    )
    assert await run(reference) == Reply(answer="done")
    ((_, path, headers, body),) = server.asked
    assert path == f"/t/token-0-{tmp_path.name}/tools/double"
    assert headers["baggage"] == f"proofrig.trial=token-0-{tmp_path.name}"
    assert json.loads(body) == {"n": 4}
    assert (world / "c.txt").read_text() == "café"
    with closing(sqlite3.connect(world / "o.db")) as database:
        assert database.execute("select * from o").fetchall() == [(1, "done")]


async def test_calls_of_an_mcp_server(run: Run, tmp_path: Path) -> None:
    call = {"server": "orders", "tool": "note", "arguments": {"text": "hello "}}
    assert await run({"calls": [call, call], "answer": "a"}) == Reply(answer="a")
    assert (tmp_path / "world-0" / "noted.txt").read_text() == "hello token-hello token-"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ({"calls": [{"tool": "broken"}]}, "broken({}): HTTP 502"),
        ({"calls": [{"tool": "note", "server": "none"}]}, "no MCP server 'none'"),
        (
            {"calls": [{"tool": "note", "server": "orders", "arguments": {"text": "bad"}}]},
            "orders: note",
        ),
        ({"calls": [{"tool": "x", "server": "absent"}]}, "absent: x: "),
        ({"sql": [{"database": "none.db", "statements": "select 1"}]}, "no database none.db"),
        ({"files": {"x.db": ""}, "sql": [{"database": "x.db", "statements": "slect"}]}, "slect"),
        ({"run": ["echo why >&2; exit 4"]}, "exit code 4; why"),
        ({"files": {"a": "", "a/b": ""}}, "writing b"),
    ],
)
async def test_the_step_that_fails_is_named(run: Run, reference: Any, said: str) -> None:
    reply = await run(reference)
    assert reply.ending == "error"
    assert said in reply.error


async def test_out_of_time(run: Run) -> None:
    reply = await run({"run": ["sleep 300"]}, timeout_s=0.3)
    assert reply.ending in ("timeout", "error") and "0.3 s" in reply.error


async def test_no_gateway_is_infra_and_no_reference_is_usage(run: Run) -> None:
    with pytest.raises(InfraError, match="cannot be reached"):
        await run({"calls": [{"tool": "double"}]}, port=9)
    with pytest.raises(UsageError, match="case:0: the case has no `reference:`"):
        await run(None)


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", "", "a\0b"])
def test_paths_stay_in_the_world(path: str) -> None:
    with pytest.raises(ValidationError, match="stays inside the world"):
        Reference(files={path: "x"})
