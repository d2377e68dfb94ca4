"""The `vm` level: each box is a machine of its own under QEMU, a copy of one that was booted once.

Rules:
1. A copy is a fresh machine: its memory is the template's until it writes, its disks are its own,
   its clock is set and its random numbers are renewed before anything of the trial is in it.
2. It has no network card. Its way out is one serial port, over which the rig's ports are carried.
3. KVM is used where a guest has come up under it, else the processor is emulated: the same, slower.
   Either way the guest sees the same machine; `emulated` says which it was.
4. QEMU itself has no rights, no network and no file names; see `parent.py` and `arguments.py`.
5. Limits need no rights on the host: the guest's kernel holds them. Where this host gives cgroups,
   QEMU is held by one, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import platform
import time
from pathlib import Path
from typing import Literal

import msgspec

from proofrig.errors import SandboxError
from proofrig.sandboxes import leftovers
from proofrig.sandboxes.cgroups import Group
from proofrig.sandboxes.qemu import arguments, kvm
from proofrig.sandboxes.qemu.box import VmBox
from proofrig.sandboxes.qemu.launcher import Launcher
from proofrig.sandboxes.qemu.machine import REHEARSAL, Machine
from proofrig.sandboxes.qemu.payload import Payloads
from proofrig.sandboxes.qemu.pool import Pool
from proofrig.sandboxes.qemu.template import (
    BOOT_S,
    PAYLOAD,
    Plan,
    Template,
    open_template,
    qemu_version,
)
from proofrig.sandboxes.qemu.tsc import tsc_khz
from proofrig.sandboxes.sandbox import BoxSettings, Held, Image, Level, Limits, Unavailable

MEMORY_MB, SCRATCH_MB = 512, 4096  # of a guest, where limits ask for no more
GUEST_MB = 96  # that the guest's kernel and agent take of it
QEMU_MB = 128  # that QEMU takes beside the guest's memory
POOL = 2
MOST_MB = 1 << 16

Accelerator = Literal["kvm", "tcg"]


class VmSandbox:
    """Machines of one image. `limits`: the largest that its boxes will have, by which the size of
    the guest is chosen. `warm`: modules that agents import, imported once. `cache`: where templates
    are kept; None: the user's cache. `pool`: how many copies wait, ready to be used."""

    level: Level = "vm"
    held: Held = "enforced"
    emulated = False

    def __init__(
        self,
        *,
        limits: Limits = Limits(),  # noqa: B008  (frozen)
        warm: tuple[str, ...] = (),
        cache: Path | None = None,
        pool: int = POOL,
        run: str = "",
    ) -> None:
        self._limits = limits
        self._warm = warm
        self._cache = (cache or user_cache()) / "vm"
        self._size = pool
        self._run = run
        self._launcher: Launcher | None = None
        self._template: Template | None = None
        self._payloads: Payloads | None = None
        self._pool: Pool | None = None
        self._storage = Path()
        self._numbers = itertools.count(1)
        self._boxes: set[VmBox] = set()
        self._key = ""
        self._preparing = asyncio.Lock()
        self._filling = asyncio.Lock()

    async def prepare(self, image: Image) -> str:
        async with self._preparing:
            if self._template is not None and self._template.plan.image == image:
                return self._key
            await self._leave()
            _check(image)
            self._storage = await asyncio.to_thread(leftovers.home, self._run)
            self._launcher = Launcher()
            try:
                template = await self._open(image, self._launcher)
            except BaseException:
                await self._leave()
                raise
            self._template = template
            self._key = template.folder.name
            self.emulated = template.plan.machine.accelerator == "tcg"
            self._payloads = Payloads(self._storage, image.root, PAYLOAD)
            script = [template.plan.interpreter, REHEARSAL]
            self._pool = Pool(self._copy, lambda copy: copy.rehearse(script), self._size)
            self._pool.fill()
            return self._key

    async def _open(self, image: Image, launcher: Launcher) -> Template:
        """The template, under the first accelerator and machine with which a guest comes up."""
        version = await qemu_version()
        khz = await asyncio.to_thread(tsc_khz)
        names = (*self._warm, *await asyncio.to_thread(_warm, image))
        memory, scratch = room(self._limits)
        failed: list[str] = []
        for accelerator in self._accelerators():
            for kind in (arguments.MICROVM, arguments.Q35):
                machine = arguments.machine(kind, accelerator, memory, khz)
                plan = Plan(image, machine, scratch, names, version)
                timeout = kvm.TIMEOUT_S if accelerator == "kvm" else BOOT_S
                try:
                    template = await open_template(plan, self._cache, launcher, timeout)
                except Unavailable:
                    raise
                except (SandboxError, OSError) as error:
                    failed.append(f"{kind} under {accelerator}: {error}")
                    if accelerator == "kvm" and kind == arguments.Q35:
                        kvm.remember(self._cache, failed[-1])
                    continue
                if accelerator == "kvm":
                    kvm.remember(self._cache, "")
                return template
        raise Unavailable(
            "no guest comes up in a vm here: " + "; ".join(failed) + ". Build the image again "
            "(`proofrig image build`), or use another level"
        )

    def _accelerators(self) -> tuple[Accelerator, ...]:
        if kvm.refused() or kvm.remembered(self._cache):
            return ("tcg",)
        return ("kvm", "tcg")

    async def _copy(self) -> Machine:
        """A running copy of the template. Raises SandboxError."""
        if self._template is None or self._launcher is None:
            raise SandboxError("the sandbox is closed, or was not prepared")
        if self._launcher.lost:
            self._launcher = Launcher()
        disks = await asyncio.to_thread(self._template.disks, self._storage)
        machine = await Machine.resume(self._launcher, self._template.argv, disks)
        most = (self._template.plan.machine.memory_mb + QEMU_MB) << 20
        name = f"{self._run or 'run'}-vm{next(self._numbers)}"
        with contextlib.suppress(Unavailable, SandboxError):
            machine.group = await asyncio.to_thread(Group.make, name, Limits(memory_bytes=most))
            machine.group.add(machine.process.pid)
        return machine

    async def start(self, settings: BoxSettings) -> VmBox:
        began = time.monotonic()
        pool, template, payloads = self._pool, self._template, self._payloads
        if pool is None or template is None or payloads is None:
            raise SandboxError("the sandbox is closed, or was not prepared")
        _fits(settings.limits, template.plan)
        machine = await pool.take()
        box = VmBox(machine, settings, self._storage, template.plan.image.root)
        self._boxes.add(box)
        box.on_close = self._boxes.discard
        try:
            async with self._filling:
                shown = await asyncio.to_thread(payloads.fill, machine.payload, settings)
            await box.begin(shown)
        except BaseException:
            await box.close()
            raise
        box.emulated = self.emulated
        box.start_ms = round((time.monotonic() - began) * 1000)
        return box

    async def close(self) -> None:
        async with self._preparing:
            await self._leave()

    async def _leave(self) -> None:
        pool, self._pool = self._pool, None
        template, self._template = self._template, None
        payloads, self._payloads = self._payloads, None
        launcher, self._launcher = self._launcher, None
        if pool is not None:
            await pool.close()
        await asyncio.gather(*(box.close() for box in list(self._boxes)))
        if template is not None:
            template.close()
        if payloads is not None:
            payloads.close()
        if launcher is not None:
            await launcher.close()


