"""The `namespace` level: programs of the host, or of an image, in namespaces of their own
(bubblewrap), with limits of the kernel (cgroups), as root and without.

Rules:
1. It needs bubblewrap, user namespaces and overlays in them; `prepare` shows them by running a box.
2. Limits on memory, processes and processors need cgroups. Where a box asks for one of them and
   there are none for us, it is `Unavailable`; where none was asked for, it has none, and says so.
3. What was shown to work is remembered in this process, for all of its sandboxes, in whichever
   thread: `prepare` costs nothing the second time.
4. As root, boxes run as a user of their own, to whom root's files in what they are shown are mapped
   (`layers.py`). They find themselves to be root, with no rights.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from proofrig.errors import SandboxError
from proofrig.sandboxes import cgroups, leftovers, seccomp, skeleton, volumes
from proofrig.sandboxes.box_files import BoxFiles
from proofrig.sandboxes.bubblewrap import BoxLink
from proofrig.sandboxes.cgroups import Group
from proofrig.sandboxes.namespace_box import OWN_PROCESSES, NamespaceBox
from proofrig.sandboxes.sandbox import (
    BoxSettings,
    Command,
    Held,
    Image,
    Level,
    Limits,
    Shown,
    Unavailable,
)
from proofrig.sandboxes.scene import BOX_UID

PROBE_S = 30.0
PROBE_BYTES = 8 << 20
FREE_SHARE = 2  # of the free space, what boxes get that need a disk of their own and have no limit
OTHERWISE = "or ask for another level (`--isolation=process` isolates nothing)"
_serial = itertools.count(1)  # of sandboxes and boxes: threads may each have a sandbox
_shown_to_work: dict[tuple[str, ...], Works] = {}


class Works(NamedTuple):
    """What `prepare` found out. grouped: there are cgroups for us. plain: overlays can write to
    folders of the host. loop: disks of limited size can be loop devices."""

    grouped: bool
    plain: bool
    loop: bool


class NamespaceSandbox:
    """See `sandbox.Sandbox`."""

    level: Level = "namespace"
    held: Held = "enforced"
    emulated = False

    def __init__(self) -> None:
        self._uid = BOX_UID if os.geteuid() == 0 else os.getuid()
        self._image = Image()
        self._key = ""
        self._lower = Path()
        self._programs: list[tuple[str, str]] = []  # of the host, to be mounted
        self._folder = Path()
        self._bwrap = ""
        self._filter = self._watched = ""
        self._works = Works(grouped=False, plain=True, loop=volumes.loops())
        self._rooms: dict[int, volumes.Room] = {}
        self._link: BoxLink | None = None
        self._boxes: set[NamespaceBox] = set()

    async def prepare(self, image: Image) -> str:
        key = image.digest or image.name
        if key == self._key:
            return key
        self._bwrap = shutil.which("bwrap") or ""
        if not self._bwrap:
            raise Unavailable(
                "isolation namespace needs the program bwrap, which is not on PATH: install the "
                f"package bubblewrap, {OTHERWISE}"
            )
        self._filter = seccomp.program(watched=True).hex()
        self._watched = seccomp.watched_program().hex()
        if not self._folder.name:
            self._folder = leftovers.home() / f"namespace-{next(_serial)}"
            self._folder.mkdir()
            self._folder.chmod(0o711)
        self._image = image
        if image.name == "host":
            made = await asyncio.to_thread(skeleton.made, leftovers.home(), _home(), self._uid)
            self._lower, self._programs = made
        else:
            self._lower, self._programs = Path(image.root), []
            if not self._lower.is_dir():
                raise Unavailable(
                    f"isolation namespace needs the files of the image {image.name!r} as a folder, "
                    f"and there is none at {image.root!r}: build it with `proofrig image build`"
                )
        place = str(self._folder.parent)
        known = (key, image.root, self._bwrap, place, str(self._uid))
        if known not in _shown_to_work:
            await self._probe()
            _shown_to_work[known] = self._works
        self._works = _shown_to_work[known]
        self.held = "enforced" if self._works.grouped else "none"
        self._key = key
        return key

    async def _probe(self) -> None:
        """Run a box, with a disk of its own where folders of the host cannot be written through an
        overlay (they lie on one), and one with a limited disk."""
        version, _ = await asyncio.to_thread(cgroups.probe)
        self._works = self._works._replace(grouped=version > 0)
        try:
            await self._try(Limits())
        except SandboxError:
            self._works = self._works._replace(plain=False)
            try:
                await self._try(Limits())
            except SandboxError as error:
                raise Unavailable(_reason(str(error))) from None
        if self._works.loop:
            try:
                await self._try(Limits(disk_bytes=PROBE_BYTES))
            except SandboxError:  # the limit holds all the same, see `volumes.py`
                self._works = self._works._replace(loop=False)
                self._rooms.clear()

    async def _try(self, limits: Limits) -> None:
        box = await self._start(BoxSettings(trial="probe", marker="", limits=limits))
        try:
            program = await box.exec(
                Command(argv=["true"], env={"PATH": "/usr/bin:/bin"}, cwd="/", timeout_s=PROBE_S)
            )
            exit = await program.wait()
        finally:
            await box.close()
        if exit.code != 0:
            said = exit.stderr.decode(errors="replace").strip()
            raise SandboxError(f"`true` in a box ended with {exit.code or exit.signal}: {said}")

    async def start(self, settings: BoxSettings) -> NamespaceBox:
        if not self._key:
            raise SandboxError("the sandbox was not prepared: call `prepare` first")
        return await self._start(settings)

    async def _start(self, settings: BoxSettings) -> NamespaceBox:
        """Half a box cannot be ended: who gives up waiting for it waits until it is whole."""
        making = asyncio.get_running_loop().create_task(self._make(settings))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            with contextlib.suppress(SandboxError):
                await (await making).close()
            raise

    async def _make(self, settings: BoxSettings) -> NamespaceBox:
        began = time.monotonic()
        name = f"{next(_serial)}-{re.sub(r'[^A-Za-z0-9.-]', '_', settings.trial)[:80]}"
        link = self._linked()
        files = await self._files(name, settings)
        group = None
        try:
            building = link.build(name, self._plan(settings, files))
            try:
                group = self._group(name, settings)  # meanwhile
            finally:
                files.took(await building)
        except BaseException as error:
            if group is not None:
                group.remove()
            files.close()
            link.forget(name)
            await asyncio.to_thread(leftovers.remove, files.at)
            if isinstance(error, SandboxError | OSError):
                raise SandboxError(f"no box for {settings.trial}: {error}", definite=True) from None
            raise
        box = NamespaceBox(settings, files, link, group)
        box.on_close = lambda: self._boxes.discard(box)
        self._boxes.add(box)
        box.start_ms = round((time.monotonic() - began) * 1000)
        return box

    def _linked(self) -> BoxLink:
        if self._link is None or self._link.lost:
            self._link = BoxLink(self._uid)
        return self._link

    def _group(self, name: str, settings: BoxSettings) -> Group | None:
        limits = settings.limits
        needed = (limits.memory_bytes, limits.cpu_ms, limits.cpus, limits.processes)
        if limits.processes is not None:
            own = limits.processes + OWN_PROCESSES
            limits = msgspec.structs.replace(limits, processes=own)
        try:
            return Group.make(name, limits)
        except Unavailable:
            if any(limit is not None for limit in needed):
                raise
            return None

    async def _files(self, name: str, settings: BoxSettings) -> BoxFiles:
        at = self._folder / name
        at.mkdir()
        at.chmod(0o711)
        size = settings.limits.disk_bytes
        if size is None and not self._works.plain:
            free = os.statvfs(self._folder)
            size = free.f_bavail * free.f_frsize // FREE_SHARE
        room = None
        if size is not None:
            room = self._rooms.get(size)
            if room is None:
                loop = self._works.loop
                room = await asyncio.to_thread(volumes.room, size, self._folder, loop=loop)
                self._rooms[size] = room
        as_root = self._uid != os.getuid() or self._image.name != "host"
        return BoxFiles(
            name=name,
            at=at,
            uid=self._uid,
            ids=(0, 0) if as_root else (os.getuid(), os.getgid()),
            lower=self._lower,
            in_dev=tuple(
                path
                for path in sorted((settings.world, *map(_normal, settings.shown)))
                if path.startswith("/dev/")
            ),
            room=room,
            bwrap=self._bwrap,
            filter=self._filter,
            watched=self._watched,
        )

    def _plan(self, settings: BoxSettings, files: BoxFiles) -> dict[str, object]:
        """What `layers.Layers` is told. Raises SandboxError for what is not there."""
        binds = [(source, path, False, False) for source, path in self._programs]
        binds += [self._shown(shown) for shown in settings.shown if not self._has(shown.path)]
        if settings.world:
            binds.append((settings.world, settings.world, True, True))
        for source, *_ in binds:
            if not os.path.exists(source):
                raise SandboxError(f"it is to see {source}, which is not there", definite=True)
        for _, path, *_ in binds:
            if path in ("/", "/dev", "/proc") or path.startswith("/proc/"):
                raise SandboxError(
                    f"it is to see {path}, and has that of its own: show it folders in there, or "
                    "other places",
                    definite=True,
                )
        return {
            "at": str(files.at),
            "uid": files.uid,
            "lower": str(files.lower),
            "mapped": self._image.name != "host",
            "room": files.room._asdict() if files.room else None,
            "binds": sorted(binds, key=lambda bind: bind[1]),
            "world": settings.world,
            "hidden": sorted(settings.hidden),
        }

    def _shown(self, shown: Shown) -> tuple[str, str, bool, bool]:
        return os.path.realpath(shown.path), _normal(shown), shown.writable, True

    def _has(self, path: str) -> bool:
        """Whether a path is among the host's programs, which every box of the host has."""
        real = Path(os.path.realpath(path))
        return any(real.is_relative_to(source) for source, _ in self._programs)

    async def close(self) -> None:
        await asyncio.gather(*(box.close() for box in list(self._boxes)))
        if self._link is not None:
            await self._link.close()
        if self._folder.name:
            await asyncio.to_thread(leftovers.remove, self._folder)
            self._folder, self._key = Path(), ""
            self._rooms.clear()


def _normal(shown: Shown) -> str:
    return os.path.normpath(shown.path)


def _home() -> str:
    home = os.path.normpath(os.environ.get("HOME", "/"))
    return home if os.path.isabs(home) else "/"


def _reason(said: str) -> str:
    """Why no box can be had, and what to do about it."""
    text = f"isolation namespace does not work here: {said}. "
    settings = {
        "kernel/apparmor_restrict_unprivileged_userns": ("1", "0"),
        "kernel/unprivileged_userns_clone": ("0", "1"),
        "user/max_user_namespaces": ("0", "10000"),
    }
    for name, (bad, good) in settings.items():
        with contextlib.suppress(OSError):
            if Path("/proc/sys", name).read_text().strip() == bad:
                fix = f"sysctl -w {name.replace('/', '.')}={good}"
                return f"{text}The kernel forbids user namespaces: `{fix}`, {OTHERWISE}"
    if os.geteuid() == 0:
        return (
            f"{text}In a container, root may lack rights: start it with `--privileged`, or at "
            f"least with CAP_SYS_ADMIN and no seccomp and AppArmor profile; {OTHERWISE}"
        )
    return f"{text}It needs user namespaces, and Linux 5.12 or newer; {OTHERWISE}"
