"""A box that is a machine of its own.

Rules:
1. The guest holds the limits and counts; what it tells is what the trial used. Time, and what goes
   to the rig's ports, are held and counted here.
2. A limit that the guest's kernel enforces by killing (memory), or that we do (processor time,
   bytes sent), ends everything in the box. One that only refuses (processes, disk) is noted.
3. A machine that ends by itself takes the trial with it: `lost`, with what its kernel said last.
4. The files of the trial are in the guest until `changes` brings them here, as a tar that is not
   trusted.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from proofrig.errors import SandboxError
from proofrig.sandboxes.netns import OTHERS, destination
from proofrig.sandboxes.qemu.layer import Layer
from proofrig.sandboxes.qemu.machine import Machine, fresh
from proofrig.sandboxes.qemu.program import VmProgram
from proofrig.sandboxes.qemu.sparse import nameless
from proofrig.sandboxes.relay import Relay
from proofrig.sandboxes.sandbox import (
    REPLY_FD,
    BoxSettings,
    Changes,
    Command,
    Ended,
    Keep,
    Limit,
    Refused,
    Usage,
)

PIECE = 1 << 20  # bytes of a file that go in or out at a time
COLLECTED = 1 << 30  # bytes of files that are brought out of a guest
TIMEOUT_S = 60.0  # for the agent to end everything, on a busy machine
COLLECT_S = 300.0


class VmBox:
    """One trial's machine; see `Box`. Made by `VmSandbox.start`."""

    def __init__(self, machine: Machine, settings: BoxSettings, storage: Path, root: str) -> None:
        self.settings = settings
        self.machine = machine
        self.storage = storage
        self.emulated = False
        self.start_ms = 0
        self._layer = Layer(storage, Path(root), settings.world)
        self._programs: dict[int, VmProgram] = {}
        self._relay = Relay(settings.limits.egress_bytes, lambda: self._end("egress"))
        self._broke: list[Limit] = []
        self._by = ""
        self._lost = ""
        self._strays = 0
        self._start = ""
        self._last: dict[str, Any] = {}  # what the guest counted last
        self._ending: asyncio.Task[Ended] | None = None
        self.on_close: Callable[[VmBox], None] = lambda _: None
        machine.channel.relay = self._relay
        machine.channel.ports = frozenset(settings.ports)
        machine.on_told = self._told
        machine.on_lost = self._lose

    async def begin(self, shown: frozenset[str] | None) -> None:
        """Give the trial its files, limits and ports; the clock and the random numbers are renewed
        with it. shown: folders on the payload disk, None where it is empty. Raises SandboxError."""
        self._layer.folders = shown or frozenset()
        message: dict[str, Any] = {
            **fresh(),
            "shown": shown is not None,
            "limits": msgspec.to_builtins(self.settings.limits),
            "ports": self.settings.ports,
        }
        try:
            await self.machine.channel.ask("begin", **message)
        except OSError as error:
            raise SandboxError(f"the guest cannot be set up for the trial: {error}") from None

    async def exec(
        self,
        command: Command,
        *,
        keep_stdin: bool = False,
        on_reply: Callable[[bytes], None] | None = None,
    ) -> VmProgram:
        channel = self.machine.channel
        program = VmProgram(channel, command, keep_stdin=keep_stdin, on_reply=on_reply)
        self._programs[program.number] = program
        try:
            answer = await channel.ask(
                "exec",
                program.number,
                argv=command.argv,
                env=command.env,
                cwd=command.cwd,
                reply=REPLY_FD if program.replies else "",
            )
        except OSError as error:
            self._forget(program)
            raise SandboxError(
                f"cannot start {command.argv[0]!r} in {command.cwd}: {error}; check that the "
                "program and the folder are in the image, or are shown",
                definite=True,
            ) from None
        except BaseException:
            self._forget(program)
            program.kill()
            raise
        self._start = self._start or answer["start"]
        program.start()
        return program

    def _forget(self, program: VmProgram) -> None:
        self._programs.pop(program.number, None)
        program.forget()

    async def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        at = 0
        while True:
            piece = base64.b64encode(data[at : at + PIECE]).decode()
            await self._file("put", path, at=at, mode=mode, data=piece)
            at += PIECE
            if at >= len(data):
                return

    async def get(self, path: str, most: int) -> bytes:
        found = bytearray()
        while len(found) < most:
            want = min(PIECE, most - len(found))
            answer = await self._file("get", path, at=len(found), most=want)
            piece = base64.b64decode(answer["data"])
            found += piece
            if len(piece) < want:
                break
        return bytes(found[:most])

    async def _file(self, do: str, path: str, **fields: Any) -> dict[str, Any]:
        try:
            return await self.machine.channel.ask(do, path=path, **fields)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise SandboxError(f"cannot {do} {path} in the vm: {error}", definite=True) from None

    async def signal(self, number: int) -> int:
        with contextlib.suppress(SandboxError, OSError):
            answer = await self.machine.channel.ask("signal", signal=number)
            return int(answer["processes"])
        return 0

    async def stats(self) -> Usage:
        if self._ending is None:
            with contextlib.suppress(SandboxError, OSError):
                self._count(await self.machine.channel.ask("usage"))
        return self._usage()

    def _usage(self) -> Usage:
        relay = self._relay
        counted = msgspec.convert(self._last.get("usage", {}), Usage)
        return msgspec.structs.replace(
            counted,
            bytes_out=relay.bytes_out,
            bytes_in=relay.bytes_in,
            connections=relay.connections,
        )

    def _count(self, told: dict[str, Any]) -> None:
        """What the guest counted: the limits that its kernel enforced."""
        self._last = told
        usage = msgspec.convert(told["usage"], Usage)
        if usage.oom_kills:
            self._note("memory")
        if usage.processes_refused:
            self._note("processes")
        if usage.disk_full:
            self._note("disk")

    def _note(self, limit: Limit) -> None:
        if limit not in self._broke:
            self._broke.append(limit)

    def _end(self, limit: Limit) -> None:
        """A limit that ends the box."""
        self._note(limit)
        self._by = self._by or limit
        for program in self._programs.values():
            program.kill()

    def _told(self, message: dict[str, Any]) -> None:
        if message.get("broke") == "cpu":
            self._note("cpu")
            self._by = self._by or "cpu"
        program = self._programs.pop(message.get("exit", 0), None)
        if program is None:
            return
        self._strays += message["strays"]
        if message["oom_kills"]:
            self._note("memory")
            self._by = self._by or "memory"
        if program.timed_out:
            self._note("wall")
            self._by = self._by or "wall"
        program.told(message)

    def _lose(self, why: str) -> None:
        self._lost = why
        self._by = self._by or "lost"
        programs, self._programs = self._programs, {}
        for program in programs.values():
            program.lose(why)

    async def kill(self) -> Ended:
        if self._ending is None:
            self._ending = asyncio.create_task(self._finish())
        return await asyncio.shield(self._ending)

    async def _finish(self) -> Ended:
        if self._programs:
            self._by = self._by or "kill"
        try:
            async with asyncio.timeout(TIMEOUT_S):
                told = await self.machine.channel.ask("end")
                if self._by == "kill":
                    self._strays += max(0, told["killed"] - len(self._programs))
                while self._programs:
                    await asyncio.wait([p.ended for p in self._programs.values()])
                self._count(await self.machine.channel.ask("usage"))
        except (SandboxError, OSError, TimeoutError) as error:
            self._lose(self._lost or str(error) or "it no longer answers")
            self._by = self._by if self._by in self._broke else "lost"
        self._relay.close()
        return Ended(
            level="vm",
            held="enforced",
            emulated=self.emulated,
            broke=tuple(self._broke),
            by=self._by,
            usage=self._usage(),
            refused=_refused(self._last.get("tried", [])),
            strays=self._strays,
            start=self._start or "exec",
            start_ms=self.start_ms,
        )

    async def changes(self, *, keep: Keep | None = None) -> Changes:
        if self._ending is None or not self._ending.done():
            raise SandboxError(f"the box of {self.settings.trial} still runs: kill it first")
        if self._lost:
            return Changes(complete=False, error=f"its vm was lost: {self._lost}")
        tar = os.fdopen(nameless(self.storage, 0), "w+b")
        with tar:
            try:
                await self._fetch(tar)
            except (SandboxError, OSError, TimeoutError) as error:
                return Changes(complete=False, error=f"its files could not be read: {error}")
            return await asyncio.to_thread(self._layer.changes, tar, keep)

    async def _fetch(self, tar: BinaryIO) -> None:
        """The tar of what was written, into a file."""
        channel = self.machine.channel
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        number = channel.number()

        def take(data: bytes) -> None:
            tar.write(data)

        def end() -> None:
            if not ended.done():
                ended.set_result(None)

        channel.pull(number, take, end)
        async with asyncio.timeout(COLLECT_S):
            await channel.ask("changes", number, most=COLLECTED)
            await ended
        channel.streams.pop(number, None)
        if channel.ended:
            raise SandboxError(self._lost or "the guest has ended")
        if tar.tell() == 0:
            raise SandboxError(f"the trial left more than {COLLECTED:,} bytes")
        tar.flush()
        tar.seek(0)

    async def close(self) -> None:
        if self.machine.closed:
            return
        await self.kill()
        await self.machine.close()
        self.on_close(self)


def _refused(tried: list[tuple[str, int]]) -> tuple[Refused, ...]:
    """From the first packets that the guest saw go elsewhere; an empty one stands for many."""
    found = []
    for packet, times in sorted(tried, key=lambda each: -each[1]):
        what, where = ("connect", OTHERS)
        with contextlib.suppress(ValueError, IndexError, OSError):
            what, where = destination(bytes.fromhex(packet))
        found.append(Refused(what, where, times))
    return tuple(found)
