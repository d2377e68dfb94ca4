"""Disks of limited size for boxes: an empty file system, made once per size, copied for each box.

Rules:
1. As root it is ext4 in a sparse file, behind a loop device: bytes and inodes end with ENOSPC, and
   what is on it is no memory. Measured: 1.5 ms for a box, and 1 ms to let it go.
2. Without root, or without loop devices, it is a tmpfs: it ends with ENOSPC too, but what is on it
   counts as memory of the box.
3. A box gets the bytes it was promised; what the file system needs for itself comes on top.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import NamedTuple

from proofrig.errors import SandboxError

BYTES_PER_INODE = 8192
LEAST_INODES, MOST_INODES = 1024, 1 << 20
BLOCK, INODE = 4096, 256  # bytes on disk
OWN_BLOCKS = 12  # of folders that are there before the box is
SPARE_BLOCKS = 256  # at first, for what the file system is made of
FREE_AT = 12  # where the superblock tells how many blocks are free
FEATURES = "^has_journal,^resize_inode,^metadata_csum"  # nobody reads it after a crash


class Room(NamedTuple):
    """What a box's disk may hold. template: an empty ext4 file system of that size, "" for a
    tmpfs."""

    bytes: int
    inodes: int
    template: str


def loops() -> bool:
    """Whether ext4 behind a loop device can be tried."""
    return (
        os.geteuid() == 0
        and os.access("/dev/loop-control", os.R_OK | os.W_OK)
        and _mkfs_program() != ""
    )


def room(size: int, folder: Path, *, loop: bool) -> Room:
    """Room for `size` bytes. folder: where templates are kept. Blocks (10 ms for a new size).
    Raises SandboxError."""
    inodes = max(LEAST_INODES, min(MOST_INODES, size // BYTES_PER_INODE))
    if not loop:
        return Room(size, inodes, "")
    template = folder / f"empty-{size}.ext4"
    if not template.exists():
        _make(template, size, inodes)
    return Room(size, inodes, str(template))


def _make(template: Path, size: int, inodes: int) -> None:
    """A file system with room for `size` bytes: its own needs are known once it is made."""
    fresh = template.with_suffix(f".{os.urandom(4).hex()}")
    wanted = -(-size // BLOCK) + OWN_BLOCKS
    blocks = wanted + inodes * INODE // BLOCK + SPARE_BLOCKS
    try:
        for _ in range(2):
            with fresh.open("wb") as file:
                file.truncate(blocks * BLOCK)
            _mkfs(fresh, inodes)
            with fresh.open("rb") as file:
                (free,) = struct.unpack_from("<I", file.read(1024 + FREE_AT + 4), 1024 + FREE_AT)
            blocks += wanted - free
        fresh.replace(template)
    finally:
        fresh.unlink(missing_ok=True)


def _mkfs(file: Path, inodes: int) -> None:
    program = _mkfs_program()
    options = ["-q", "-F", "-b", str(BLOCK), "-m", "0", "-N", str(inodes), "-I", str(INODE)]
    extended = "lazy_itable_init=1,nodiscard"
    made = subprocess.run(
        [program, *options, "-O", FEATURES, "-E", extended, str(file)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    if made.returncode != 0:
        said = made.stderr.decode(errors="replace").strip()
        raise SandboxError(f"no limited disk for a box: {program} says {said!r}", definite=True)


def _mkfs_program() -> str:
    """Where it is; "" where there is none. Its folder is not always on PATH."""
    search = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    return shutil.which("mkfs.ext4", path=search) or ""
