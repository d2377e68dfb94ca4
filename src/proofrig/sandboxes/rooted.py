"""Reading and writing files in a box from outside, where its programs may have put anything.

Rules:
1. A path is found as the box finds it (`mounts.inside`): no link in the box leads to the host.
2. Only regular files are read and written; nothing here waits for a pipe's other end.
3. What is made belongs to the box's user.
"""

from __future__ import annotations

import errno
import os
import stat

from proofrig.errors import SandboxError
from proofrig.sandboxes import mounts

_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_QUIET = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


def make_folders(root: int, path: str, owner: int, mode: int = 0o755) -> None:
    """Have a folder at an absolute path of the box with this root. owner: the box's user where that
    is another than ours, -1 where not. Raises OSError."""
    try:
        os.close(mounts.inside(root, path, os.O_PATH | os.O_DIRECTORY))
        return
    except FileNotFoundError:
        pass
    parent, name = os.path.split(path.rstrip("/"))
    make_folders(root, parent, owner)
    within = mounts.inside(root, parent, _FOLDER)
    try:
        os.mkdir(name, 0o700, dir_fd=within)
        made = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=within)
        try:
            _own(made, owner, mode)
        finally:
            os.close(made)
    finally:
        os.close(within)


def put(root: int, path: str, data: bytes, mode: int, owner: int) -> None:
    """Write a file, with the folders it lies in. Raises SandboxError."""
    try:
        make_folders(root, os.path.dirname(path), owner)
        flags = os.O_WRONLY | os.O_CREAT | _QUIET
        with open(mounts.inside(root, path, flags, 0o600), "wb", buffering=0) as file:
            _regular(file.fileno())
            file.truncate()
            view = memoryview(data)
            while view:
                view = view[file.write(view) or 0 :]
            _own(file.fileno(), owner, mode)
    except OSError as error:
        raise SandboxError(f"cannot write {path} in the box: {error.strerror}") from None


def get(root: int, path: str, most: int) -> bytes:
    """At most `most` bytes of a regular file. Raises FileNotFoundError, SandboxError."""
    try:
        with open(mounts.inside(root, path, os.O_RDONLY | _QUIET), "rb") as file:
            _regular(file.fileno())
            return file.read(most)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SandboxError(f"cannot read {path} in the box: {error.strerror}") from None


def _regular(fd: int) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise OSError(errno.EINVAL, "what is there is no file")


def _own(fd: int, owner: int, mode: int) -> None:
    """Give what was made to the box's user."""
    if owner >= 0:
        os.fchown(fd, owner, owner)
    os.fchmod(fd, mode)
