"""An agent that is one HTTP request to the rig: load without a model, sent at the same instant.

Rules:
1. Requests are written down and sockets connected before the release, in as many processes as there
   are cores: 200 of them reach the rig within milliseconds, where SDKs take hundreds.
2. `{task}`, `{tenant}`, `{trial}` and `{seed}` in path, headers and body are filled in.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from proofrig.agents.agent import Agent
from proofrig.agents.boxes import Boxes
from proofrig.agents.hosting import HostSettings
from proofrig.agents.probe_request import SETTINGS
from proofrig.agents.shared import SharedPythonAgent


class ProbeAgentSettings(BaseModel):
    """`agent: {type: probe, path: /services/memory/get, body: {key: plan}}`"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["probe"]
    path: str = Field(
        pattern=r"^/\S*$",
        description="Below the trial's URL: `/tools/...`, `/services/...`, `/v1`.",
    )
    method: Literal["GET", "POST", "PUT", "DELETE"] = "POST"
    body: Any = Field(default=None, description="Sent as JSON.")
    headers: dict[str, str] = {}
    workers: int | None = Field(
        default=None, ge=1, le=64, description="Processes that send; default: one per core."
    )


def make_probe_agent(
    settings: ProbeAgentSettings, boxes: Boxes, env: Mapping[str, str] | None
) -> Agent:
    """Hosts of proofrig's own interpreter that send the requests."""
    told = msgspec.json.encode(settings.model_dump(exclude={"type", "workers"})).decode()
    folder = Path(__file__).parent
    host = HostSettings(
        interpreter=sys.executable,
        target="proofrig.agents.probe_request:probe",
        paths=[str(folder.parents[1])],
        env={**(env or {}), SETTINGS: told},
        cwd=str(folder),
    )
    workers = settings.workers or len(os.sched_getaffinity(0))
    return SharedPythonAgent(host, workers, boxes)
