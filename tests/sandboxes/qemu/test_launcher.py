"""Machines are started by a process of their own, and end with it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator, Callable
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
    """A field of /proc; "" when there is no such process."""
    try:
        rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return ""
    return next(row.split(":", 1)[1].strip() for row in rows if row.startswith(name + ":"))


def running(pid: int) -> None:
    """Until the process is QEMU, not yet the fork that becomes it."""
    until(lambda: "qemu" in status(pid, "Name"))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_a_machine_has_no_rights_and_no_network(launcher: Launcher) -> None:
    reading, writing = os.pipe()
    process = await launcher.start(IDLE, [reading])
    os.close(reading)
    running(process.pid)
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
    assert "machine type" in process.said()
    await process.kill()


async def test_machines_end_with_their_parent(launcher: Launcher) -> None:
    process = await launcher.start(IDLE, [])
    running(process.pid)
    os.kill(launcher.process.pid, signal.SIGKILL)
    assert await process.ended == -9
    with pytest.raises(SandboxError):
        await launcher.start(IDLE, [])
    until(lambda: status(process.pid, "State")[:1] in ("", "Z"))
    await process.kill()
