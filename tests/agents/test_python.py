"""Settings of Python agents, and which adapter they get. (Tests of the modes: their own files.)"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from proofrig.agents.boxes import Boxes
from proofrig.agents.python import PythonAgentSettings, find_interpreter, make_python_agent
from proofrig.errors import UsageError
from proofrig.sandboxes.process import ProcessSandbox


@pytest.mark.parametrize(
    "target", ["agent", "agent.py:run", "a b:run", ":run", "agent:", "a:b:c", "9:a"]
)
def test_targets_are_module_and_attribute(target: str) -> None:
    with pytest.raises(ValueError, match="target"):
        PythonAgentSettings(target=target)


def test_a_file_is_corrected() -> None:
    with pytest.raises(ValueError, match="write agent:run"):
        PythonAgentSettings(target="agent.py:run")


def test_interpreters(tmp_path: Path) -> None:
    (tmp_path / "env" / "bin").mkdir(parents=True)
    link = tmp_path / "env" / "bin" / "python"
    link.symlink_to(sys.executable)
    assert find_interpreter(None, tmp_path) == sys.executable
    assert find_interpreter(sys.executable, tmp_path) == sys.executable
    assert find_interpreter("env", tmp_path) == str(link)
    assert find_interpreter("env/bin/python", tmp_path) == str(link)
    assert Path(find_interpreter("sh", tmp_path)).name == "sh"


def test_no_such_interpreter(tmp_path: Path) -> None:
    settings = PythonAgentSettings(target="a:b", interpreter="no/such")
    with pytest.raises(UsageError, match=r"'no/such' cannot be used.*agent\.interpreter"):
        make_python_agent(settings, tmp_path, Boxes(ProcessSandbox()), None)
