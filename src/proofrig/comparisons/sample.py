"""What a run came to, as far as another run can be held against it: one record per trial.

Rules:
1. A sample is all that a comparison reads: it is what a baseline keeps and what its file holds.
2. Only the agent's own trials are in it: no null, no reference, no helper.
3. Several runs of the same suite and the same `what` may be pooled; `runs` names them, oldest
   first.
"""

from __future__ import annotations

from typing import Any

import msgspec

SCHEMA = "proofrig.sample/1"


class TrialSample(msgspec.Struct, omit_defaults=True, gc=False):
    """One trial. `passed` is None when it was not measured. `tools`: the names of the tools it
    called, in order; money in micro-dollars, times in nanoseconds. `run`: index in `runs`."""

    case: str
    repeat: int = 0
    run: int = 0
    scenario: str = ""
    tenant: str = ""
    passed: bool | None = None
    failure: str = ""
    usd_micro: int = 0
    tokens: int = 0
    llm_calls: int = 0
    tool_calls: int = 0
    retries: int = 0
    denied: int = 0
    duration_ns: int = 0
    tools: tuple[str, ...] = ()


class Sample(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A run, or several pooled. `what`, `where` and `settings` are the manifest's (of the newest
    run); `cases`: id -> digest. `measures`: scenario ("" of a plain run) -> the checkers' measures
    and the score's figures by name, for the runs together; `findings`: case -> kind of finding ->
    how many trials of it were witnesses; a finding that names no trial is under case ""."""

    schema: str = SCHEMA
    suite: str
    suite_digest: str
    runs: list[str]
    started_ns: int = 0
    branch: str = ""
    commit: str = ""
    cases: dict[str, str] = {}
    what: dict[str, Any] = {}
    where: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    trials: list[TrialSample] = []
    measures: dict[str, dict[str, float]] = {}
    findings: dict[str, dict[str, int]] = {}
    infra: int = 0  # trials that came to nothing for reasons around the agent
