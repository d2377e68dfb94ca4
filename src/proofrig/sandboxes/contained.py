"""What the levels `container` and `gvisor` share: a box put together by `stage.py`, whose first
process is a keeper inside it (`inside.py`).

    keeper ── stage ── engine ── inside.py ── commands
                │                    │
             volume           control socket, one for the box

Rules:
1. A box's files are two overlays, over the image and over the trial's world, and what it is shown.
2. As root, commands run as `BOX_UID`, to which files of root are mapped. Otherwise they run as the
   runner's own user, in a user namespace that has no other.
3. The runner ends a box by its stage, which ends everything in its PID namespace at once. When the
   runner dies, its keeper and so the stage die.
4. Of a box that was killed the stage stays until `close`: what was written is read through it.
5. Out of memory, out of processor time, out of disk or past its egress, a box ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from proofrig.errors import SandboxError
from proofrig.sandboxes import cgroups, leftovers, owners, parts
from proofrig.sandboxes.inner import Inner
from proofrig.sandboxes.keeping import Keeping, KeptProgram
from proofrig.sandboxes.netns import Watch, plant
from proofrig.sandboxes.parts import Parts, last_words
from proofrig.sandboxes.relay import Relay
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
    Unavailable,
    Usage,
)
from proofrig.sandboxes.scene import INSIDE, Engine, Layout

STAGE = str(Path(__file__).with_name("stage.py"))
START_S = 60.0  # until the first process has called, and until the last has ended
SAMPLE_S = 0.1
FULL = 64 << 10  # bytes; a disk with less room has refused, or is about to
MISSING = 44  # exit code of `inside.py get`


class ContainedBox:
    """A box of one of these levels; see `sandbox.Box`."""

    def __init__(
        self, settings: BoxSettings, sandbox: ContainedSandbox, made: Parts, inner: socket.socket
    ) -> None:
        self.settings = settings
        self.start_ms = 0
        self._sandbox = sandbox
        self._parts = made
        self._inner = Inner(inner, self._lose)
        self._relay = Relay(settings.limits.egress_bytes, lambda: self._stop("egress"))
        watch = Watch(made.planted.watch) if made.planted is not None else None
        self._seen = [each for each in (watch, made.calls) if each is not None]
        listeners = made.planted.listeners if made.planted is not None else made.ports
        for port, listener in listeners.items():
            self._relay.serve(listener, port)
        self._broke: list[Limit] = []
        self._by = ""
        self._disk: tuple[int | None, bool] = (None, False)
        self._ending: asyncio.Task[Ended] | None = None
        self._scanning: asyncio.Task[Changes] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._sampling = asyncio.create_task(self._sample())

    async def exec(
        self,
        command: Command,
        *,
        keep_stdin: bool = False,
        on_reply: Callable[[bytes], None] | None = None,
    ) -> KeptProgram:
        return await self._inner.launch(command, keep_stdin=keep_stdin, on_reply=on_reply)

    async def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        exit = await self._inside("put", path, f"{mode:o}", stdin=data)
        if exit.code != 0:
            raise SandboxError(f"cannot write {path} in the box: {last_words(exit.stderr)}")

    async def get(self, path: str, most: int) -> bytes:
        exit = await self._inside("get", path, str(most), stdout_cap=most)
        if exit.code == MISSING:
            raise FileNotFoundError(path)
        if exit.code != 0:
            raise SandboxError(f"{path} in the box is no regular file that can be read")
        return exit.stdout

    async def _inside(self, *words: str, stdin: bytes = b"", stdout_cap: int = 0) -> Exit:
        argv = [self._sandbox.image.interpreter, "-I", "-S", "-B", f"{INSIDE}/inside.py", *words]
        marker = self.settings.marker
        command = Command(argv, {}, "/", stdin=stdin, stdout_cap=stdout_cap, marker=marker)
        return await (await self.exec(command)).wait()

    async def signal(self, number: int) -> int:
        return await self._inner.link.signal(number)

    async def stats(self) -> Usage:
        return await asyncio.to_thread(self._usage)

    def _usage(self) -> Usage:
        group, relay = self._parts.group, self._relay
        told = group.read() if group is not None else Usage()
        return msgspec.structs.replace(
            told,
            cpu_ms=told.cpu_ms - self._parts.before_ms if told.cpu_ms is not None else None,
            processes_peak=None if self._sandbox.engine.whole else told.processes_peak,
            bytes_out=relay.bytes_out,
            bytes_in=relay.bytes_in,
            connections=relay.connections,
            disk_bytes=self._disk[0],
            disk_full=self._disk[1],
        )

    async def _sample(self) -> None:
        """Look at the counters, and end a box that has had enough."""
        while self._ending is None:
            await asyncio.sleep(SAMPLE_S)
            limit = await asyncio.to_thread(self._look)
            if limit is not None:
                self._stop(limit)

    def _look(self) -> Limit | None:
        """The limit that the box has broken, of those that end it."""
        limits = self.settings.limits
        if limits.disk_bytes is not None and not self._parts.bare:
            self._look_at_disk()
        usage = self._usage()
        if usage.oom_kills:
            return "memory"
        if limits.cpu_ms is not None and (usage.cpu_ms or 0) >= limits.cpu_ms:
            return "cpu"
        return "disk" if usage.disk_full else None

    def _look_at_disk(self) -> None:
        with contextlib.suppress(OSError):
            found = os.statvfs(self._parts.volume)
            full = found.f_bavail * found.f_frsize < FULL or found.f_favail == 0
            used = (found.f_blocks - found.f_bfree) * found.f_frsize
            self._disk = (used, self._disk[1] or full)

    def _stop(self, limit: Limit) -> None:
        """A limit was reached: the box ends."""
        self._broke.append(limit)
        self._finish(limit)

    def _lose(self) -> None:
        """The first process has gone by itself."""
        self._finish("lost")

    def _finish(self, by: str) -> asyncio.Task[Ended]:
        if self._ending is None:
            self._by = by
            self._ending = asyncio.create_task(self._end())
        return self._ending

    async def kill(self) -> Ended:
        running = any(not program.ended.done() for program in self._inner.programs)
        return await asyncio.shield(self._finish("kill" if running else ""))

    async def _end(self) -> Ended:
        made = self._parts
        met = await asyncio.to_thread(self._look)
        await self._empty()
        refused = tuple(one for seen in self._seen for one in seen.refused())
        self._relay.close()
        for seen in self._seen:
            seen.close()
        usage = await self.stats()
        counted = made.group.broke() if made.group is not None else ()
        if self._by in ("", "kill", "lost") and "memory" in counted:
            self._by = "memory"
        elif self._by == "lost" and counted:
            self._by = counted[0]  # the engine needed what was refused
        self._inner.link.end(lost=self._by == "lost")
        broke = [*self._broke, *([met] if met else []), *counted]
        if usage.disk_full:
            broke.append("disk")
        return Ended(
            level=self._sandbox.level,
            held=self._sandbox.held,
            broke=tuple(dict.fromkeys(broke)),
            by=self._by,
            usage=usage,
            refused=refused,
            strays=self._inner.strays(),
            start_ms=self.start_ms,
        )

    async def _empty(self) -> None:
        """Nothing lives in the box."""
        made = self._parts
        assert made.stage is not None and made.end is not None
        made.stage.send(b"k")
        dead = asyncio.ensure_future(made.dead.wait())
        first = asyncio.FIRST_COMPLETED
        await asyncio.wait([dead, made.end], timeout=START_S, return_when=first)
        dead.cancel()
        if not made.dead.is_set():
            made.stage.kill()
            await asyncio.wait([made.end])
            if made.group is not None:
                await asyncio.to_thread(made.group.kill)

    async def changes(self, *, keep: Keep | None = None) -> Changes:
        if self._scanning is None:
            await self.kill()
            image = self._sandbox.image
            collecting = asyncio.to_thread(self._parts.collect, self.settings, image, keep)
            self._scanning = asyncio.create_task(collecting)
        return await asyncio.shield(self._scanning)

    async def close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await self.kill()
        self._sampling.cancel()
        await asyncio.wait([self._sampling])
        self._sandbox.boxes.discard(self)
        await self._sandbox.drop(self._parts)


class ContainedSandbox:
    """Makes boxes with an engine; see `sandbox.Sandbox`."""

    emulated = False

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.level: Level = engine.level
        self.held: Held = "none"
        self.image = Image()
        self.key = ""
        self.boxes: set[ContainedBox] = set()
        self._grouped = False
        self._keeping = Keeping()
        self._numbers = itertools.count(1)

    async def prepare(self, image: Image) -> str:
        if self.key and image == self.image:
            return self.key
        if not image.root or not image.interpreter:
            raise Unavailable(
                f"isolation {self.level} needs an image with files and a Python of its own, "
                f"and got {image.name!r}: build one with `proofrig image build`"
            )
        try:
            version = await self.engine.check(image)
            self._grouped = (await asyncio.to_thread(cgroups.probe))[0] > 0
            self.held = "enforced" if self._grouped else self.engine.held
            self.image = image
            await self._show()
        except (Unavailable, SandboxError) as error:
            raise Unavailable(f"isolation {self.level} does not work here: {error}") from None
        self.key = f"{self.level}-{image.digest}-{version}"
        return self.key

    async def _show(self) -> None:
        """That the level works, by running programs in a box. Raises SandboxError."""
        box = await self.start(BoxSettings(trial="probe", marker=f"probe-{os.urandom(8).hex()}"))
        try:
            await self._look_around(box)
        finally:
            await box.close()

    async def _look_around(self, box: ContainedBox) -> None:
        argv = [self.image.interpreter, "-c", "print('works')"]
        exit = await (await box.exec(Command(argv, {}, "/"))).wait()
        if exit.stdout != b"works\n":
            raise SandboxError(f"Python in a box gave {exit.code}: {last_words(exit.stderr)}")

    async def start(self, settings: BoxSettings) -> ContainedBox:
        began = time.monotonic()
        made = None
        try:
            made = await asyncio.to_thread(self._lay, settings)
            box = await self._raise(settings, made)
        except BaseException as error:
            if made is not None:
                await self.drop(made)
            if isinstance(error, OSError):
                raise SandboxError(f"no box for {settings.trial}: {error}") from None
            raise
        box.start_ms = round((time.monotonic() - began) * 1000)
        self.boxes.add(box)
        return box

    def _lay(self, settings: BoxSettings) -> Parts:
        """The box's parts, up to its group."""
        name = f"{owners.tag()}-{self.level}{id(self):x}-{next(self._numbers)}"
        layout = Layout(
            name=f"proofrig-{name}",
            storage=str(leftovers.home() / name),
            image=self.image,
            settings=settings,
            argv=[self.image.interpreter, "-I", "-S", "-B", f"{INSIDE}/inside.py", "serve"],
            uid=self.engine.uid(),
            as_root=os.geteuid() == 0,
        )
        made = parts.make(self.engine, layout)
        if self._grouped:
            try:
                limits = parts.of_group(settings.limits, whole=self.engine.whole)
                made.group = cgroups.Group.make(f"box-{name}", limits)
            except BaseException:
                made.leave()
                raise
        return made

    async def _raise(self, settings: BoxSettings, made: Parts) -> ContainedBox:
        """Start its stage, and in it the first process."""
        argv = [sys.executable, "-I", "-S", "-B", STAGE, str(made.storage / "stage.json")]
        own = f"box-{settings.marker}"  # whoever kills the trial's processes leaves the box its own
        env = {"PATH": os.environ.get("PATH", os.defpath), "PROOFRIG_BOX": own}
        command = Command(argv, env, "/", timeout_s=float("inf"), marker=own)
        made.stage = await self._keeping.launch(command, keep_stdin=True, on_reply=made.hear)
        made.end = asyncio.create_task(parts.ended(made.stage))
        if made.group is not None and self.engine.whole:
            made.group.add(made.stage.pid)
        made.stage.send(b"g")
        connection, pid = await self._called(made)
        try:
            if made.group is not None and not self.engine.whole:
                made.group.add(pid)
            if self.engine.plants:
                made.calls = await parts.watched(connection)
                made.planted = await asyncio.to_thread(plant, pid, settings.ports)
            if made.group is not None:
                made.before_ms = (await asyncio.to_thread(made.group.read)).cpu_ms or 0
            return ContainedBox(settings, self, made, connection)
        except BaseException:
            if made.calls is not None:
                made.calls.close()
            connection.close()
            raise

    async def _called(self, made: Parts) -> tuple[socket.socket, int]:
        """The connection of the first process, and its pid. Nobody can make a second one."""
        assert made.stage is not None and made.end is not None
        call = asyncio.ensure_future(asyncio.get_running_loop().sock_accept(made.control))
        dead = asyncio.ensure_future(made.dead.wait())
        first = asyncio.FIRST_COMPLETED
        try:
            await asyncio.wait({call, dead, made.end}, timeout=START_S, return_when=first)
            if call.done():
                connection, _ = call.result()
                made.control.close()
                raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
                return connection, struct.unpack("iII", raw)[0]
        finally:
            call.cancel()
            dead.cancel()
        made.stage.kill()
        exit = await made.end
        why = last_words(exit.stderr) if exit is not None else "its keeper was lost"
        raise SandboxError(f"no box was made: {why or f'not ready in {START_S:g} s'}")

    async def drop(self, made: Parts) -> None:
        """Leave nothing of a box."""
        if made.stage is not None:
            made.stage.kill()
        if made.end is not None:
            await asyncio.wait([made.end])
        await asyncio.to_thread(made.leave)

    async def close(self) -> None:
        await asyncio.gather(*(box.close() for box in list(self.boxes)))
        await self._keeping.close()
