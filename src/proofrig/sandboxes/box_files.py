"""The files of one box of the `namespace` level, as the runner reaches them.

Rules:
1. Everything is reached by descriptors that came out of the box's mount namespace (`layers.py`);
   nothing of it is mounted where the runner is.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from proofrig.errors import SandboxError
from proofrig.sandboxes import rooted
from proofrig.sandboxes.trees import Tree
from proofrig.sandboxes.volumes import Room

FULL_BYTES, FULL_INODES = 64 << 10, 1  # so little room left is none
FULL_SHARE = 0.04  # of the room; ext4 keeps some back, and refuses large writes before small ones


@dataclass(kw_only=True)
class BoxFiles:
    """Where one box's files lie, and how its programs find them. at: its folder on the host. uid:
    the host's user that it runs as. ids: the user and group that it finds itself to be. lower: the
    folder below its root. in_dev: what it is shown below `/dev`, which bwrap makes anew. room: of
    its disk, None without a limit."""

    name: str
    at: Path
    uid: int
    ids: tuple[int, int]
    lower: Path
    in_dev: tuple[str, ...]
    room: Room | None
    bwrap: str
    filter: str
    watched: str
    root: int = -1
    upper: int = -1
    world: int = -1
    volume: int = -1
    empty_bytes: int = 0

    @property
    def owner(self) -> int:
        """The box's user, where that is another than ours."""
        return self.uid if self.uid != os.getuid() else -1

    def took(self, fds: list[int]) -> None:
        self.root, self.upper, self.world, self.volume = fds
        if self.room is not None:
            self.empty_bytes = self.used_bytes()

    def used_bytes(self) -> int:
        """What its files take on disk. Walks through them where there is no limit. Blocks."""
        if self.room is not None:
            status = os.statvfs(self.volume)
            return (status.f_blocks - status.f_bfree) * status.f_frsize - self.empty_bytes
        with contextlib.suppress(OSError), Tree(path_of(self.volume), mend=True) as tree:
            return sum(found.st_blocks * 512 for _, found in tree.walk())
        return 0

    def read(self, path: str, most: int) -> bytes:
        """A file as it is now, b"" where there is none (as `packages_in` asks for it). Blocks."""
        return _read(self.root, path, most)

    def read_before(self, path: str, most: int) -> bytes:
        """The same, as it was before the box."""
        below = os.open(self.lower, os.O_PATH)
        try:
            return _read(below, path, most)
        finally:
            os.close(below)

    def full(self) -> bool:
        if self.room is None:
            return False
        status = os.statvfs(self.volume)
        most = max(FULL_BYTES, FULL_SHARE * status.f_blocks * status.f_frsize)
        return status.f_bavail * status.f_frsize < most or status.f_ffree < FULL_INODES

    def close(self) -> None:
        for fd in (self.root, self.upper, self.world, self.volume):
            if fd >= 0:
                os.close(fd)
        self.root = self.upper = self.world = self.volume = -1


def path_of(fd: int) -> Path:
    return Path(f"/proc/self/fd/{fd}")


def _read(root: int, path: str, most: int) -> bytes:
    try:
        return rooted.get(root, path, most)
    except (FileNotFoundError, SandboxError):
        return b""
