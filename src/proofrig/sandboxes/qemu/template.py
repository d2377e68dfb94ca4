"""Templates: a machine that was booted once, with the image's Python warm in it, for copies.

    <cache>/vm/<key>/  memory, state, scratch, template.json        <cache>/vm/<key>.lock

Rules:
1. The key says all that the saved state depends on: QEMU, command line, processor, image, scripts.
2. It is built by one runner at a time (a lock), in a folder of another name, and there as a whole
   or not at all. What lies there is checked against its digests whenever it is opened.
3. Its memory is handed to copies as a sealed file: whatever a broken machine does, it cannot change
   what other copies see.
4. One that nobody opened for UNUSED_S is taken away when another is built.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import io
import json
import os
import shutil
import tarfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from proofrig.errors import SandboxError
from proofrig.sandboxes import netns_helper
from proofrig.sandboxes.qemu import arguments, sparse
from proofrig.sandboxes.qemu.launcher import Launcher, program
from proofrig.sandboxes.qemu.machine import REHEARSAL, Disks, Machine
from proofrig.sandboxes.sandbox import Image, Unavailable

GUEST = Path(__file__).parents[1] / "guest"
PAYLOAD = 8 << 30  # bytes of the payload disk; a file with a hole of that size
UNUSED_S = 14 * 86_400.0
BOOT_S = 480.0  # emulated, and importing SDKs, on a busy machine; 3 s idle and without them
WARM = (
    *(
        "asyncio",
        "base64",
        "collections",
        "concurrent.futures",
        "contextlib",
        "copy",
        "dataclasses",
    ),
    *("datetime", "email.message", "enum", "functools", "hashlib", "http.client", "http.cookies"),
    *("importlib.util", "inspect", "io", "itertools", "json", "linecache", "logging", "pathlib"),
    *("queue", "random", "re", "shutil", "socket", "ssl", "string", "subprocess", "tempfile"),
    *("textwrap", "threading", "traceback", "types", "typing", "urllib.request", "uuid", "weakref"),
)
# What Python would keep of the imports would be found among what the trial changed.
START = b"""import sys
sys.dont_write_bytecode = True
from proofrig.sandboxes.guest.agent import main
main().run()
"""
WARM_UP = "import json, os, socket, subprocess, threading"
MEMFD_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


class Plan(msgspec.Struct, frozen=True):
    """What a template is made from. scratch_mb: the disk that a guest may write to at most. warm:
    modules that are imported before the state is saved, beside `WARM`."""

    image: Image
    machine: arguments.Machine
    scratch_mb: int
    warm: tuple[str, ...]
    qemu: str  # its version

    @property
    def interpreter(self) -> str:
        return self.image.interpreter or "/usr/bin/python3"

    def key(self) -> str:
        """See rule 1. Reads the image's files unless the image has a digest."""
        digest = hashlib.sha256()
        image = self.image
        for part in (
            self.qemu,
            *arguments.boot(self.machine, self.interpreter),
            *arguments.copy(self.machine),
            str(self.scratch_mb),
            *(_digest(path) for path in (image.kernel, image.initrd)),
            image.digest or _digest(image.disk),
            *self.names(),
        ):
            digest.update(part.encode() + b"\0")
        digest.update(scripts(self.names()))
        return digest.hexdigest()[:32]

    def names(self) -> tuple[str, ...]:
        return (*WARM, *self.warm)


class Template:
    """An opened template."""

    def __init__(self, plan: Plan, folder: Path, memory: int) -> None:
        self.plan = plan
        self.folder = folder
        self.memory = memory
        self.argv = arguments.copy(plan.machine)
        self.scratch = os.open(folder / "scratch", os.O_RDONLY | os.O_CLOEXEC)

    def disks(self, storage: Path) -> Disks:
        """What a copy is made of: descriptors of its own. Files that it writes lie in `storage`,
        without names."""
        scratch = sparse.nameless(storage, 0)
        sparse.clone(self.scratch, scratch)
        return Disks(
            memory=os.dup(self.memory),
            root=os.open(self.plan.image.disk, os.O_RDONLY | os.O_CLOEXEC),
            scratch=scratch,
            payload=sparse.nameless(storage, PAYLOAD),
            saved=os.open(self.folder / "state", os.O_RDONLY | os.O_CLOEXEC),
        )

    def close(self) -> None:
        for fd in (self.memory, self.scratch):
            os.close(fd)


