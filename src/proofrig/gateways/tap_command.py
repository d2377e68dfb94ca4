"""How a stdio MCP server is started behind the tap: the argv an agent is given, and PATH shims.

Rules:
1. Only the standard library here, so that the runner can say it without loading a gateway.
2. Agents' MCP clients start servers with an almost empty environment, so everything the tap needs
   stands in its arguments.
3. A shim is found under the name of the server's own program. It taps the declared command only;
   anything else that is run under that name runs as before.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from proofrig.errors import UsageError
from proofrig.gateways import tap
from proofrig.gateways.tool_settings import McpServerSettings


@dataclass(frozen=True, slots=True)
class TapPlace:
    """Where a trial's taps find the rig (`host:port`), and what they run in: the suite's folder,
    the trial's folder ("" for none), and the PATH on which servers are looked up. python: what runs
    the tap. root: the folder that holds the files of the box they run in; "" for this machine's."""

    rig: str
    token: str
    suite: Path
    world: str
    path: str
    python: str = sys.executable
    root: str = ""


def tap_command(settings: McpServerSettings, place: TapPlace) -> list[str]:
    """The argv that starts a stdio server behind the tap, for `PROOFRIG_MCP_<NAME>_COMMAND`.
    Raises UsageError when the server's program cannot be found."""
    command, env, cwd = settings.resolved(place.suite, place.world, place.python)
    return [*_tap(settings, place, env, cwd), _program(settings, command[0], place), *command[1:]]


def write_shims(servers: Iterable[McpServerSettings], place: TapPlace, folder: Path) -> list[Path]:
    """Write `folder/<name>` for each stdio server whose program is a bare name, to be put first on
    the agent's PATH. Servers of one program share a shim. Raises UsageError."""
    shims: dict[str, list[McpServerSettings]] = {}
    for settings in servers:
        if settings.bare_name:
            shims.setdefault(settings.bare_name, []).append(settings)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, sharing in sorted(shims.items()):
        program = _program(sharing[0], name, place)
        lines = ["#!/bin/sh"]
        for settings in sorted(sharing, key=lambda one: -len(one.command or ())):
            command, env, cwd = settings.resolved(place.suite, place.world, place.python)
            tests = [
                f'[ "${{{number}}}" = {shlex.quote(part)} ]'
                for number, part in enumerate(command[1:], 1)
            ]
            tapped = shlex.join([*_tap(settings, place, env, cwd), program])
            lines += [f"if {' && '.join(tests) or 'true'}; then", f'  exec {tapped} "$@"', "fi"]
        lines.append(f'exec {shlex.quote(program)} "$@"')
        shim = folder / name
        shim.write_text("\n".join(lines) + "\n")
        shim.chmod(0o755)
        written.append(shim)
    return written


def _tap(
    settings: McpServerSettings, place: TapPlace, env: dict[str, str], cwd: str | None
) -> list[str]:
    argv = [place.python, "-I", "-S", tap.__file__, "--rig", place.rig]
    argv += ["--token", place.token, "--server", settings.name]
    for name, value in env.items():
        argv += ["--env", f"{name}={value}"]
    if cwd:
        argv += ["--cwd", cwd]
    return [*argv, "--"]


def _looked_up(name: str, place: TapPlace) -> str | None:
    """Where a bare name is found; in a box of an image, among the image's programs."""
    if not place.root:
        return shutil.which(name, path=place.path)
    if name in ("python", "python3"):
        return place.python
    for folder in place.path.split(os.pathsep):
        if os.access(f"{place.root}{folder}/{name}", os.X_OK):
            return f"{folder}/{name}"
    return None


def _program(settings: McpServerSettings, name: str, place: TapPlace) -> str:
    """The program a command means: a bare name is looked up now, past any shim; a relative path
    starts at the suite."""
    if place.root and name == place.python:
        return name
    if "/" in name:
        found: str | None = str(place.suite / name)
    else:
        found = _looked_up(name, place)
    if found is None or not Path(f"{place.root}{found}" if "/" not in name else found).exists():
        raise UsageError(
            f"MCP server {settings.name}: expected a program {name!r} "
            f"{'in the suite' if '/' in name else 'on PATH'}, found none; install it, or write "
            "its path"
        )
    return found
