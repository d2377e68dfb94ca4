"""What a contained box is made of on the host, from its folder to its group; made and left here.

    HOME/<box>/control/    shown to the box: `inside.py`, `keeper.py`, its settings, the sockets
               passwd, group
               stage.json
               volume/     what it writes (`layers.py`)

Rules:
1. The folder is the runner's alone; what the box is shown of it is mounted.
2. Everything here blocks, and is quick.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import socket
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from proofrig.errors import SandboxError
from proofrig.sandboxes import leftovers, mounts, seccomp, shield, volumes
from proofrig.sandboxes.calls import Calls
from proofrig.sandboxes.cgroups import Group
from proofrig.sandboxes.changes import merge, scan
from proofrig.sandboxes.collecting import bring_back
from proofrig.sandboxes.keeping import KeptProgram
from proofrig.sandboxes.netns import Planted
from proofrig.sandboxes.sandbox import (
    REPLY_FD,
    BoxSettings,
    Changes,
    Exit,
    Image,
    Keep,
    Limits,
)
from proofrig.sandboxes.scene import Engine, Layout, for_stage

HERE = Path(__file__).parent
SEND_S = 60.0  # until the first process has sent what tells of its calls
OF_ENGINES = {  # what they make in a box's files
    *("/run", "/run/.containerenv", "/etc", "/etc/hostname", "/etc/mtab"),
    *("/dev", "/proc", "/sys"),
}


@dataclass
class Parts:
    """One box's. ports: unix sockets that stand for the rig's ports. before_ms: processor time that
    the group had used when the box was ready."""

    storage: Path
    control: socket.socket
    ports: dict[int, socket.socket]
    bare: bool
    group: Group | None = None
    stage: KeptProgram | None = None
    end: asyncio.Task[Exit | None] | None = None  # of the stage
    told: bytearray = field(default_factory=bytearray)
    dead: asyncio.Event = field(default_factory=asyncio.Event)
    planted: Planted | None = None
    calls: Calls | None = None  # that the box is refused
    before_ms: int = 0

    def hear(self, data: bytes) -> None:
        """Of the stage: its first process's pid, and that all else is dead."""
        self.told += data
        if self.told.endswith(b"dead"):
            self.dead.set()

    @property
    def volume(self) -> Path:
        """Where what the box wrote is read."""
        if self.bare:
            return self.storage / "volume"
        return Path(f"/proc/{int(self.told.split()[0])}/cwd/volume")

    def collect(self, settings: BoxSettings, image: Image, keep: Keep | None) -> Changes:
        """What the box wrote, told; and that of its world brought home."""
        if not self.dead.is_set():
            return Changes(complete=False, error="the box was lost with what it had written")
        several, world = [], settings.world
        upper = self.volume / "world" / "upper"
        if not self.bare:
            found = scan(self.volume / "root" / "upper", Path(image.root), "/", keep=keep)
            entries = [e for e in found.entries if e.change != "added" or e.path not in OF_ENGINES]
            several.append(msgspec.structs.replace(found, entries=tuple(entries)))
        if world:
            found = scan(upper, Path(world), world, keep=keep)
            within = world if self.bare else ""
            several.append(msgspec.structs.replace(found, within=within))
        changes = merge(several)
        if world and not changes.error:
            return msgspec.structs.replace(changes, error=bring_back(upper, Path(world)))
        return changes

    def leave(self) -> None:
        """Nothing of it is left. The stage has ended. Raises SandboxError."""
        for each in (self.control, *self.ports.values()):
            each.close()
        if self.planted is not None:
            self.planted.close()
        try:
            if self.group is not None:
                self.group.kill()
                self.group.remove()
        finally:
            leftovers.remove(self.storage)