def user_cache() -> Path:
    """`$PROOFRIG_CACHE`, else `$XDG_CACHE_HOME/proofrig`, else `~/.cache/proofrig`."""
    if own := os.environ.get("PROOFRIG_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "proofrig"


def room(limits: Limits) -> tuple[int, int]:
    """Megabytes of memory and of disk of a guest in which boxes with these limits fit."""
    memory, scratch = MEMORY_MB, SCRATCH_MB
    while (memory - GUEST_MB) << 20 < (limits.memory_bytes or 0) and memory < MOST_MB:
        memory *= 2
    while scratch << 20 < 2 * (limits.disk_bytes or 0):
        scratch *= 2
    return memory, scratch


def _fits(limits: Limits, plan: Plan) -> None:
    """Raises SandboxError when the guest cannot hold what a box may use."""
    memory = (plan.machine.memory_mb - GUEST_MB) << 20
    if (limits.memory_bytes or 0) > memory or (limits.disk_bytes or 0) > plan.scratch_mb << 20:
        raise SandboxError(
            f"the limits of the trial (memory {limits.memory_bytes}, disk {limits.disk_bytes}) are "
            f"larger than its vm ({memory} and {plan.scratch_mb << 20} bytes); expected the largest"
            " limits of a run when its sandbox was made",
            definite=True,
        )


def _check(image: Image) -> None:
    """Raises Unavailable where the image has nothing that a vm can start from."""
    if platform.machine() != "x86_64":
        raise Unavailable(
            f"a vm needs a processor of type x86_64, this one is {platform.machine()}: use another "
            "level"
        )
    parts = {"disk": image.disk, "kernel": image.kernel, "initrd": image.initrd}
    missing = [name for name, path in parts.items() if not path or not Path(path).is_file()]
    if missing:
        raise Unavailable(
            f"a vm needs an image with its {', '.join(missing)}, and {image.name!r} has none: make "
            "one with `proofrig image build`"
        )


def _warm(image: Image) -> list[str]:
    """The modules that the image wants to be warm: `image.json` beside its root."""
    try:
        about = json.loads(Path(image.root).with_name("image.json").read_text())
        return msgspec.convert(about.get("warm", []), list[str])
    except (OSError, ValueError, AttributeError):
        return []
