"""What a user writes under `agent:`, and the adapter it becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from proofrig.agents import AnyAgentSettings, make_agent
from proofrig.agents.boxes import Boxes
from proofrig.sandboxes.process import ProcessSandbox

SETTINGS: TypeAdapter[Any] = TypeAdapter(AnyAgentSettings)


@pytest.mark.parametrize(
    ("written", "adapter"),
    [
        ({"type": "python", "target": "a:b"}, "IsolatedPythonAgent"),
        ({"type": "python", "target": "a:b", "mode": "shared", "workers": 2}, "SharedPythonAgent"),
        ({"type": "command", "argv": ["cat"]}, "CommandAgent"),
        ({"type": "http", "url": "http://x"}, "HttpAgent"),
        ({"type": "null"}, "NullAgent"),
        ({"type": "reference"}, "ReferenceAgent"),
    ],
)
def test_each_type_has_its_adapter(written: dict[str, Any], adapter: str, tmp_path: Path) -> None:
    settings = SETTINGS.validate_python(written)
    made = make_agent(settings, tmp_path, Boxes(ProcessSandbox()), 4)
    assert type(made).__name__ == adapter
    assert SETTINGS.validate_python(settings.model_dump()) == settings


@pytest.mark.parametrize(
    "written",
    [
        {"type": "pyton"},
        {"type": "python"},
        {"type": "command", "argv": []},
        {"type": "null", "extra": 1},
        {"type": "command", "argv": ["x"], "answer": "stderr"},
        {"type": "python", "target": "a:b", "workers": 0},
    ],
)
def test_what_is_refused(written: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SETTINGS.validate_python(written)
