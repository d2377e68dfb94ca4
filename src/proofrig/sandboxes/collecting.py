"""Bringing home what a box wrote: a layer into the host's folder, a tar of a guest into a layer.

    error = bring_back(upper, world)     the world is now what the box saw
    error = unpack(tar, upper)           what a guest sent is now an upper directory

Rules:
1. Neither follows a link or leaves its folder (`trees`). Links are made as links, wherever they
   point; hard links become files of their own.
2. Pipes, sockets and devices never come into the world. Files in it are the runner's own, without
   setuid, setgid and sticky bits; times are kept.
3. Both have an end (`BYTES`, `FILES`). `bring_back` measures first: too much changes nothing.
4. A guest's tar is what the trial can forge: absolute names, `..`, names that came before, parents
   that did not, links as parents and what is no tar are refused.
5. Both block, and return "" or why it could not be done, to be told as `Changes.error`.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import tarfile
from pathlib import Path
from typing import BinaryIO

from proofrig.sandboxes.changes import opaque_attribute
from proofrig.sandboxes.trees import PIECE, Tree, shown

BYTES = 8 << 30  # of all files that are brought back; those of a sparse file count in full
FILES = 200_000  # files, folders and links
HEADERS = 4 << 20  # bytes of a tar's headers for one entry
OPAQUE = "SCHILY.xattr.trusted.overlay.opaque"  # of a folder in a guest's tar

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PLAIN = stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO


class _TooMuch(Exception):
    """More came than is taken; the message says what."""


class _Room:
    """How much more is taken."""

    def __init__(self, most_bytes: int, most_files: int) -> None:
        self._most = most_bytes, most_files
        self._bytes, self._files = most_bytes, most_files

    def take(self, size: int) -> None:
        self._bytes -= size
        self._files -= 1
        if self._bytes < 0:
            raise _TooMuch(f"more than {self._most[0]:,} bytes")
        if self._files < 0:
            raise _TooMuch(f"more than {self._most[1]:,} files")


def bring_back(
    upper: Path,
    world: Path,
    *,
    userxattr: bool | None = None,
    most_bytes: int = BYTES,
    most_files: int = FILES,
) -> str:
    """Make the host's folder `world` what a box saw that had `upper` over it. Only when the overlay
    is mounted no more, and after `scan`. userxattr: as for `scan`. The mode of the folder itself
    stays. Blocks; "" or why it could not be done."""
    try:
        room = _Room(most_bytes, most_files)
        with Tree(upper, mend=True) as source:
            for _, found in source.walk(most_files + 1):
                room.take(found.st_size if stat.S_ISREG(found.st_mode) else 0)
        with Tree(upper, mend=True) as source, Tree(world, mend=True) as target:
            _apply(source, target, opaque_attribute(userxattr))
    except _TooMuch as error:
        return f"the world was not brought back: the trial left {error} in it"
    except OSError as error:
        return f"the world was not brought back whole: {error.strerror}"
    return ""


def _apply(source: Tree, target: Tree, opaque: str) -> None:
    levels = [iter(source.names())]
    modes: list[int] = []
    while levels:
        name = next(levels[-1], None)
        if name is None:
            levels.pop()
            if levels:
                source.up()
                target.up(modes.pop())
            continue
        found = source.stat(name)
        if found is None:
            continue
        if not stat.S_ISDIR(found.st_mode):
            target.remove(name)
            _bring(source, target, name, found)
            continue
        there = target.stat(name)
        if there is None or not stat.S_ISDIR(there.st_mode):
            target.remove(name)
            os.mkdir(name, stat.S_IRWXU, dir_fd=target.fd)
        source.down(name)
        target.down(name)
        if source.opaque(opaque):
            target.clear()
        levels.append(iter(source.names()))
        modes.append(found.st_mode & _PLAIN)


def _bring(source: Tree, target: Tree, name: str, found: os.stat_result) -> None:
    """Copy a file or a link; nothing of what is neither, such as the mark of a deleted path."""
    if stat.S_ISLNK(found.st_mode):
        os.symlink(source.link(name), name, dir_fd=target.fd)
    elif stat.S_ISREG(found.st_mode):
        reading = source.open(name)
        try:
            writing = os.open(name, _NEW, stat.S_IRUSR | stat.S_IWUSR, dir_fd=target.fd)
            try:
                _copy(reading, writing, found.st_size)
                os.fchmod(writing, found.st_mode & _PLAIN)
                os.utime(writing, ns=(found.st_atime_ns, found.st_mtime_ns))
            finally:
                os.close(writing)
        finally:
            os.close(reading)


def _copy(reading: int, writing: int, size: int) -> None:
    """Copy `size` bytes; what is a hole stays one."""
    at = 0
    while at < size:
        try:
            at = os.lseek(reading, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break
        end = min(os.lseek(reading, at, os.SEEK_HOLE), size)
        os.lseek(writing, at, os.SEEK_SET)
        while at < end and (sent := os.sendfile(writing, reading, at, end - at)):
            at += sent
    os.ftruncate(writing, size)


class _Metered(io.BufferedIOBase):
    """A tar that is read only as far as `allowed`: its parser keeps headers in memory."""

    def __init__(self, tar: BinaryIO) -> None:
        self._tar = tar
        self.allowed = HEADERS

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._tar.read(-1 if size is None else size)
        self.allowed -= len(data)
        if self.allowed < 0:
            raise ValueError("headers without an end")
        return data


class _Member(tarfile.TarInfo):
    """An entry of a tar. What is no header is an error; `tarfile` takes it as the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf and not any(buf):  # the end, as it is written
                raise
            raise ValueError(f"cut off, or no tar: {error}") from None


