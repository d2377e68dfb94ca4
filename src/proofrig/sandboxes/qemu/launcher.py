"""The runner's side of `parent.py`, which starts machines.

Rules:
1. The parent starts with the first machine. When it is lost, all its machines are, and the next
   machine starts a new one.
2. As root each machine gets a user of its own: two that were broken out of cannot touch each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from proofrig.errors import SandboxError
from proofrig.sandboxes.qemu import parent

USERS = range(60_100, 60_500)  # of machines, when the runner is root
KEPT = 4000  # characters of what a machine says when it fails


class Process:
    """A started QEMU. `ended` is its exit status (negative: the signal)."""

    def __init__(self, launcher: Launcher, key: int) -> None:
        loop = asyncio.get_running_loop()
        self.launcher = launcher
        self.key = key
        self.pid = 0
        self.cpu_ms = 0  # once it has ended
        self.started: asyncio.Future[int] = loop.create_future()
        self.ended: asyncio.Future[int] = loop.create_future()
        self.stderr = os.memfd_create("stderr", os.MFD_CLOEXEC)

    def said(self) -> str:
        """The tail of what it wrote to its standard error."""
        size = os.fstat(self.stderr).st_size
        data = os.pread(self.stderr, KEPT, max(0, size - KEPT))
        return data.decode(errors="replace").strip()

    async def kill(self) -> None:
        """End it, and wait for that. Doing it again does nothing."""
        if not self.ended.done():
            with contextlib.suppress(SandboxError):
                await self.launcher.send({"kill": self.key}, [])
        await asyncio.wait([self.ended])
        if self.stderr >= 0:
            os.close(self.stderr)
            self.stderr = -1


class Launcher:
    """Starts machines. Made on the event loop that waits for them."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(parent.__file__)), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.keys = itertools.count(1)
        self.users = itertools.cycle(USERS)
        self.machines: dict[int, Process] = {}
        self.data = b""
        self.lost = False
        self.network_left: bool | None = None  # whether machines have an empty network namespace
        self.sending = asyncio.Lock()
        self.loop.add_reader(self.socket.fileno(), self.receive)

    async def start(self, argv: list[str], fds: list[int]) -> Process:
        """Start a machine with these descriptors (they stay ours, too). Raises SandboxError."""
        process = Process(self, next(self.keys))
        self.machines[process.key] = process
        root = os.geteuid() == 0
        message = {
            "key": process.key,
            "program": program() or argv[0],
            "argv": argv,
            "env": {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
            "user": next(self.users) if root else 0,
            "groups": kvm_groups() if root else [],
            "fds": len(fds) + 1,
        }
        try:
            await self.send(message, [process.stderr, *fds])
        except SandboxError:
            os.close(process.stderr)
            self.machines.pop(process.key, None)
            raise
        process.pid = await process.started
        return process

    async def send(self, message: dict[str, Any], fds: list[int]) -> None:
        data = json.dumps(message).encode() + b"\n"
        async with self.sending:
            while data:
                if self.lost:
                    raise SandboxError("the process that starts machines has ended")
                try:
                    sent = socket.send_fds(self.socket, [data], fds)
                    data, fds = data[sent:], []
                except BlockingIOError:
                    await asyncio.sleep(0.001)
                except OSError:
                    self.lose()

    def receive(self) -> None:
        try:
            data = self.socket.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self.lose()
            return
        *lines, self.data = (self.data + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "network" in message:
                self.network_left = message["network"]
            elif "pid" in message:
                self.machines[message["key"]].started.set_result(message["pid"])
            else:
                process = self.machines.pop(message["key"])
                process.cpu_ms = message["cpu_ms"]
                process.ended.set_result(message["status"])

    def lose(self) -> None:
        if self.lost:
            return
        self.lost = True
        self.loop.remove_reader(self.socket.fileno())
        self.socket.close()
        self.process.wait()
        machines, self.machines = self.machines, {}
        for process in machines.values():
            if not process.started.done():
                process.started.set_exception(
                    SandboxError("the process that starts machines has ended")
                )
            if not process.ended.done():
                process.ended.set_result(-9)

    async def close(self) -> None:
        """End every machine that is left, then the parent."""
        await asyncio.gather(*(process.kill() for process in list(self.machines.values())))
        self.lose()


def kvm_groups() -> list[int]:
    """The group that may use KVM, for a machine that has no other rights."""
    with contextlib.suppress(KeyError):
        return [grp.getgrnam("kvm").gr_gid]
    return []


def program() -> str | None:
    """Where QEMU is."""
    return shutil.which("qemu-system-x86_64")
