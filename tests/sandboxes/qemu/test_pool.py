"""Copies that wait, with real machines of QEMU that run no guest."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from proofrig.errors import SandboxError
from proofrig.sandboxes.qemu import sparse
from proofrig.sandboxes.qemu.arguments import CHANNEL, CONSOLE, MONITOR
from proofrig.sandboxes.qemu.launcher import Launcher
from proofrig.sandboxes.qemu.machine import Disks, Machine
from proofrig.sandboxes.qemu.pool import Pool
from vm_image import needs_vm

pytestmark = needs_vm
# fmt: off
EMPTY = [
    "qemu", "-M", "none", "-nodefaults", "-display", "none",
    "-chardev", f"socket,id=m,fd={MONITOR}", "-mon", "chardev=m,mode=control",
    "-chardev", f"socket,id=c,fd={CHANNEL}", "-chardev", f"socket,id=s,fd={CONSOLE}",
]
# fmt: on


class Makes:
    """Machines, and what became of them."""

    def __init__(self, storage: Path) -> None:
        self.storage = storage
        self.launcher = Launcher()
        self.made: list[Machine] = []
        self.fails = False

    async def make(self) -> Machine:
        if self.fails:
            raise SandboxError("none to be had")
        disks = Disks(*(sparse.nameless(self.storage, 0) for _ in range(4)))
        machine = await Machine.start(self.launcher, EMPTY, disks)
        await machine.monitor.send("qmp_capabilities")
        self.made.append(machine)
        return machine

    async def ready(self, machine: Machine) -> None:
        await machine.monitor.send("query-status")


@pytest_asyncio.fixture
async def makes(tmp_path: Path) -> AsyncIterator[Makes]:
    made = Makes(tmp_path)
    yield made
    for machine in made.made:
        await machine.close()
    await made.launcher.close()


async def status(machine: Machine) -> str:
    return str((await machine.monitor.send("query-status"))["status"])


async def test_copies_wait_stopped_and_go_on_when_they_are_taken(makes: Makes) -> None:
    pool = Pool(makes.make, makes.ready, 2)
    await pool.full()
    assert len(pool.waiting) == 2
    assert {await status(each) for each in pool.waiting} <= {"paused", "prelaunch"}
    first = await pool.take()
    assert await status(first) == "running" and first is makes.made[0]
    await pool.full()
    assert len(pool.waiting) == 2 and first not in pool.waiting
    await pool.close()
    assert {machine.closed for machine in makes.made if machine is not first} == {True}
    assert not first.closed


async def test_one_that_ended_is_thrown_away(makes: Makes) -> None:
    pool = Pool(makes.make, makes.ready, 1)
    await pool.full()
    dead = pool.waiting[0]
    os.kill(dead.process.pid, signal.SIGKILL)
    await dead.process.ended
    taken = await pool.take()
    assert taken is not dead and dead.closed
    await pool.close()


async def test_what_cannot_be_made_is_told_to_who_needs_it(makes: Makes) -> None:
    makes.fails = True
    pool = Pool(makes.make, makes.ready, 1)
    await pool.full()
    assert not pool.waiting
    try:
        await pool.take()
    except SandboxError as error:
        assert "none to be had" in str(error)
    await pool.close()
