"""What a trial is shown, and its world, as a disk for its guest: a squashfs with the host's paths.

Rules:
1. Most trials of a run are shown the same, and repeats of a case have the same world: a squashfs is
   made once for each content, and copied onto the disk of each guest.
2. Paths that the image has itself (`/usr/...`) are not shown: the image's own stand there.
3. In the guest everything shown is root's, for all to read, and the world is the trial's. Folders
   around them are as in the image, or root's.
4. Links are shown as links. What is neither file, folder nor link is left out.
"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from proofrig.errors import SandboxError
from proofrig.sandboxes.guest.programs import USER
from proofrig.sandboxes.sandbox import BoxSettings, Unavailable

OF_THE_IMAGE = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc")
KEPT = 16  # contents that are kept at a time


class Entry(NamedTuple):
    """A path in the guest, and what lies there: `here` on the host, as `status` says."""

    path: str
    here: str
    status: os.stat_result
    owner: int
    mode: int


class Payloads:
    """Makes the payload disks of one sandbox. Blocking: to be called in a thread, one at a time."""

    def __init__(self, storage: Path, image_root: str, room: int) -> None:
        self.storage = storage
        self.image_root = image_root
        self.room = room  # bytes of the disk
        self.made: dict[tuple[object, ...], int] = {}  # content: descriptor of its squashfs

    def fill(self, disk: int, settings: BoxSettings) -> frozenset[str] | None:
        """Write the disk of a trial; the folders on it that are not its world's. None: there is
        nothing on it. Raises SandboxError."""
        roots = self.roots(settings)
        entries: dict[str, Entry] = {}
        if settings.world:
            for entry in _walk(os.path.normpath(settings.world), set(), USER):
                entries[entry.path] = entry
        for root in roots:
            for entry in _walk(root, set(settings.hidden), 0):
                entries.setdefault(entry.path, entry)
        if not entries:
            return None
        for path in list(entries):
            self.surround(path, entries)
        found = [entries[path] for path in sorted(entries, key=lambda path: path.split("/"))]
        made = self.squash(found)
        size = os.fstat(made).st_size
        if size > self.room:
            raise SandboxError(
                f"the trial is shown {size:,} bytes, its world included; a vm takes "
                f"{self.room:,}: show it less"
            )
        at = 0
        while at < size:
            at += os.copy_file_range(made, disk, size - at, at, at)
        return frozenset(e.path for e in found if e.owner == 0 and stat.S_ISDIR(e.status.st_mode))

    def roots(self, settings: BoxSettings) -> list[str]:
        """The shown paths that go onto the disk. Raises SandboxError."""
        paths = []
        for shown in settings.shown:
            if shown.writable:
                raise SandboxError(
                    f"{shown.path}: a vm cannot share a folder for writing; it can only be read",
                    definite=True,
                )
            if not os.path.exists(shown.path):
                raise SandboxError(f"{shown.path} is to be shown, and is not there", definite=True)
            if not self.in_image(shown.path):
                paths.append(os.path.normpath(shown.path))
        return paths

    def in_image(self, path: str) -> bool:
        own = any(path == each or path.startswith(each + "/") for each in OF_THE_IMAGE)
        return own and os.path.lexists(self.image_root + path)

    def surround(self, path: str, entries: dict[str, Entry]) -> None:
        """The folders around a path: as the image has them, or as usual. The status of the root of
        this machine stands for the latter."""
        while (path := os.path.dirname(path)) not in entries and path != "/":
            here = self.image_root + path
            if not os.path.isdir(here) or os.path.islink(here):
                here = "/"
            status = os.lstat(here)
            entries[path] = Entry(path, here, status, 0, stat.S_IMODE(status.st_mode))

    def squash(self, found: list[Entry]) -> int:
        """The descriptor of the squashfs with these."""
        key = tuple(_content(entry) for entry in found)
        made = self.made.pop(key, None)
        if made is None:
            made = _squashfs(self.storage, found)
            if len(self.made) >= KEPT:
                os.close(self.made.pop(next(iter(self.made))))
        self.made[key] = made
        return made

    def close(self) -> None:
        while self.made:
            os.close(self.made.popitem()[1])


def _walk(root: str, hidden: set[str], owner: int) -> Iterator[Entry]:
    """Everything at and below a path of the host. Raises SandboxError."""
    waiting = [(root, os.path.realpath(root))]
    while waiting:
        path, here = waiting.pop()
        if path in hidden:
            continue
        try:
            status = os.lstat(here)
            names = os.listdir(here) if stat.S_ISDIR(status.st_mode) else []
        except OSError as error:
            raise SandboxError(f"{here} is to be shown: {error.strerror}") from None
        mode = stat.S_IMODE(status.st_mode)
        if owner == 0:  # for all to read, for nobody to write
            mode = (mode | 0o444 | (0o111 if mode & 0o100 else 0)) & ~0o022
        yield Entry(path, here, status, owner, mode)
        waiting += [(f"{path}/{name}", f"{here}/{name}") for name in names]


def _content(entry: Entry) -> tuple[object, ...]:
    """What makes an entry the same as another. What is shown is told by its inode; the files of a
    world are copies of each other, and told by what is in them."""
    path, here, status, owner, mode = entry
    if owner == 0 or not stat.S_ISREG(status.st_mode):
        told: tuple[object, ...] = (status.st_ino, status.st_mtime_ns) if owner == 0 else ()
        if stat.S_ISLNK(status.st_mode):
            told = (os.readlink(here),)
        return path, mode, status.st_size, *told
    with open(here, "rb") as file:
        return path, mode, hashlib.file_digest(file, "sha256").digest()


def _squashfs(storage: Path, found: list[Entry]) -> int:
    """A squashfs with these: the descriptor of a file without a name."""
    with tempfile.TemporaryDirectory(dir=storage) as folder:
        target = f"{folder}/shown"
        # Not compressed: unpacking takes an emulated processor longer than reading.
        argv = ["sqfstar", "-noI", "-noD", "-noF", "-noX", "-processors", "1", target]
        with tempfile.TemporaryFile(dir=folder) as tar:
            _tar(tar, found)
            tar.seek(0)
            try:
                run = subprocess.run(argv, stdin=tar, capture_output=True, check=False)
            except FileNotFoundError:
                raise Unavailable(
                    "a vm needs sqfstar for what a trial is shown, and there is none: install the "
                    "package squashfs-tools (4.5 or newer)"
                ) from None
        if run.returncode:
            said = run.stderr.decode(errors="replace").strip()
            raise SandboxError(f"what is shown could not be packed: {said[-500:]}")
        return os.open(target, os.O_RDONLY | os.O_CLOEXEC)


def _tar(file: IO[bytes], found: list[Entry]) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, here, status, owner, mode in found:
            member = tarfile.TarInfo(path[1:])
            member.uid = member.gid = owner
            member.mode = mode
            member.mtime = int(status.st_mtime)
            if stat.S_ISDIR(status.st_mode):
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
            elif stat.S_ISLNK(status.st_mode):
                member.type, member.linkname = tarfile.SYMTYPE, os.readlink(here)
                tar.addfile(member)
            elif stat.S_ISREG(status.st_mode):
                with open(here, "rb") as content:
                    member.size = os.fstat(content.fileno()).st_size
                    tar.addfile(member, content)
