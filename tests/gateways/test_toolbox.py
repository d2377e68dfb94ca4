"""Loading the tools of a suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofrig.errors import SuiteError
from proofrig.gateways.tool import ToolFailure
from tool_rig import tool_rig


async def test_all_problems_are_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "tools.py").write_text("def f() -> int:\n    return 1\n")
    settings = [
        {"type": "python", "target": "tools:f"},
        {"type": "python", "target": "tools:g"},
        {"type": "http", "name": "f", "url": "http://h/"},
        {"type": "python", "target": "nowhere:f"},
        {"type": "mcp", "name": "tools", "url": "http://h/"},
    ]
    with pytest.raises(SuiteError) as raised:
        async with tool_rig(tmp_path, settings):
            pass
    said = [problem.message for problem in raised.value.problems]
    assert len(said) == 4
    assert "expected a function 'g'" in said[0]
    assert "'nowhere' cannot be imported" in said[1]
    assert said[2] == "tool f: expected one of this name, got 2"
    assert said[3] == "MCP server tools: expected one of this name, got 2"


async def test_a_tool_that_does_not_exist_is_said_with_those_that_do(tmp_path: Path) -> None:
    settings = [{"type": "http", "name": "refund", "url": "http://h/"}]
    async with tool_rig(tmp_path, settings) as rig:
        assert rig.toolbox.find("refund").name == "refund"
        with pytest.raises(ToolFailure, match="did you mean refund"):
            rig.toolbox.find("refnd")