def unpack(
    tar: BinaryIO,
    upper: Path,
    *,
    userxattr: bool | None = None,
    most_bytes: int = BYTES,
    most_files: int = FILES,
) -> str:
    """Make an upper directory, as an overlay's, of the tar that a guest sent of its own; `upper` is
    an empty folder. In the tar a deleted path is a character device 0:0, a folder that hides what
    lies below has the extended attribute `OPAQUE`, and hard links are files of their own. Pipes and
    devices become pipes, so that `scan` tells of them. "" or why it could not be done."""
    room = _Room(most_bytes, most_files)
    opaque = opaque_attribute(userxattr)
    metered = _Metered(tar)
    path: list[str] = []
    try:
        with (
            tarfile.open(fileobj=metered, mode="r|", tarinfo=_Member) as members,
            Tree(upper, mend=True) as target,
        ):
            for member in members:
                members.members = []  # type: ignore[attr-defined]  # else it keeps all of them
                if member.size < 0:
                    raise ValueError(f"a size of {member.size}")
                size = member.size if member.isreg() else 0
                room.take(size)
                metered.allowed = size + HEADERS
                _unpack(members, member, target, path, opaque)
    except _TooMuch as error:
        return f"what the guest changed was not taken: {error}"
    except OSError as error:
        return f"what the guest changed was not taken whole: {error.strerror or error}"
    except Exception as error:  # of the parser, which reads what the trial may have made
        return f"what the guest changed cannot be read: {type(error).__name__}: {error}"
    return ""


def _unpack(
    members: tarfile.TarFile, member: tarfile.TarInfo, target: Tree, path: list[str], opaque: str
) -> None:
    """Make one path. path: the folder where `target` stands; changed when it is another."""
    parts = member.name.removeprefix("./").rstrip("/").split("/")
    if parts == ["."] or parts == [""]:
        return
    if member.name.startswith("/") or not {"", ".", ".."}.isdisjoint(parts):
        raise ValueError(f"a name that leaves its folder: {shown(member.name)[:200]}")
    *folders, name = parts
    same = 0
    while same < min(len(path), len(folders)) and path[same] == folders[same]:
        same += 1
    for _ in path[same:]:
        target.up()
    path[same:] = folders[same:]
    if not all(target.down(folder) for folder in folders[same:]):
        raise ValueError(f"a name without its folder: {shown(member.name)[:200]}")
    mode = member.mode & stat.S_IMODE(0xFFFF)
    if member.isdir():
        os.mkdir(name, stat.S_IRWXU, dir_fd=target.fd)
        target.down(name)
        if member.pax_headers.get(OPAQUE) == "y":
            os.setxattr(target.fd, opaque, b"y")
        target.up(mode)
    elif member.issym():
        os.symlink(member.linkname, name, dir_fd=target.fd)
    elif member.ischr() and (member.devmajor, member.devminor) == (0, 0):
        os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=target.fd)
    elif member.isreg() and not member.issparse():
        _write(members, member, target, name, mode)
    elif member.ischr() or member.isblk() or member.isfifo():
        os.mkfifo(name, dir_fd=target.fd)
    else:
        raise ValueError(f"an entry of type {member.type!r}: {shown(member.name)[:200]}")


def _write(
    members: tarfile.TarFile, member: tarfile.TarInfo, target: Tree, name: str, mode: int
) -> None:
    data = members.extractfile(member)
    writing = os.open(name, _NEW, stat.S_IRUSR | stat.S_IWUSR, dir_fd=target.fd)
    with open(writing, "wb") as file:
        while data is not None and (piece := data.read(PIECE)):
            file.write(piece)
        file.flush()
        os.fchmod(writing, mode)
        os.utime(writing, (member.mtime, member.mtime))