def make(engine: Engine, layout: Layout) -> Parts:
    """A box's folder. Raises OSError, SandboxError or Unavailable, with nothing left."""
    storage = Path(layout.storage)
    storage.mkdir(mode=0o700)
    sockets: dict[int, socket.socket] = {}
    try:
        scene = engine.scene(layout)
        control = storage / "control"
        control.mkdir()
        control.chmod(0o755)  # whatever the umask is
        for script in ("inside.py", "keeper.py", "seccomp_helper.py"):
            shutil.copyfile(HERE / script, control / script)
        ports = () if engine.plants else layout.settings.ports
        _write_settings(
            control / "settings.json", ports, layout.settings.limits, watched=engine.plants
        )
        _write_users(layout)
        size, room = layout.settings.limits.disk_bytes, None
        if size is not None and not scene.bare:
            room = volumes.room(size, storage.parent, loop=volumes.loops())
        (storage / "stage.json").write_bytes(for_stage(layout, scene, room, REPLY_FD))
        if scene.bare:
            for folder in ("upper", "work"):
                (storage / "volume" / "world" / folder).mkdir(parents=True)
            if layout.as_root:
                given = [shown.path for shown in layout.settings.shown if shown.writable]
                for path in (f"{storage}/volume/world/upper", layout.settings.world, *given):
                    if path:
                        mounts.give(path, layout.uid)
        for port in ports:
            sockets[port] = _listener(control / f"port-{port}")
        return Parts(storage, _listener(control / "control"), sockets, scene.bare)
    except BaseException:
        for each in sockets.values():
            each.close()
        leftovers.remove(storage)
        raise


def _write_settings(path: Path, ports: tuple[int, ...], limits: Limits, *, watched: bool) -> None:
    """What `inside.py` is told. watched: calls that are refused are seen."""
    programs = [seccomp.program(watched=watched), shield.program()]
    told = {
        "ports": ports,
        "open_files": limits.open_files,
        "filters": [base64.b64encode(program).decode() for program in programs],
        "watched": base64.b64encode(seccomp.watched_program()).decode() if watched else "",
    }
    path.write_text(json.dumps(told))


def _write_users(layout: Layout) -> None:
    """The image's users and groups, and the box's."""
    uid = layout.uid
    for name, line in (("passwd", f"box:x:{uid}:{uid}::/tmp:/bin/sh"), ("group", f"box:x:{uid}:")):
        known = Path(layout.image.root, "etc", name)
        lines = known.read_text().splitlines() if known.is_file() else []
        if not any(each.split(":")[2:3] == [str(uid)] for each in lines):
            lines.append(line)
        path = Path(layout.storage, name)
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o644)


def of_group(limits: Limits, *, whole: bool) -> Limits:
    """A group's limits, for those of a box. An engine that counts needs threads of its own, and
    several for each process of the box."""
    if whole and limits.processes is not None:
        return msgspec.structs.replace(limits, processes=64 + 4 * limits.processes)
    return limits


def _listener(path: Path) -> socket.socket:
    """A unix socket that the box may connect to. A path may be longer than its address can be."""
    made = socket.socket(socket.AF_UNIX)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        made.bind(f"/proc/self/fd/{folder}/{path.name}")
        path.chmod(0o777)
        made.listen(128)
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    finally:
        os.close(folder)
    return made


async def watched(connection: socket.socket) -> Calls:
    """The calls that the box is refused. Its first process, which is ours, sends them first. Raises
    SandboxError."""
    connection.settimeout(SEND_S)
    _, fds, _, _ = await asyncio.to_thread(socket.recv_fds, connection, 1, 1)
    connection.setblocking(False)
    if not fds:
        raise SandboxError("no box was made: its first process ended at once")
    return Calls(fds[0])


async def ended(program: KeptProgram) -> Exit | None:
    """How a stage ended; None when it was lost with its keeper."""
    with contextlib.suppress(SandboxError):
        return await program.wait()
    return None


def last_words(text: bytes) -> str:
    """The end of what a program said, on one line."""
    return " ".join(text.decode(errors="replace").split())[-600:]
