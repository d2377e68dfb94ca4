"""One box of the `namespace` level, as the runner holds it.

Rules:
1. A command begins when its processes are in the box's group, its network is planted and its output
   is read; not before. What makes it a box (bwrap) is in the group, too: some 10 ms and 1 MB of it.
2. While commands run the box is looked at every LOOK_S: processor time, anonymous memory, and room
   on its disk. What passed a limit in between and went back is not seen, but for what the kernel
   counts itself.
3. Too much processor time, or too many bytes sent, end the box; too much of anything else is denied
   to it by the kernel, and told.
4. What was refused is gathered when a command ends, since its network ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from proofrig.errors import SandboxError
from proofrig.sandboxes import bubblewrap, leftovers, rooted
from proofrig.sandboxes.box_files import BoxFiles, path_of
from proofrig.sandboxes.bubblewrap import BoxLink
from proofrig.sandboxes.calls import Calls
from proofrig.sandboxes.cgroups import Group
from proofrig.sandboxes.changes import merge, scan
from proofrig.sandboxes.collecting import bring_back
from proofrig.sandboxes.keeping import FILES, KeptProgram, send
from proofrig.sandboxes.netns import Planted, Watch
from proofrig.sandboxes.packages import packages_in
from proofrig.sandboxes.pipes import Pipes
from proofrig.sandboxes.relay import Relay
from proofrig.sandboxes.sandbox import (
    BoxSettings,
    Changes,
    Command,
    Ended,
    Keep,
    Limit,
    Refused,
    Usage,
)

LOOK_S = 0.05
OWN_PROCESSES = 2  # bwrap, and the first of the box's PID namespace, which is bwrap's too
OWN_NAMESPACES = 3  # that bwrap makes: with `--disable-userns` one more, and a try


@dataclass(eq=False)
class Live:
    """A running program, with its part of the network."""

    program: KeptProgram
    calls: Calls
    watch: Watch
    planted: Planted
    done: asyncio.Event = field(default_factory=asyncio.Event)


class NamespaceBox:
    """See `sandbox.Box`. group: None where the machine has no cgroups for us and no limit needs
    one."""

    def __init__(
        self, settings: BoxSettings, files: BoxFiles, link: BoxLink, group: Group | None
    ) -> None:
        self.settings = settings
        self.start_ms = 0
        self.on_close: Callable[[], None] = lambda: None
        self._files = files
        self._link = link
        self._group = group
        self._relay = Relay(settings.limits.egress_bytes, lambda: self._end("egress"))
        self._live: set[Live] = set()
        self._refused: Counter[tuple[str, str]] = Counter()
        self._broke: list[Limit] = []
        self._by = ""
        self._strays = 0
        self._disk_full = False
        self._ending: asyncio.Task[Ended] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def exec(
        self,
        command: Command,
        *,
        keep_stdin: bool = False,
        on_reply: Callable[[bytes], None] | None = None,
    ) -> KeptProgram:
        if self._ending is not None or self._by:
            raise SandboxError(f"the box of {self.settings.trial} has ended", definite=True)
        self._check(command)
        try:
            pipes = Pipes.open(command, keep_stdin=keep_stdin, on_reply=on_reply)
        except OSError as error:
            raise SandboxError(
                f"no pipes for {command.argv[0]!r}: {error}; lower the concurrency or raise the "
                "limit of open files (ulimit -n)",
                definite=True,
            ) from None
        program = KeptProgram(next(self._link.keys), command, self._link, pipes)
        try:
            live = await self._begin(program, reply=pipes.reply is not None)
        except BaseException as error:
            program.kill()
            if program.key in self._link.boxes:  # no command ends after its box
                with contextlib.suppress(SandboxError):
                    await asyncio.shield(program.ended)
            program.close()
            if isinstance(error, OSError):
                raise SandboxError(f"cannot start {command.argv[0]!r}: {error}") from None
            raise
        self._live.add(live)
        self._spawn(self._see_off(live))
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look())
        if command.deadline_s is not None:
            loop = asyncio.get_running_loop()
            program.timer = loop.call_later(command.deadline_s, program.expire)
        return program

    def _check(self, command: Command) -> None:
        """Raises SandboxError when the command cannot be started."""
        home = command.env.get("HOME", "")
        if os.path.isabs(home):
            with contextlib.suppress(OSError):  # a home in a place that it may not write to
                rooted.make_folders(self._files.root, home, self._files.owner, 0o700)
        if reason := bubblewrap.missing(self._files.root, command):
            raise SandboxError(
                f"cannot start {command.argv[0]!r} in {command.cwd}: {reason}; check that the "
                "program and the directory exist, and that the box is shown them",
                definite=True,
            )

    async def _begin(self, program: KeptProgram, *, reply: bool) -> Live:
        files, ports = self._files, self.settings.ports
        most = self.settings.limits.open_files
        message = {
            "box": files.name,
            "options": bubblewrap.options(program.command, files, reply=reply),
            "argv": program.command.argv,
            "ports": list(ports),
            "files": FILES if most is None else (most, most),
            "group": self._group.doors if self._group is not None else [],
            "bwrap": files.bwrap,
            "filter": files.filter,
            "watched": files.watched,
        }
        beginning = self._link.begin(program, message)
        with beginning.socket, contextlib.ExitStack() as undo:
            fd, network = await beginning.made()
            calls = Calls(fd, OWN_NAMESPACES)
            undo.callback(calls.close)
            planted = Planted.of(network, ports)
            undo.callback(planted.close)
            for port, listener in planted.listeners.items():
                self._relay.serve(listener, port)
                undo.callback(self._relay.forget, listener)
            watch = Watch(planted.watch)
            undo.callback(watch.close)
            program.pid = await beginning.pid()
            undo.pop_all()
        return Live(program, calls, watch, planted)

    async def _see_off(self, live: Live) -> None:
        """Wait for the end of a program, and gather what its network saw."""
        lost = False
        try:
            await asyncio.shield(live.program.ended)
        except SandboxError:
            lost = self._link.lost
        report = live.program.ended.exception() or live.program.ended.result()
        if isinstance(report, dict):
            self._strays += report["strays"]
            if report["status"] == -9 and not self._by and self._group is not None:
                stopped = live.program.stopped or live.program.timed_out
                if not stopped and self._group.read().oom_kills:
                    self._by = "memory"
        if live.program.timed_out:
            self._note("wall")
            self._by = self._by or "wall"
        if lost:
            self._by = self._by or "lost"
        for refused in (*live.watch.refused(), *live.calls.refused()):
            self._refused[refused.what, refused.where] += refused.times
        if (fd := live.watch.detach()) >= 0:
            self._link.let_go(fd)
        live.calls.close()
        for listener in live.planted.listeners.values():
            self._relay.forget(listener)
        self._note_kernels()
        self._live.discard(live)
        live.done.set()

    def _note_kernels(self) -> None:
        """The limits whose breaking the kernel counts."""
        for limit in self._group.broke() if self._group is not None else ():
            self._note(limit)
        if self._files.full():
            self._disk_full = True
            self._note("disk")

    async def _look(self) -> None:
        """Rule 2."""
        limit = self.settings.limits.cpu_ms
        while self._live:
            await asyncio.sleep(LOOK_S)
            if self._group is not None:
                self._group.sample()
                if limit is not None and (self._group.read().cpu_ms or 0) > limit:
                    self._end("cpu")
            if not self._disk_full and self._files.full():
                self._disk_full = True
                self._note("disk")
        self._looking = None

    def _note(self, limit: Limit) -> None:
        if limit not in self._broke:
            self._broke.append(limit)

    def _end(self, limit: Limit) -> None:
        """A limit that ends the box."""
        self._note(limit)
        self._by = self._by or limit
        for live in self._live:
            live.program.kill()

    async def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        files = self._files
        await asyncio.to_thread(rooted.put, files.root, path, data, mode, files.owner)

    async def get(self, path: str, most: int) -> bytes:
        return await asyncio.to_thread(rooted.get, self._files.root, path, most)

    async def signal(self, number: int) -> int:
        markers = {self.settings.marker, *(live.program.command.marker for live in self._live)}
        return await asyncio.to_thread(send, number, *markers)

    async def stats(self) -> Usage:
        return await asyncio.to_thread(self._usage)

    def _usage(self) -> Usage:
        usage = self._group.read() if self._group is not None else Usage()
        relay, peak = self._relay, usage.processes_peak
        return msgspec.structs.replace(
            usage,
            processes_peak=None if peak is None else max(0, peak - OWN_PROCESSES),
            bytes_out=relay.bytes_out,
            bytes_in=relay.bytes_in,
            connections=relay.connections,
            disk_bytes=self._files.used_bytes(),
            disk_full=self._disk_full,
        )

    async def kill(self) -> Ended:
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._finish())
        return await asyncio.shield(self._ending)

    async def _finish(self) -> Ended:
        if self._live:
            self._by = self._by or "kill"
        for live in list(self._live):
            live.program.kill()
        while self._live:
            await next(iter(self._live)).done.wait()
        self._relay.close()
        if self._looking is not None:
            self._looking.cancel()
        if self._group is not None:
            self._strays += await asyncio.to_thread(self._group.kill)
        limited = any(msgspec.structs.astuple(self.settings.limits))
        return Ended(
            level="namespace",
            held="enforced" if self._group is not None or limited else "none",
            broke=tuple(self._broke),
            by=self._by,
            usage=await asyncio.to_thread(self._usage),
            refused=tuple(Refused(*what, times) for what, times in self._refused.most_common()),
            strays=self._strays,
            start_ms=self.start_ms,
        )

    async def changes(self, *, keep: Keep | None = None) -> Changes:
        if self._ending is None or not self._ending.done():
            raise SandboxError(f"the box of {self.settings.trial} still runs: kill it first")
        return await asyncio.to_thread(self._changes, keep)

    def _changes(self, keep: Keep | None) -> Changes:
        files, world = self._files, self.settings.world
        found = [scan(path_of(files.upper), files.lower, "/", keep=keep)]
        if world:
            found.append(scan(path_of(files.world), Path(world), world, keep=keep))
        entries = [one for each in found for one in each.entries]
        packages = packages_in(entries, files.read, files.read_before)
        changes = msgspec.structs.replace(merge(found), packages=packages)
        error = bring_back(path_of(files.world), Path(world)) if world else ""
        error = "; ".join(text for text in (changes.error, error) if text)
        return msgspec.structs.replace(changes, error=error)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self.kill()
        self._files.close()
        self._link.forget(self._files.name)
        await asyncio.to_thread(self._remove)
        self.on_close()

    def _remove(self) -> None:
        if self._group is not None:
            self._group.remove()
        leftovers.remove(self._files.at)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._tasks.discard)
