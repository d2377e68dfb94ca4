"""QEMU's monitor protocol, against QEMU itself: a machine without anything."""

from __future__ import annotations

import asyncio
import socket

import pytest

from proofrig.errors import SandboxError
from proofrig.sandboxes.qemu.monitor import Monitor
from vm_image import needs_vm

pytestmark = needs_vm


async def test_commands_answers_events_and_the_end() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            *("qemu-system-x86_64", "-M", "none", "-nodefaults", "-display", "none"),
            *("-chardev", f"socket,id=m,fd={theirs.fileno()}", "-mon", "chardev=m,mode=control"),
            pass_fds=[theirs.fileno()],
        )
    monitor = Monitor()
    await asyncio.get_running_loop().create_unix_connection(lambda: monitor, sock=ours)
    try:
        first, second = monitor.send("qmp_capabilities"), monitor.send("query-status")
        assert await first == {}
        assert (await second)["status"] == "running"
        with pytest.raises(SandboxError, match=r"QEMU was asked to no-such: .*no-such"):
            await monitor.send("no-such")
        await monitor.give("mine", ours_fd := socket.socket().detach())
        with pytest.raises(SandboxError, match="yours"):
            await monitor.send("closefd", fdname="yours")
        await monitor.send("quit")
        await process.wait()
        await asyncio.wait_for(monitor.lost, 60)
        assert monitor.ended_by() == "host-qmp-quit"
        monitor.close()
        with pytest.raises(SandboxError, match="ended"):
            await monitor.send("query-status")
        socket.socket(fileno=ours_fd).close()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_who_waits_is_told_of_the_end() -> None:
    ours, theirs = socket.socketpair()
    monitor = Monitor()
    await asyncio.get_running_loop().create_unix_connection(lambda: monitor, sock=ours)
    waiting = monitor.send("cont")
    theirs.close()
    with pytest.raises(SandboxError, match="ended"):
        await waiting
    monitor.close()
