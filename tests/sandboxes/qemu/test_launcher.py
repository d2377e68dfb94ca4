"""Machines are started by a process of their own, and end with it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from proofrig.errors import SandboxError
from proofrig.sandboxes.qemu.launcher import USERS, Launcher
from vm_image import needs_vm

pytestmark = needs_vm
IDLE = ["qemu", "-M", "none", "-nodefaults", "-display", "none"]


@pytest_asyncio.fixture
async def launcher() -> AsyncIterator[Launcher]:
    made = Launcher()
    yield made
    await made.close()


def status(pid: int, name: str) -> str:
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(row.split(":", 1)[1].strip() for row in rows if row.startswith(name + ":"))


async def running(pid: int) -> None:
    """Until the process is QEMU, not yet the fork that becomes it."""
    while "qemu" not in status(pid, "Name"):
        await asyncio.sleep(0.01)


async def test_a_machine_has_no_rights_and_no_network(launcher: Launcher) -> None:
    reading, writing = os.pipe()
    process = await launcher.start(IDLE, [reading])
    os.close(reading)
    await running(process.pid)
    assert status(process.pid, "NoNewPrivs") == "1"
    assert int(status(process.pid, "CapEff"), 16) == 0
    fds = sorted(int(fd) for fd in os.listdir(f"/proc/{process.pid}/fd"))
    assert 10 in fds and writing not in [fd for fd in fds if fd >= 200]
    if os.geteuid() == 0:
        assert int(status(process.pid, "Uid").split()[0]) in USERS
        ours, theirs = (os.readlink(f"/proc/{pid}/ns/net") for pid in ("self", process.pid))
        assert ours != theirs
    await process.kill()
    await process.kill()
    assert process.ended.result() == -9
    os.close(writing)


async def test_what_it_says_when_it_fails_is_kept(launcher: Launcher) -> None:
    process = await launcher.start(["qemu", "-M", "no-such-machine"], [])
    assert await process.ended == 1
    assert "no-such-machine" in process.said()
    await process.kill()


async def test_machines_end_with_their_parent(launcher: Launcher) -> None:
    process = await launcher.start(IDLE, [])
    await running(process.pid)
    os.kill(launcher.process.pid, signal.SIGKILL)
    assert await process.ended == -9
    with pytest.raises(SandboxError):
        await launcher.start(IDLE, [])
    while os.path.exists(f"/proc/{process.pid}") and status(process.pid, "State")[0] != "Z":
        await asyncio.sleep(0.01)
    await process.kill()
