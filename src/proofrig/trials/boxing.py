"""The boxes of a stage: what its trials' boxes show, how one begins and how it ends.

Rules:
1. A box shows the agent's own files, its interpreter, and proofrig's scripts that run beside it;
   of the run's folder only what is the trial's own.
2. What a box was, used and changed is on the history with the trial's end.
3. The suite's own commands (references) run on the host; only the agent under test is boxed.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from proofrig.agents import hosting
from proofrig.agents.boxes import Boxes
from proofrig.agents.command import CommandAgentSettings
from proofrig.agents.own_files import matching, missing, of_command, of_modules
from proofrig.agents.python import PythonAgentSettings, find_interpreter
from proofrig.errors import SandboxError, UsageError
from proofrig.gateways import tap
from proofrig.gateways.tool_settings import McpServerSettings
from proofrig.history.format import SEGMENT
from proofrig.history.journal import Journal
from proofrig.sandboxes import make_sandbox
from proofrig.sandboxes.programs import needed_by, outermost
from proofrig.sandboxes.sandbox import (
    Box,
    BoxSettings,
    Changes,
    Ended,
    Image,
    Keep,
    Level,
    Sandbox,
    Shown,
)
from proofrig.suites import Suite
from proofrig.trials.isolation import image_of, level_of

PLAIN_PATH = "/usr/local/bin:/usr/bin:/bin"
HOME = "/home/agent"  # in a box that is filled with an image
MOST_OBSERVED = 64 << 20  # bytes of what one process observed
QUIETLY = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Boxing:
    """How boxes are made for one stage. `base`: what all of them have."""

    level: Level
    image: Image
    sandbox: Sandbox
    base: BoxSettings

    @property
    def boxes(self) -> Boxes:
        """For agents, which make boxes of their own besides those of trials."""
        gates = self.level in ("process", "namespace", "container")
        return Boxes(self.sandbox, self.base, self.image.interpreter, gates=gates)

    @property
    def inherited(self) -> dict[str, str] | None:
        """What boxed agents inherit instead of the runner's environment; None: that one."""
        if self.image.name == "host":
            return None
        return {"PATH": PLAIN_PATH, "HOME": HOME, "LANG": "C.UTF-8"}

    async def start(self, trial: str, token: str, world: str, own: tuple[Shown, ...]) -> Box:
        """A trial's box. Raises SandboxError."""
        settings = msgspec.structs.replace(
            self.base, trial=trial, marker=token, world=world, shown=self.base.shown + own
        )
        return await self.sandbox.start(settings)


@dataclass(frozen=True, slots=True)
class Left:
    """What a trial's box told at its end."""

    ended: Ended
    changes: Changes


async def leave(box: Box, keep: Keep | None) -> Left:
    """End a box, take what it tells, and leave nothing of it."""
    try:
        ended = await box.kill()
        try:
            changes = await box.changes(keep=keep)
        except SandboxError as error:
            changes = Changes(error=str(error), complete=False)
        return Left(ended, changes)
    finally:
        await box.close()


async def make_boxing(suite: Suite, ports: tuple[int, ...], seen: tuple[str, ...]) -> Boxing:
    """The boxing of a settled suite; its level is shown to work. seen: what else boxes see.
    Raises UsageError for files that are not there, Unavailable for what this machine has not."""
    level = level_of(suite)
    image = image_of(suite, level)
    shown: tuple[Shown, ...] = ()
    if level != "process":
        paths = await asyncio.to_thread(visible, suite, image)
        shown = tuple(Shown(path) for path in outermost([*paths, *filter(None, seen)]))
    limits = suite.box_limits()
    base = BoxSettings(trial="", marker="", shown=shown, ports=ports, limits=limits)
    sandbox = make_sandbox(level, limits)
    await sandbox.prepare(image)
    return Boxing(level, image, sandbox, base)


def visible(suite: Suite, image: Image) -> list[str]:
    """What a box shows of the host: absolute paths. Raises UsageError."""
    folder = suite.dir.absolute()
    if absent := missing(suite.sandbox.files, folder):
        raise UsageError(
            f"sandbox.files: nothing is at {', '.join(absent)}; expected globs below {folder}, or "
            "absolute paths"
        )
    scripts = Path(hosting.HOST).parent
    found = [scripts, scripts.with_name("observers"), Path(tap.__file__)]
    found += matching(suite.sandbox.files, folder)
    programs: list[str] = []
    agent = suite.agent
    if isinstance(agent, PythonAgentSettings):
        found += of_modules([agent.target.partition(":")[0]], folder)
        found += [folder / path for path in agent.path]
        programs.append(find_interpreter(agent.interpreter, folder))
    elif isinstance(agent, CommandAgentSettings):
        found += of_command(agent.argv, folder)
        programs.append(agent.argv[0])
    for tool in suite.tools:
        if isinstance(tool, McpServerSettings) and tool.command:
            words = [word.removeprefix("{suite}/") for word in tool.command]
            found += of_command(words, folder)
            programs += [tool.command[0], sys.executable]
    names = {str(path) for path in found}
    if image.name == "host":
        for program in sorted(set(programs)):
            name = str(folder / program) if "/" in program else program
            names.update(needed_by(name, str(folder)))
    return sorted(name for name in names if os.path.exists(name))


def told(left: Left, journal: Journal) -> dict[str, Any]:
    """The attributes of a trial's end that tell of its box; what says nothing is left out."""
    changes = left.changes
    attrs: dict[str, Any] = {"box": msgspec.to_builtins(left.ended)}
    if changes.entries or changes.packages or changes.error or not changes.complete:
        attrs["changes"] = journal.payload(msgspec.json.encode(changes))
    if changes.packages:
        size = sum(package.bytes for package in changes.packages)
        attrs["installed"] = {"packages": len(changes.packages), "bytes": size}
    return attrs


def make_observed(folder: str) -> None:
    """The folder that observers in a box write to. What a box of our own user leaves there could be
    a setuid program of ours: nobody else may come to it. (Root's boxes have another user.)"""
    os.makedirs(folder, exist_ok=True)
    if os.geteuid() != 0:
        os.chmod(os.path.dirname(folder), 0o700)


def take_observed(folder: Path, history: Path, trial: str) -> None:
    """Take what observers in a box wrote into the run's history. Names begin with the trial, for
    process numbers begin anew in each box. The box may still live, and a file of its own have any
    owner, mode and size: so the bytes are copied, up to a cap, and no link is followed. The files
    are taken away, the folder stays: a reused box has it mounted."""
    name = trial.replace("/", "+").replace(":", "-")
    for found in sorted(folder.glob(f"*{SEGMENT}")):
        with suppress(OSError), open(os.open(found, QUIETLY), "rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                target = history / f"{found.name.removesuffix(SEGMENT)}-{name}{SEGMENT}"
                target.write_bytes(file.read(MOST_OBSERVED))
        with suppress(OSError):
            found.unlink()
