"""What one trial may use, as people write it: the key `limits` of a suite.

Rules:
1. What is not written is not limited. Of several lists of limits each one holds: the lower number
   counts, and a tool must be allowed by every one of them.
2. The sandbox holds what a machine can hold (`box_of`), the gateways what only they can see
   (`calls_of`). Bytes sent are counted by both.
3. MB is 1,000,000 bytes, as in gates and reports.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from proofrig.agents.agent import ANSWER_CAP
from proofrig.authority.globs import glob_problem
from proofrig.gateways.limits import CallLimits
from proofrig.sandboxes.sandbox import Limits
from proofrig.suites.case import Count, Seconds, Settings

MB = 1_000_000
_OWN = ("timeout_s", "answer_bytes")  # no constraint file says them


def _glob(written: str) -> str:
    if said := glob_problem(written):
        raise ValueError(said)
    return written


Megabytes = Annotated[float, Field(strict=True, gt=0, le=1 << 30)]
AnyMegabytes = Annotated[float, Field(strict=True, ge=0, le=1 << 30)]
Whole = Annotated[int, Field(strict=True, ge=0, le=10**9)]
ToolGlob = Annotated[str, AfterValidator(_glob)]


class TrialLimits(Settings):
    """What holds for every trial."""

    timeout_s: Seconds = Field(default=60.0, description="Seconds until the agent is stopped.")
    answer_bytes: Count = Field(
        default=ANSWER_CAP, le=ANSWER_CAP, description="A longer answer is cut, and said so."
    )
    memory_mb: Megabytes | None = Field(
        default=None, description="Memory of all its processes together; files in memory count."
    )
    cpu_s: Seconds | None = Field(
        default=None, description="Seconds of processor time of all its processes together."
    )
    cpus: Annotated[float, Field(strict=True, gt=0, le=4096)] | None = Field(
        default=None, description="Processors at a time; it is slowed down, never ended."
    )
    processes: Annotated[int, Field(strict=True, ge=1, le=1 << 22)] | None = Field(
        default=None, description="Processes and threads at a time; more are refused."
    )
    open_files: Annotated[int, Field(strict=True, ge=16, le=1 << 20)] | None = Field(
        default=None, description="Open files of each process; more are refused."
    )
    disk_mb: Megabytes | None = Field(
        default=None, description="What it may write; deleted files are given back."
    )
    egress_mb: AnyMegabytes | None = Field(
        default=None, description="What it may send, to models and tools as well."
    )
    allowed_tools: tuple[ToolGlob, ...] | None = Field(
        default=None, description="Globs on names of tools; a call of any other is denied."
    )
    retries: Whole | None = Field(
        default=None, description="How often calls of models and tools may be tried again, in all."
    )
    context_tokens: Count | None = Field(
        default=None, description="Input tokens of a model call, at most; a longer one is denied."
    )

    def box(self) -> Limits:
        """What the sandbox holds."""
        return box_of([self])


def box_of(limits: Iterable[TrialLimits]) -> Limits:
    """What the sandbox holds where several lists of limits hold: the lowest of each."""
    every = list(limits)
    cpu_s = _least(every, "cpu_s")
    return Limits(
        memory_bytes=_bytes(_least(every, "memory_mb")),
        cpu_ms=None if cpu_s is None else math.ceil(cpu_s * 1000),
        cpus=_least(every, "cpus"),
        processes=_count(_least(every, "processes")),
        open_files=_count(_least(every, "open_files")),
        disk_bytes=_bytes(_least(every, "disk_mb")),
        egress_bytes=_bytes(_least(every, "egress_mb")),
    )


def calls_of(limits: Iterable[TrialLimits]) -> CallLimits:
    """What the gateways hold where several lists of limits hold."""
    every = list(limits)
    return CallLimits(
        allowed_tools=tuple(one.allowed_tools for one in every if one.allowed_tools is not None),
        retries=_count(_least(every, "retries")),
        context_tokens=_count(_least(every, "context_tokens")),
        egress_bytes=_bytes(_least(every, "egress_mb")),
    )


def in_force(limits: Iterable[TrialLimits]) -> dict[str, Any]:
    """What holds where several lists of limits hold, by the keys of a suite, for a manifest: time
    and answer of the first, which is the suite's own; of `allowed_tools` every list."""
    every = list(limits)
    keys = [key for key in TrialLimits.model_fields if key not in (*_OWN, "allowed_tools")]
    found: dict[str, Any] = {key: _least(every, key) for key in keys}
    found["allowed_tools"] = [list(globs) for globs in calls_of(every).allowed_tools] or None
    own = {key: getattr(every[0], key) for key in _OWN}
    return own | {key: amount for key, amount in found.items() if amount is not None}


def _least(limits: Iterable[TrialLimits], key: str) -> float | None:
    said = (getattr(one, key) for one in limits)
    return min((amount for amount in said if amount is not None), default=None)


def _bytes(megabytes: float | None) -> int | None:
    return None if megabytes is None else int(megabytes * MB)


def _count(amount: float | None) -> int | None:
    return None if amount is None else int(amount)
