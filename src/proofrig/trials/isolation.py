"""Which level of isolation a run has, settled before its first trial.

Rules:
1. What is asked for is given or refused (`Unavailable`), with the reason; nothing stands in for it.
2. Where nothing is asked for, agents with a process for each trial get `namespace` where a box of
   it runs here, else `process`, and the run's notes say why.
3. Above `process` a shared host becomes a process per trial: each trial has a box of its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import get_args

from proofrig.agents.command import CommandAgentSettings
from proofrig.agents.python import PythonAgentSettings
from proofrig.errors import UsageError
from proofrig.sandboxes import make_sandbox
from proofrig.sandboxes.sandbox import BoxSettings, Image, Level, Unavailable
from proofrig.suites import Suite
from proofrig.suites.sandbox import VARIABLE

HOST = Image()


async def settled(suite: Suite, asked: Level | None = None) -> tuple[Suite, str]:
    """The suite with its level named, and why it is none stronger ("" when it was asked for).
    `asked` on the command line goes over what the suite says. Raises UsageError for an agent that
    has no process here, Unavailable for a level or image that this machine does not have."""
    level = asked or suite.sandbox.isolation or _from(os.environ)
    why = ""
    if level is None:
        level, why = await _default(suite)
    elif level != "process":
        _check(suite, level)
        await _probe(suite, level)
    return under(suite, level), why


def under(suite: Suite, level: Level) -> Suite:
    """The suite at a level: above `process` with a process for each trial."""
    sandbox = suite.sandbox.model_copy(update={"isolation": level})
    update: dict[str, object] = {"sandbox": sandbox}
    agent = suite.agent
    if level != "process" and isinstance(agent, PythonAgentSettings) and agent.mode == "shared":
        update["agent"] = agent.model_copy(update={"mode": "isolated"})
    return suite.model_copy(update=update)


def level_of(suite: Suite) -> Level:
    """The level of a settled suite."""
    return suite.sandbox.isolation or "process"


def image_of(suite: Suite, level: Level) -> Image:
    """What the boxes of a level are filled with. Raises Unavailable for an image that is not
    built."""
    if level == "process" or (level == "namespace" and suite.sandbox.root == "host"):
        return HOST
    from proofrig.images import find  # building is costly to load

    return find(suite.sandbox.image, suite.dir)


def _from(environ: Mapping[str, str]) -> Level | None:
    text = environ.get(VARIABLE, "")
    for level in get_args(Level):
        if level == text:
            found: Level = level
            return found
    if text:
        raise UsageError(f"{VARIABLE}: expected one of {', '.join(get_args(Level))}, got {text!r}")
    return None


async def _default(suite: Suite) -> tuple[Level, str]:
    agent = suite.agent
    if not isinstance(agent, PythonAgentSettings | CommandAgentSettings):
        return "process", ""
    if isinstance(agent, PythonAgentSettings) and agent.mode == "shared":
        return "process", ""
    try:
        await _probe(suite, "namespace")
    except Unavailable as error:
        return "process", str(error)
    return "namespace", ""


def _check(suite: Suite, level: Level) -> None:
    if not isinstance(suite.agent, PythonAgentSettings | CommandAgentSettings):
        raise UsageError(
            f"isolation {level} was asked for, and an agent of type {suite.agent.type} does not "
            "run in a box of ours; leave it out, or give the agent as `python` or `command`"
        )


async def _probe(suite: Suite, level: Level) -> None:
    """Show that a box of the level, with the suite's limits, can be had."""
    limits = suite.box_limits()
    sandbox = make_sandbox(level, limits)
    settings = BoxSettings(trial="probe", marker="", limits=limits)
    try:
        await sandbox.prepare(image_of(suite, level))
        await (await sandbox.start(settings)).close()
    finally:
        await sandbox.close()
