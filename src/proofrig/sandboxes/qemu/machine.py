"""A running machine: the process, its monitor, its console, the channel to the guest's agent.

Rules:
1. It has no name anywhere: memory, disks, channels are descriptors. What it wrote is gone with it,
   however it and the runner end.
2. That the guest has ended is told from the monitor's events and the console, never from QEMU's
   exit status: a kernel that panics ends QEMU with 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from proofrig.errors import SandboxError
from proofrig.sandboxes.cgroups import Group
from proofrig.sandboxes.qemu import arguments
from proofrig.sandboxes.qemu.channel import Channel
from proofrig.sandboxes.qemu.launcher import Launcher, Process
from proofrig.sandboxes.qemu.monitor import Monitor
from proofrig.sandboxes.sandbox import REPLY_FD

CONSOLE = 8000  # bytes that are kept of the console
ENTROPY = 64  # bytes
REHEARSAL = "/dev/null"  # a script that does nothing


class Disks(msgspec.Struct, frozen=True):
    """Descriptors of what a machine is made of; see `arguments.Files`. They are its own. scratch
    and payload are for reading and writing."""

    memory: int
    root: int
    scratch: int
    payload: int
    saved: int = -1
    kernel: int = -1
    initrd: int = -1


class Console(asyncio.Protocol):
    """The tail of what the guest's kernel says."""

    def __init__(self) -> None:
        self.text = bytearray()
        self.transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self.text += data
        del self.text[:-CONSOLE]

    def tail(self) -> str:
        lines = self.text.decode(errors="replace").replace("\r", "").strip().splitlines()
        return "\n".join(lines[-6:])


class Machine:
    """Made by `start`. `on_told` and `on_lost` may be set by whoever uses it."""

    process: Process
    channel: Channel

    def __init__(self, payload: int) -> None:
        self.group: Group | None = None  # of the host, where there can be one
        self.payload = payload  # the disk's descriptor, to be written before `begin`
        self.monitor = Monitor()
        self.console = Console()
        self.on_told: Callable[[dict[str, Any]], None] = lambda _: None
        self.on_lost: Callable[[str], None] = lambda _: None
        self.channel = Channel(self.told, lambda why: self.on_lost(self.why(why)))
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = False

    @classmethod
    async def start(cls, launcher: Launcher, argv: list[str], disks: Disks) -> Machine:
        """Start QEMU; `disks` are closed here, but for the payload. Raises SandboxError."""
        machine = cls(disks.payload)
        loop = asyncio.get_running_loop()
        with _pairs(3) as (ours, theirs):
            given = arguments.Files(
                monitor=theirs[0].fileno(),
                channel=theirs[1].fileno(),
                console=theirs[2].fileno(),
                scratch_read=_reading(disks.scratch),
                **{**msgspec.structs.asdict(disks), "payload": _reading(disks.payload)},
            )
            for end, protocol in zip(
                ours, (machine.monitor, machine.channel, machine.console), strict=True
            ):
                end.setblocking(False)
                await loop.create_unix_connection(lambda p=protocol: p, sock=end)  # type: ignore[misc]
            try:
                machine.process = await launcher.start(argv, given.fds())
            except BaseException:
                os.close(machine.payload)
                machine.hang_up()
                raise
            finally:
                for fd in {*given.fds(), *msgspec.structs.astuple(disks)}:
                    if fd >= 0 and fd not in (disks.payload, *(end.fileno() for end in theirs)):
                        os.close(fd)
        machine.process.ended.add_done_callback(lambda _: machine.hang_up())
        return machine

    @classmethod
    async def resume(cls, launcher: Launcher, argv: list[str], disks: Disks) -> Machine:
        """Start a copy from its saved state. It runs, its clock is set and its random numbers are
        its own, when this returns. Raises SandboxError."""
        machine = await cls.start(launcher, argv, disks)
        seeded = asyncio.ensure_future(machine.seed())
        try:
            send = machine.monitor.send
            shared = [{"capability": "x-ignore-shared", "state": True}]
            answers = [
                send("qmp_capabilities"),
                send("migrate-set-capabilities", capabilities=shared),
                send("migrate-incoming", uri=f"fd:{arguments.SAVED}"),
            ]
            for answer in answers:
                await answer
            await seeded
        except BaseException as error:
            why = machine.why(str(error))
            await machine.close()
            await asyncio.gather(seeded, return_exceptions=True)
            if isinstance(error, SandboxError):
                raise SandboxError(why) from None
            raise
        return machine

    def told(self, message: dict[str, Any]) -> None:
        if message.get("ready") and not self.ready.done():
            self.ready.set_result(None)
        else:
            self.on_told(message)

    async def seed(self) -> None:
        await self.channel.ask("seed", **fresh())

    async def rehearse(self, *programs: list[str]) -> None:
        """Let the agent do what a trial will ask of it, outside of the trial's group: then it is in
        memory, and QEMU has translated it."""
        await self.channel.ask("rehearse")
        for argv in programs:
            ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.on_told = lambda message, ended=ended: (  # type: ignore[misc]
                ended.set_result(None) if "exit" in message and not ended.done() else None
            )
            given: dict[str, Any] = {"env": {}, "cwd": "/", "reply": REPLY_FD}
            await self.channel.ask("exec", argv=argv, rehearsal=True, **given)
            await ended

    async def pause(self) -> None:
        await self.monitor.send("stop")

    async def go_on(self) -> None:
        await self.monitor.send("cont")

    def why(self, reason: str) -> str:
        """`reason`, with what QEMU, the guest's kernel and the monitor said."""
        parts = [reason]
        if hasattr(self, "process") and self.process.ended.done():
            parts.append(f"its process ended with {self.process.ended.result()}")
        if ended := self.monitor.ended_by():
            parts.append(f"QEMU: {ended}")
        if hasattr(self, "process") and self.process.stderr >= 0 and (said := self.process.said()):
            parts.append(said)
        if said := self.console.tail():
            parts.append(said)
        return "; ".join(parts)

    def hang_up(self) -> None:
        self.channel.end("the guest has ended")
        self.monitor.close()

    async def close(self) -> None:
        """Leave nothing of it. Doing it again does nothing."""
        if self.closed:
            return
        self.closed = True
        self.on_lost = lambda _: None
        self.hang_up()
        os.close(self.payload)
        await self.process.kill()
        self.console.close()
        if self.group is not None:
            self.group.remove()


def fresh() -> dict[str, Any]:
    """What makes a copy unlike the others: the time, and random bytes."""
    return {"time": time.time_ns(), "entropy": os.urandom(ENTROPY).hex()}


def _reading(fd: int) -> int:
    """The same file, for reading only."""
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def _pairs(count: int) -> Iterator[tuple[list[socket.socket], list[socket.socket]]]:
    """Connected sockets: ours, and those of the machine, which are closed here."""
    pairs = [socket.socketpair() for _ in range(count)]
    try:
        yield [ours for ours, _ in pairs], [theirs for _, theirs in pairs]
    finally:
        for _, theirs in pairs:
            theirs.close()
