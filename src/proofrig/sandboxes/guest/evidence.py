"""What a trial wrote, for the runner: the upper layer of its overlay as a tar.

Rules:
1. The layer is told as it is: a deleted path is a character device 0:0, a folder that hides what
   lies below carries its `trusted.overlay.opaque` as a pax header. The runner makes sense of them.
2. When there is too much of it, nothing is told: part of a layer would be taken for the whole.
"""

from __future__ import annotations

import os
import stat
import tarfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

OPAQUE = "trusted.overlay.opaque"


def pack(fd: int, upper: str, most: int) -> None:
    """Write the tar of `upper` to `fd`; nothing when its files have more than `most` bytes. Raises
    OSError."""
    for path in walk(upper):
        found = os.lstat(path)
        most -= found.st_size if stat.S_ISREG(found.st_mode) else 0
    if most < 0:
        return
    with (
        open(fd, "wb", buffering=1 << 16) as file,
        tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in walk(upper):
            if path != upper:
                add(tar, path, path[len(upper) + 1 :])


def walk(folder: str) -> Iterator[str]:
    """The folder and everything below, folders before what lies in them, in order. What cannot be
    reached by its path (too deep) is left out."""
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        try:
            folders = stat.S_ISDIR(os.lstat(path).st_mode)
            inside = sorted(os.listdir(path), reverse=True) if folders else []
        except OSError:
            continue
        yield path
        waiting += [f"{path}/{name}" for name in inside]


def add(tar: tarfile.TarFile, path: str, name: str) -> None:
    """Add one path."""
    if stat.S_ISSOCK(os.lstat(path).st_mode):  # a tar knows none
        return
    member = tar.gettarinfo(path, name)
    if member.islnk():  # told by its content, as a file of its own
        member.type, member.linkname = tarfile.REGTYPE, ""
        member.size = os.lstat(path).st_size
    if member.isdir() and opaque(path):
        member.pax_headers = {"SCHILY.xattr." + OPAQUE: "y"}
    if not member.isreg():
        tar.addfile(member)
        return
    with open(path, "rb") as file:
        tar.addfile(member, file)


def opaque(path: str) -> bool:
    try:
        return os.getxattr(path, OPAQUE) == b"y"
    except OSError:
        return False
