"""What a suite may write about its tools."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from proofrig.gateways.tool_settings import HttpToolSettings, McpServerSettings, tool_settings


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"type": "mcp", "name": "x"}, "got neither"),
        ({"type": "mcp", "name": "x", "command": ["a"], "url": "http://h"}, "got both"),
        ({"type": "mcp", "name": "x", "url": "http://h", "env": {"A": "1"}}, "belong to a command"),
        ({"type": "mcp", "name": "x", "command": ["a"], "hedaers": {}}, "Extra inputs"),
        ({"type": "python", "target": "tools", "name": "x"}, "whole module"),
        ({"type": "rpc"}, "expected tags"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        tool_settings.validate_python(settings)


def test_schema_is_the_key_for_an_endpoints_parameters() -> None:
    one = tool_settings.validate_python(
        {"type": "http", "name": "x", "url": "http://h/x", "schema": {"type": "object"}}
    )
    assert isinstance(one, HttpToolSettings) and one.parameters == {"type": "object"}


def test_python_is_the_interpreter_that_proofrig_runs_with() -> None:
    settings = McpServerSettings(type="mcp", name="x", command=["{python}", "s.py"])
    assert settings.resolved(Path("/suite"), "")[0] == [sys.executable, "s.py"]
    assert settings.bare_name == ""


@pytest.mark.parametrize(
    ("program", "bare"), [("node", "node"), ("./server", ""), ("/bin/server", "")]
)
def test_a_bare_name_is_found_on_path(program: str, bare: str) -> None:
    assert McpServerSettings(type="mcp", name="x", command=[program]).bare_name == bare


def test_suite_and_world_are_filled_in_and_nothing_else() -> None:
    settings = McpServerSettings(
        type="mcp", name="x", command=["a", "{suite}/s.py", "{other}"], env={"DB": "{world}/o.db"}
    )
    assert settings.resolved(Path("/suite"), "/w") == (
        ["a", "/suite/s.py", "{other}"],
        {"DB": "/w/o.db"},
        None,
    )