async def open_template(plan: Plan, cache: Path, launcher: Launcher, timeout_s: float) -> Template:
    """Open the template of a plan, built first when there is none. Raises SandboxError with what
    the guest said when it does not come up."""
    key = await asyncio.to_thread(plan.key)
    os.makedirs(cache, exist_ok=True)
    folder = cache / key
    async with locked(cache / f"{key}.lock"):
        memory = await asyncio.to_thread(_load, folder)
        if memory is None:
            fresh = cache / f"{key}.new"
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)
            fresh.mkdir(mode=0o700)
            await prune(cache)
            try:
                memory = await build(plan, fresh, launcher, timeout_s)
                fresh.rename(folder)
            except BaseException:
                shutil.rmtree(fresh, ignore_errors=True)
                raise
        os.utime(folder)
    return Template(plan, folder, memory)


async def prune(cache: Path) -> None:
    """Take templates away that nobody opened for a long time."""
    for about in await asyncio.to_thread(lambda: list(cache.glob("*/template.json"))):
        folder = about.parent
        async with locked(cache / f"{folder.name}.lock"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - folder.stat().st_mtime > UNUSED_S:
                    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def build(plan: Plan, folder: Path, launcher: Launcher, timeout_s: float) -> int:
    """Boot the machine and save it into `folder`; its memory as a sealed file."""
    await make_scratch(folder / "scratch", plan.scratch_mb)
    memory = os.memfd_create("memory", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, plan.machine.memory_mb << 20)
    payload = sparse.nameless(folder, PAYLOAD)
    os.pwrite(payload, scripts(plan.names()), 0)
    disks = Disks(
        memory=os.dup(memory),
        root=os.open(plan.image.disk, os.O_RDONLY | os.O_CLOEXEC),
        scratch=os.open(folder / "scratch", os.O_RDWR | os.O_CLOEXEC),
        payload=payload,
        kernel=_in_memory(plan.image.kernel),
        initrd=_in_memory(plan.image.initrd),
    )
    try:
        argv = arguments.boot(plan.machine, plan.interpreter)
        machine = await Machine.start(launcher, argv, disks)
        try:
            await save(machine, plan.interpreter, folder / "state", timeout_s)
        finally:
            await machine.close()
        digests = await asyncio.to_thread(_store, folder, memory)
    except BaseException:
        os.close(memory)
        raise
    about = {"digests": digests, "plan": msgspec.to_builtins(plan)}
    (folder / "template.json").write_text(json.dumps(about, indent=1))
    return memory


async def save(machine: Machine, interpreter: str, state: Path, timeout_s: float) -> None:
    """Wait for the guest, warm it up, save the state of its devices. Raises SandboxError."""
    either: set[asyncio.Future[Any]] = {machine.ready, machine.process.ended}
    await asyncio.wait(either, timeout=timeout_s, return_when="FIRST_COMPLETED")
    if not machine.ready.done():
        how = "ended" if machine.process.ended.done() else f"was not ready in {timeout_s:g} s"
        raise SandboxError(machine.why(f"the guest {how}"))
    await machine.rehearse([interpreter, "-c", WARM_UP], [interpreter, REHEARSAL])
    send = machine.monitor.send
    await send("qmp_capabilities")
    shared = [{"capability": "x-ignore-shared", "state": True}]
    await send("migrate-set-capabilities", capabilities=shared)
    fd = os.open(state, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await machine.monitor.give("state", fd)
    finally:
        os.close(fd)
    await send("migrate", uri="fd:state")
    while (status := (await send("query-migrate"))["status"]) != "completed":
        if status in ("failed", "cancelled"):
            raise SandboxError(machine.why("the state of the guest could not be saved"))
        await asyncio.sleep(0.01)


def scripts(names: tuple[str, ...]) -> bytes:
    """The guest's scripts, and the names of the modules to be warm, as a tar."""
    package = "proofrig/sandboxes"
    files = {f"{package}/guest/{path.name}": path.read_bytes() for path in GUEST.glob("*.py")}
    files[f"{package}/netns_helper.py"] = Path(netns_helper.__file__).read_bytes()
    files |= {f"{package}/__init__.py": b"", "proofrig/__init__.py": b"", "agent.py": START}
    files["warm"] = "\n".join(names).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


async def make_scratch(path: Path, size_mb: int) -> None:
    """An empty ext4 file system. Raises Unavailable, SandboxError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.ftruncate(fd, size_mb << 20)
    os.close(fd)
    features = "^has_journal,^resize_inode,^metadata_csum"
    argv = ["mkfs.ext4", "-q", "-F", "-m", "0", "-O", features, "-E", "lazy_itable_init=1"]
    env = {"PATH": os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"}
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, str(path), env=env, stderr=asyncio.subprocess.PIPE
        )
    except FileNotFoundError:
        raise Unavailable(
            "a vm needs mkfs.ext4 for the disk that a trial writes to, and there is none: install "
            "the package e2fsprogs"
        ) from None
    _, said = await process.communicate()
    if process.returncode:
        raise SandboxError(f"mkfs.ext4 {path} failed: {said.decode(errors='replace').strip()}")


@contextlib.asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Hold the lock of a file that other runners ask for, too."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.05)
        yield
    finally:
        os.close(fd)


async def qemu_version() -> str:
    """Its first line about itself. Raises Unavailable."""
    path = program()
    if path is None:
        raise Unavailable(
            "a vm needs qemu-system-x86_64, and there is none: install the package "
            "qemu-system-x86, or use another level"
        )
    process = await asyncio.create_subprocess_exec(
        path, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    said, _ = await process.communicate()
    if process.returncode or not said:
        raise Unavailable(f"{path} --version failed with {process.returncode}: install it again")
    return said.decode(errors="replace").splitlines()[0]


def _store(folder: Path, memory: int) -> dict[str, str]:
    """Write the memory beside the rest, seal it; the digests of all."""
    target = os.open(folder / "memory", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        digest = sparse.copy(memory, target)
    finally:
        os.close(target)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, MEMFD_SEALS)
    return {"memory": digest, **{name: _digest(folder / name) for name in ("state", "scratch")}}


def _load(folder: Path) -> int | None:
    """The memory of the template in `folder`, as a sealed file; None when there is no whole one."""
    try:
        digests = json.loads((folder / "template.json").read_text())["digests"]
        source = os.open(folder / "memory", os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    memory = os.memfd_create("memory", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        found = {name: _digest(folder / name) for name in ("state", "scratch")}
        found["memory"] = sparse.copy(source, memory)
        if found == digests:
            fcntl.fcntl(memory, fcntl.F_ADD_SEALS, MEMFD_SEALS)
            return memory
    except OSError:
        pass
    finally:
        os.close(source)
    os.close(memory)
    return None


def _digest(path: str | Path) -> str:
    """sha256 hex of what is in a file."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        digest = hashlib.sha256(str(os.fstat(fd).st_size).encode())
        for start, length in sparse.extents(fd):
            for at in range(start, start + length, sparse.PIECE):
                data = os.pread(fd, min(sparse.PIECE, start + length - at), at)
                if data.strip(b"\0"):
                    digest.update(b"%d:" % at + data)
        return digest.hexdigest()
    finally:
        os.close(fd)


def _in_memory(path: str) -> int:
    """A copy that a machine without rights can open."""
    fd = os.memfd_create("boot", os.MFD_CLOEXEC)
    with open(path, "rb") as file:
        while data := file.read(sparse.PIECE):
            os.write(fd, data)
    return fd
