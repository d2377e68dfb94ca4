"""The runner is killed with SIGKILL while a box runs, and while boxes are being made: nothing that
was started in them lives on, and nothing stays mounted."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from proofrig.sandboxes.sandbox import LEVELS, Image, Level
from security.arena import PYTHON, SCRIPTS
from security.corpus import QUICK, SLOW
from security.levels import image_for

DEADLINE_S = 60.0
STARTS = 5 if SLOW else 2  # how often it is killed while it makes boxes
RUNNER = """
import asyncio, json, secrets, sys
from proofrig.sandboxes import make_sandbox
from proofrig.sandboxes.sandbox import BoxSettings, Command, Image
from security.arena import Rig

level, marker, code, python, staying, image = json.loads(sys.argv[1])

async def main():
    sandbox = make_sandbox(level)
    await sandbox.prepare(Image(**image))
    rig = Rig()
    server = await asyncio.start_server(rig.answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async def one():
        box = await sandbox.start(BoxSettings(trial="t", marker=marker, ports=(port,)))
        argv = [python, "-I", "-S", "-c", code, json.dumps({"port": port}), marker]
        env = {"PATH": "/usr/bin:/bin", "MARKER": marker}
        program = await box.exec(Command(argv=argv, env=env, cwd="/", timeout_s=300))
        if staying:
            await asyncio.Event().wait()
        await program.wait()
        await box.close()
    if staying:
        keeping = asyncio.create_task(one())
        while rig.heard < 3:
            await asyncio.sleep(0.01)
        print("ready", flush=True)
    else:
        print("ready", flush=True)
        while True:
            await asyncio.gather(*(one() for _ in range(4)))
    await keeping

asyncio.run(main())
"""
STAYS = (SCRIPTS / "outlive.py").read_text() + "\ntime.sleep(600)\n"


def carrying(marker: str) -> set[int]:
    """Processes of this host with the marker in command line or environment, zombies left out."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                held = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
                if marker.encode() in held:
                    found.add(int(folder.name))
    return found


def below(pid: int) -> set[int]:
    """A process and all that came of it."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(folder.name)] = int(
                    (folder / "stat").read_bytes().rpartition(b")")[2].split()[1]
                )
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def alive(pids: set[int]) -> set[int]:
    def lives(pid: int) -> bool:
        with contextlib.suppress(OSError):
            state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
            return state not in (b"Z", b"X")
        return False

    return {pid for pid in pids if lives(pid)}


@contextlib.contextmanager
def runner(
    level: Level, marker: str, image: Image, *, staying: bool
) -> Iterator[subprocess.Popen[str]]:
    python = image.interpreter or PYTHON
    code = STAYS if staying else "pass"
    told = json.dumps([level, marker, code, python, staying, msgspec.to_builtins(image)])
    tests = str(Path(__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNER, told],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([tests, *sys.path])},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("level", LEVELS if SLOW else QUICK)
@pytest.mark.parametrize("staying", [True, False], ids=["running", "starting"])
def test_nothing_survives_the_runner(
    level: Level, staying: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    image = image_for(level, tmp_path_factory)
    for number in range(1 if staying else STARTS):
        marker = secrets.token_hex(16)
        with runner(level, marker, image, staying=staying) as process:
            if not staying:
                time.sleep(0.05 + 0.037 * number)  # somewhere in the middle of starting
            came_of_it = below(process.pid) - {process.pid}
            assert came_of_it
            process.send_signal(signal.SIGKILL)
            process.wait()
        deadline = time.monotonic() + DEADLINE_S
        while left := alive(came_of_it) | carrying(marker):
            assert time.monotonic() < deadline, [
                Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left
            ]
            time.sleep(0.02)
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        assert [mount for mount in mounts if f"/{process.pid}-" in mount] == []  # its folder's name
