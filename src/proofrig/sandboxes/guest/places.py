"""The trial's files in the guest: one overlay of what it writes, what it is shown, and the image.

    /run/proofrig/payload      the disk with what the trial is shown, its world too: a squashfs
    /run/proofrig/shown        that, mounted
    /run/proofrig/lower        the image
    /run/proofrig/scratch      the disk that takes all that is written: upper, work
    /run/proofrig/root         the overlay of these: the root of the trial, and of the agent then

Rules:
1. The payload is first read when the trial's own lies there: a copy has seen nothing of it.
2. What the agent itself writes before is not in the trial's layer.
3. The disk's limit is held by the disk itself: what is beyond it is taken up by a file.
"""

from __future__ import annotations

import ctypes
import fcntl
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OWN = "/run/proofrig"
PAYLOAD, SHOWN, LOWER, ROOT = OWN + "/payload", OWN + "/shown", OWN + "/lower", f"{OWN}/root"
SCRATCH = OWN + "/scratch"
UPPER, WORK = SCRATCH + "/upper", SCRATCH + "/work"
BLKFLSBUF = 0x1261  # drop what is cached of a disk
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_BIND, MS_REC = 1, 2, 4, 4096, 16384
MNT_DETACH = 2
BOUND = ("/proc", "/sys", "/dev")  # as they are in the guest
FULL = 64 << 10  # bytes that are left of a disk that is full
LIBC = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """mount(2). Raises OSError."""
    given = (source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags))
    if LIBC.mount(*given, options.encode() or None):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


class Places:
    """The trial's root and its disk."""

    def __init__(self) -> None:
        self.scratch = os.open(SCRATCH, os.O_RDONLY | os.O_DIRECTORY)
        self.outside = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        self.free = 0  # bytes at the start
        self.least = 0  # bytes, as far as was seen

    def set_up(self, shown: bool, most: int | None) -> None:
        """Make the trial's root, which is the agent's from then on. shown: there is a payload.
        most: bytes that may be written. Raises OSError."""
        layers = LOWER
        if shown:
            disk = os.open(PAYLOAD, os.O_RDONLY)
            fcntl.ioctl(disk, BLKFLSBUF)
            os.close(disk)
            mount(PAYLOAD, SHOWN, "squashfs", MS_RDONLY | MS_NOSUID | MS_NODEV)
            layers = f"{SHOWN}:{LOWER}"
        self.limit(most)
        self.enter(layers)

    def enter(self, layers: str) -> None:
        mount("root", ROOT, "overlay", 0, f"lowerdir={layers},upperdir={UPPER},workdir={WORK}")
        for each in BOUND:
            mount(each, ROOT + each, "none", MS_BIND | MS_REC)
        os.chroot(ROOT)
        os.chdir("/")

    def rehearse(self) -> None:
        """Make the root, and take it down again."""
        self.left()
        self.enter(LOWER)
        self.leave()
        for each in (*BOUND, ""):
            if LIBC.umount2((ROOT + each).encode(), MNT_DETACH):
                raise OSError(ctypes.get_errno(), "umount", ROOT + each)

    def leave(self) -> None:
        """Back to the root that the guest was booted with, for a process that reads the layers."""
        os.fchdir(self.outside)
        os.chroot(".")

    def limit(self, most: int | None) -> None:
        there = self.left()
        if most is not None and there > most:
            ballast = os.open(SCRATCH + "/ballast", os.O_CREAT | os.O_WRONLY, 0o600)
            os.posix_fallocate(ballast, 0, there - most)
            os.close(ballast)
            there = self.left()
        self.free = self.least = there

    def left(self) -> int:
        """Bytes that can still be written; 0 when there is no room for a file."""
        there = os.statvfs(self.scratch)
        return there.f_bavail * there.f_bsize if there.f_favail else 0

    def sample(self) -> int:
        left = self.left()
        self.least = min(self.least, left)
        return left

    def usage(self) -> dict[str, Any]:
        left = self.sample()
        return {"disk_bytes": max(0, self.free - left), "disk_full": self.least < FULL}
