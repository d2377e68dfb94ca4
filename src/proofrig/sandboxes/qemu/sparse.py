"""Large files that are mostly holes: copied and hashed by what is in them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

PIECE = 1 << 20


def extents(fd: int) -> Iterator[tuple[int, int]]:
    """(offset, length) of what is no hole."""
    size, at = os.fstat(fd).st_size, 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # holes up to the end
                return
            raise
        at = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, at - start


def copy(source: int, target: int) -> str:
    """Copy into an empty file, holes included; sha256 hex of what was copied, and where it lies."""
    digest = hashlib.sha256()
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    digest.update(str(size).encode())
    for start, length in extents(source):
        for at in range(start, start + length, PIECE):
            data = os.pread(source, min(PIECE, start + length - at), at)
            if not data.strip(b"\0"):
                continue  # as good as a hole, whatever file system it comes from
            digest.update(b"%d:" % at)
            digest.update(data)
            os.pwrite(target, data, at)
    return digest.hexdigest()


def clone(source: int, target: int) -> None:
    """Copy into an empty file without looking at it."""
    os.ftruncate(target, os.fstat(source).st_size)
    for start, length in extents(source):
        at = start
        while at < start + length:
            at += os.copy_file_range(source, target, start + length - at, at, at)


def nameless(folder: Path, size: int) -> int:
    """A descriptor of a file of `size` bytes, all hole, that is gone when nobody has it open."""
    with contextlib.closing(tempfile.TemporaryFile(dir=folder, buffering=0)) as file:
        fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return fd
