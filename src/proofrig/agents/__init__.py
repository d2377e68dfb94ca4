"""How the user's agent is started, fed and read.

`AnyAgentSettings` is what a user writes under `agent:`; `make_agent` makes the adapter for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from proofrig.agents.agent import Agent
from proofrig.agents.boxes import Boxes
from proofrig.agents.command import CommandAgent, CommandAgentSettings
from proofrig.agents.http import HttpAgent, HttpAgentSettings
from proofrig.agents.null import NullAgent, NullAgentSettings
from proofrig.agents.probe import ProbeAgentSettings, make_probe_agent
from proofrig.agents.python import PythonAgentSettings, make_python_agent
from proofrig.agents.reference import ReferenceAgent, ReferenceAgentSettings

AnyAgentSettings = Annotated[
    PythonAgentSettings
    | CommandAgentSettings
    | HttpAgentSettings
    | ProbeAgentSettings
    | NullAgentSettings
    | ReferenceAgentSettings,
    Field(discriminator="type"),
]

__all__ = ["AnyAgentSettings", "make_agent"]


def make_agent(
    settings: AnyAgentSettings,
    suite_dir: Path,
    boxes: Boxes,
    concurrency: int,
    env: Mapping[str, str] | None = None,
) -> Agent:
    """The adapter for `settings`; nothing is started yet.

    suite_dir: what relative paths are relative to. concurrency: trials at the same time. env: what
    shared hosts are started with (`trial_environment` in its shared form); isolated Python agents
    are looked for with it once, before the first trial.
    """
    match settings:
        case PythonAgentSettings():
            return make_python_agent(settings, suite_dir, boxes, env)
        case CommandAgentSettings():
            return CommandAgent(settings, suite_dir, boxes)
        case HttpAgentSettings():
            return HttpAgent(settings, concurrency)
        case ProbeAgentSettings():
            return make_probe_agent(settings, boxes, env)
        case NullAgentSettings():
            return NullAgent()
        case ReferenceAgentSettings():
            return ReferenceAgent()
