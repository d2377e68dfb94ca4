"""The `process` level: commands run as processes of this host. Limits are advisory.

Rules:
1. What a program does to files it does to the host's: the world is worked on where it lies, and
   `changes` compares what lies there with what lay there.
2. What the processes use is sampled; a limit that is seen to be passed ends the box, but what
   happens between two samples is not seen.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from proofrig.errors import SandboxError
from proofrig.sandboxes.changes import Before, compare
from proofrig.sandboxes.keeping import (
    FILES,
    Keeping,
    KeptProgram,
    allow_many_files,
    halt,
    send,
    sweep,
)
from proofrig.sandboxes.sampling import EVERY_S, Sampler
from proofrig.sandboxes.sandbox import (
    BoxSettings,
    Changes,
    Command,
    Ended,
    Exit,
    Held,
    Image,
    Keep,
    Level,
    Limit,
    Limits,
    Unavailable,
    Usage,
)

__all__ = ["FILES", "ProcessSandbox", "allow_many_files", "halt", "sweep"]


class ProcessBox:
    """The programs of one trial."""

    def __init__(self, settings: BoxSettings, keeping: Keeping) -> None:
        self.settings = settings
        self._keeping = keeping
        self._programs: list[KeptProgram] = []
        self._sampler = Sampler(
            self._leaders, settings.marker, files=settings.limits.open_files is not None
        )
        self._watch: asyncio.Task[None] | None = None
        self._before: Before | None = None
        self._broke: tuple[Limit, ...] = ()
        self._ended: Ended | None = None

    async def open(self) -> None:
        """Look at the world as it is."""
        if self.settings.world:
            try:
                self._before = await asyncio.to_thread(Before, Path(self.settings.world))
            except OSError as error:
                raise SandboxError(f"cannot read the world: {error}") from None

    async def exec(
        self,
        command: Command,
        *,
        keep_stdin: bool = False,
        on_reply: Callable[[bytes], None] | None = None,
    ) -> KeptProgram:
        program = await self._keeping.launch(command, keep_stdin=keep_stdin, on_reply=on_reply)
        self._programs.append(program)
        if self._watch is None:
            self._sampler.start()
            self._watch = asyncio.create_task(self._watch_over(self.settings.limits))
        return program

    async def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        await asyncio.to_thread(_put, Path(path), data, mode)

    async def get(self, path: str, most: int) -> bytes:
        return await asyncio.to_thread(_get, path, most)

    async def signal(self, number: int) -> int:
        markers = {self.settings.marker, *(program.command.marker for program in self._running())}
        return await asyncio.to_thread(send, number, *markers)

    async def stats(self) -> Usage:
        return self._sampler.usage()

    async def kill(self) -> Ended:
        if self._ended is None:
            running = self._running()
            await self._end(running)
            if self._watch is not None:
                self._watch.cancel()
                await self._sampler.close()
            exits = [program.exit for program in self._programs if program.exit is not None]
            self._ended = Ended(
                level="process",
                held="advisory",
                broke=self._broke,
                by=self._broke[0] if self._broke else "kill" if running else "",
                usage=_used(self._sampler.usage(), exits),
                strays=sum(exit.strays for exit in exits),
            )
        return self._ended

    async def changes(self, *, keep: Keep | None = None) -> Changes:
        world, before = self.settings.world, self._before
        if before is None:
            return Changes(within=world)
        self._before = None  # serves once
        return await asyncio.to_thread(compare, before, Path(world), world, keep=keep)

    async def close(self) -> None:
        await self.kill()

    def _leaders(self) -> list[int]:
        return [program.pid for program in self._running()]

    def _running(self) -> list[KeptProgram]:
        return [program for program in self._programs if not program.ended.done()]

    async def _end(self, running: list[KeptProgram]) -> None:
        for program in running:
            program.kill()
        await asyncio.gather(*(program.wait() for program in running), return_exceptions=True)

    async def _watch_over(self, limits: Limits) -> None:
        """End what is seen to use more than it may."""
        while limits != Limits() and not self._broke:
            await asyncio.sleep(EVERY_S)
            self._broke = self._sampler.over(limits)
            if self._broke:
                for program in self._running():
                    program.kill()


class ProcessSandbox:
    """Runs commands as processes of this host, through a keeper that starts with the first."""

    level: Level = "process"
    held: Held = "advisory"
    emulated = False

    def __init__(self) -> None:
        self._keeping = Keeping()

    async def prepare(self, image: Image) -> str:
        if image.name != "host":
            raise Unavailable(
                f"isolation process runs on this machine's own files, and not on {image.name!r}: "
                "ask for `--isolation=namespace` or a stronger level"
            )
        return "host"

    async def start(self, settings: BoxSettings) -> ProcessBox:
        box = ProcessBox(settings, self._keeping)
        await box.open()
        return box

    async def launch(
        self,
        command: Command,
        *,
        keep_stdin: bool = False,
        on_reply: Callable[[bytes], None] | None = None,
    ) -> KeptProgram:
        """A command outside of any box; see `sandbox.Box.exec`."""
        return await self._keeping.launch(command, keep_stdin=keep_stdin, on_reply=on_reply)

    async def run(self, command: Command) -> Exit:
        """A command outside of any box, to its end."""
        return await (await self.launch(command)).wait()

    async def close(self) -> None:
        await self._keeping.close()


def _used(sampled: Usage, exits: list[Exit]) -> Usage:
    """What was sampled, and what the system said of those that ended, where that is more."""
    memory = max((exit.max_rss_bytes for exit in exits), default=0)
    cpu_ms = sum(exit.cpu_ms for exit in exits)
    return msgspec.structs.replace(
        sampled,
        memory_anon_peak_bytes=max(sampled.memory_anon_peak_bytes or 0, memory),
        cpu_ms=max(sampled.cpu_ms or 0, cpu_ms),
    )


def _put(path: Path, data: bytes, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(mode)
    except OSError as error:
        raise SandboxError(f"cannot write {path}: {error}") from None


def _get(path: str, most: int) -> bytes:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with open(os.open(path, flags), "rb") as file:
            return file.read(most)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SandboxError(f"cannot read {path}: {error}") from None
