"""What a suite says of the boxes its trials run in: `sandbox:`.

Rules:
1. A level that is asked for is given, or the run does not start. Where none is asked for, an agent
   that has a process for each trial gets `namespace` where the machine can give it, else `process`;
   one that runs many trials in a process of its own stays in `process`.
2. Above `process` each trial has a box of its own, whatever the agent's `mode` says.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from proofrig.images.recipe import Recipe
from proofrig.sandboxes.sandbox import Level
from proofrig.suites.case import Settings

VARIABLE = "PROOFRIG_ISOLATION"  # the level of suites that ask for none


class SandboxSettings(Settings):
    """`sandbox:` of a suite."""

    isolation: Level | None = Field(
        default=None,
        description="How trials are kept apart; none: `namespace` for agents with a process per "
        "trial where it works, else `process`.",
    )
    root: Literal["host", "image"] = Field(
        default="host",
        description="What a `namespace` box is filled with: the programs of this machine, "
        "read-only, or the image. Stronger levels always take the image.",
    )
    image: Recipe = Field(
        default=Recipe(), description="What lies around the agent where it is not the host."
    )
    files: tuple[str, ...] = Field(
        default=(),
        description="What the agent may read besides its own modules: globs below the suite's "
        "folder, or absolute paths.",
    )
    keep_changes: bool = Field(
        default=False, description="Keep copies of the files that a trial changed, up to 16 MiB."
    )
