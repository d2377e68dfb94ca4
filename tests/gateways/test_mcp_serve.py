"""A suite's Python tools through the official MCP client, in both protocol eras."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mcp import Client

from tool_rig import tool_rig

TOOLS = '''
from proofrig.gateways.tool import ToolContext

__all__ = ["add", "whose", "fail"]

def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}

async def whose(context: ToolContext) -> str:
    return context.trial

async def fail() -> None:
    raise ValueError("no such luck")
'''


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_python_tools_are_served_over_mcp(tmp_path: Path, mode: str) -> None:
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "tools.py").write_text(TOOLS)
    async with tool_rig(tmp_path, [{"type": "python", "target": "tools"}]) as rig:
        async with Client(f"{rig.base}/mcp/tools", mode=mode, cache=None) as client:
            listed = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert list(listed) == ["add", "whose", "fail"]
            assert listed["add"].description == "Add two numbers."
            assert listed["add"].input_schema["required"] == ["a", "b"]
            added = await client.call_tool("add", {"a": 1, "b": 2})
            assert added.structured_content == {"sum": 3}
            assert (await client.call_tool("whose", {})).content[0].text == "case:0"
            failed = await client.call_tool("fail", {})
            assert failed.is_error
            assert failed.content[0].text == "tool fail raised ValueError: no such luck"
            wrong = await client.call_tool("add", {"a": 1})
            assert wrong.is_error and "b: Field required" in wrong.content[0].text
        assert [(action.name, action.outcome) for action in rig.actions()] == [
            ("tool.add", "ok"),
            ("tool.whose", "ok"),
            ("tool.fail", "fail"),
            ("tool.add", "fail"),
        ]
        assert {action.attr("server") for action in rig.actions()} == {"tools"}


async def test_reached_past_the_tap_it_gives_nothing_away(tmp_path: Path) -> None:
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "tools.py").write_text(TOOLS)
    async with tool_rig(tmp_path, [{"type": "python", "target": "tools"}]) as rig:
        async with Client(await rig.serve.url(), cache=None) as client:
            refused = await client.call_tool("add", {"a": 1, "b": 2})
        assert refused.is_error and "no running trial" in refused.content[0].text
        assert rig.actions() == []


def test_the_sdk_is_loaded_only_when_it_serves() -> None:
    code = (
        "import sys, proofrig.gateways.mcp_serve, proofrig.gateways.mcp_http, "
        "proofrig.gateways.mcp_stdio; print({'mcp', 'uvicorn', 'starlette'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_settings_load_no_client_and_no_server() -> None:
    code = (
        "import sys, proofrig.gateways.tool_settings; "
        "print({'aiohttp', 'mcp', 'uvicorn', 'jsonschema'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


async def test_a_tool_that_was_given_up_has_an_unknown_outcome_over_mcp_too(tmp_path: Path) -> None:
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "stuck.py").write_text(
        "import asyncio\nasync def hang() -> None:\n    await asyncio.sleep(60)\n"
    )
    settings = {"type": "python", "target": "stuck:hang", "timeout_s": 0.05}
    async with tool_rig(tmp_path, [settings]) as rig:
        async with Client(f"{rig.base}/mcp/tools", cache=None) as client:
            assert (await client.call_tool("hang", {})).is_error
        (action,) = rig.actions()
    assert (action.outcome, action.attr("is_error")) == ("unknown", True)
