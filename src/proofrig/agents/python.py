"""An agent that is a Python callable, run by its own interpreter: its settings, and the adapter of
their mode (`isolated.py`, `shared.py`).

Rules:
1. The suite's directory comes first on `sys.path`, then `path`.
2. A virtual environment is named by its directory or its Python program.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from proofrig.agents.agent import Agent
from proofrig.agents.boxes import Boxes
from proofrig.agents.environment import EnvironmentSettings, trial_environment
from proofrig.agents.hosting import HostSettings
from proofrig.agents.isolated import IsolatedPythonAgent
from proofrig.agents.shared import SharedPythonAgent
from proofrig.errors import UsageError


def _no_file(target: str) -> str:
    module, _, attribute = target.partition(":")
    if module.endswith(".py"):
        raise ValueError(f"expected a module, not a file: write {module[:-3]}:{attribute}")
    return target


Target = Annotated[
    str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$"), AfterValidator(_no_file)
]


class PythonAgentSettings(BaseModel):
    """`agent: {type: python, target: "module:attribute"}`

    interpreter: a Python program or a virtual environment; proofrig's own when absent. path: more
    directories for `sys.path`. Relative paths are relative to the suite.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["python"] = "python"
    target: Target
    interpreter: str | None = None
    mode: Literal["isolated", "shared"] = "isolated"
    workers: int = Field(default=1, ge=1, le=64)
    env: dict[str, str] = {}
    path: list[str] = []


def find_interpreter(given: str | None, suite_dir: Path) -> str:
    """The Python program of the settings. Raises UsageError when there is none."""
    if given is None:
        return sys.executable
    path = suite_dir / Path(given).expanduser()
    if path.is_dir():
        path = path / "bin" / "python"
    if path.is_file() and os.access(path, os.X_OK):
        return str(path.absolute())  # not resolved: the link is what makes a virtual environment
    found = shutil.which(given)
    if found is None:
        raise UsageError(
            f"the agent's interpreter {given!r} cannot be used: expected a Python program or a "
            f"virtual environment, at {path} or on PATH; check `agent.interpreter`"
        )
    return found


def make_python_agent(
    settings: PythonAgentSettings,
    suite_dir: Path,
    boxes: Boxes,
    env: Mapping[str, str] | None,
) -> Agent:
    """The adapter of the settings' mode. Raises UsageError when there is no such interpreter."""
    suite_dir = suite_dir.absolute()
    if env is None:
        token = secrets.token_urlsafe(16)
        env = trial_environment(EnvironmentSettings(port=9, token=token, shared=True))
    host = HostSettings(
        interpreter=boxes.interpreter or find_interpreter(settings.interpreter, suite_dir),
        target=settings.target,
        paths=[str(suite_dir), *(str(suite_dir / path) for path in settings.path)],
        env={**env, **settings.env},
        cwd=str(suite_dir),
    )
    if settings.mode == "isolated":
        return IsolatedPythonAgent(host, settings.env, boxes)
    return SharedPythonAgent(host, settings.workers, boxes)
