"""Shared services as tools for models, and inside a suite's Python tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from proofrig.errors import SuiteError, UsageError
from proofrig.gateways.tool import ToolContext, ToolFailure
from service_rig import service_rig
from tool_rig import BINDING

SETTINGS: list[dict[str, Any]] = [
    {"type": "kv", "name": "memory"},
    {"type": "quota", "name": "search", "capacity": 1},
    {"type": "lock", "name": "jobs"},
]
TOOL = {"type": "service", "service": "memory"}
TOOLS = """
from proofrig import ToolContext

__all__ = ["count", "count_plain", "wrong_side", "search"]


async def count(context: ToolContext) -> int:
    memory = context.service("memory")
    return (await memory.incr(key="n"))["value"]


def count_plain(context: ToolContext) -> int:
    return context.service("memory").sync.incr(key="n", value=2)["value"]


async def wrong_side(context: ToolContext) -> int:
    return context.service("memory").sync.get(key="n")


async def search(context: ToolContext) -> str:
    await context.service("search").take()
    return "found"
"""
PYTHON = {"type": "python", "target": "tools"}


async def test_operations_are_tools_with_a_schema(tmp_path: Path) -> None:
    some = TOOL | {"operations": ["get", "put"], "prefix": "note"}
    every = {"type": "service", "service": "jobs"}
    async with service_rig(tmp_path, SETTINGS, [some, every]) as rig:
        tools = rig.toolbox.tools
        assert list(tools) == ["note_get", "note_put", "jobs_acquire", "jobs_renew", "jobs_release"]
        assert tools["note_get"].description.startswith("Read the value of a key")
        assert tools["note_get"].schema == {
            "type": "object",
            "properties": {"key": {"type": "string", "minLength": 1, "maxLength": 512}},
            "required": ["key"],
            "additionalProperties": False,
        }
        assert tools["jobs_acquire"].schema["required"] == ["key"]


async def test_a_call_is_an_action_inside_the_tools(tmp_path: Path) -> None:
    async with service_rig(tmp_path, SETTINGS, [TOOL]) as rig:
        assert await rig.tool("memory_put", {"key": "a", "value": [1]}, "rig.9") == b'{"version":1}'
        assert await rig.tool("memory_get", {"key": "a"}) == b'{"value":[1],"version":1}'
        put, _ = rig.actions()
        assert (put.name, put.trial, put.attr("parent")) == ("kv.put", "case:0", "rig.9")


@pytest.mark.parametrize(
    ("tool", "arguments", "kind", "says"),
    [
        ("memory_put", {"key": "a"}, "bad_arguments", "missing required field `value`"),
        ("memory_cas", {"key": "a", "value": 1, "expected": 4}, "tool_error", "it is 0"),
    ],
)
async def test_a_refusal_can_be_read(
    tmp_path: Path, tool: str, arguments: dict[str, Any], kind: str, says: str
) -> None:
    async with service_rig(tmp_path, SETTINGS, [TOOL]) as rig:
        with pytest.raises(ToolFailure) as raised:
            await rig.tool(tool, arguments)
        assert (raised.value.kind, raised.value.outcome) == (kind, "fail")
        assert says in raised.value.message


async def test_waiting_for_too_long_is_given_up(tmp_path: Path) -> None:
    tool = {"type": "service", "service": "jobs", "timeout_s": 0.05}
    async with service_rig(tmp_path, SETTINGS, [tool]) as rig:
        await rig.tool("jobs_acquire", {"key": "a"})
        with pytest.raises(ToolFailure, match=r"within 0\.05 s"):
            await rig.tool("jobs_acquire", {"key": "a", "wait_s": 60})
        assert [one.outcome for one in rig.actions()] == ["ok", "fail"]


async def test_tools_that_cannot_be_are_said(tmp_path: Path) -> None:
    tools = [TOOL | {"service": "memry"}, TOOL | {"operations": ["get", "gte"]}]
    with pytest.raises(SuiteError) as raised:
        async with service_rig(tmp_path, SETTINGS, tools):
            pass
    said = [problem.message for problem in raised.value.problems]
    assert "did you mean memory?" in said[0]
    assert "did you mean get?" in said[1]


async def test_python_tools_reach_services_from_both_sides(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(TOOLS)
    async with service_rig(tmp_path, SETTINGS, [PYTHON]) as rig:
        assert await rig.tool("count", {}, "rig.5") == b"1"
        assert await rig.tool("count_plain", {}, "rig.6") == b"3"
        with pytest.raises(ToolFailure, match="an async tool would wait for itself"):
            await rig.tool("wrong_side", {})
        assert await rig.tool("search", {}) == b'"found"'
        with pytest.raises(ToolFailure, match="ServiceRefused: search: over its limit"):
            await rig.tool("search", {})
        names = [(one.name, one.attr("parent")) for one in rig.actions()]
        assert names[:2] == [("kv.incr", "rig.5"), ("kv.incr", "rig.6")]


async def test_the_answer_is_handed_on_before_the_last_kill_point(tmp_path: Path) -> None:
    passed: list[str] = []
    settings = {"type": "service", "service": "memory"}
    async with service_rig(
        tmp_path, SETTINGS, [settings], kills=lambda point, binding, action: passed.append(point)
    ) as rig:
        answer = await rig.tool("memory_put", {"key": "a", "value": 1})
        assert (msgspec.json.decode(answer), passed) == (
            {"version": 1},
            ["before_write", "after_write"],
        )
        import asyncio

        await asyncio.sleep(0)
        assert passed[2:] == ["after_ack"]


def test_outside_a_rig_there_are_no_services() -> None:
    with pytest.raises(UsageError, match="service 'memory': expected a suite with `services:`"):
        ToolContext.of(BINDING).service("memory")
