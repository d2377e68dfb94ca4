"""Reading the world an agent left behind, which may hold anything.

Rules:
1. Nothing outside the world is ever read: a path is resolved first, links and all.
2. Only regular files are opened (a pipe would block for ever), and only up to a cap.
3. What the agent did wrong is an `Unreadable` with the reason; it becomes a failed verdict.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from proofrig.errors import UsageError
from proofrig.sandboxes.trees import Tree
from proofrig.verifiers.verifier import Evidence

READ_CAP = 16 << 20  # bytes of a file that is compared as text
HASH_CAP = 1 << 30  # bytes of a file that is only hashed


class Unreadable(Exception):
    """A path of the world that cannot be judged by its content; the message is the reason."""


def relative(path: str) -> str:
    """A path as written in a suite, normalised. Raises ValueError when it leaves the world."""
    parts = PurePosixPath(path)
    if not path or parts.is_absolute() or ".." in parts.parts or "\0" in path:
        raise ValueError(f"expected a path inside the world, got {path!r}: write it relative to it")
    return str(parts)


def world_of(evidence: Evidence) -> Path:
    """The world, resolved. Raises UsageError when the case has none."""
    if evidence.world is None:
        raise UsageError("this verifier reads the world, and the case has none: add `world:`")
    return Path(os.path.realpath(evidence.world))


def suite_file(evidence: Evidence, name: str) -> Path:
    """A file of the suite. Raises UsageError when it is not there."""
    path = evidence.suite_dir / name
    if not path.is_file():
        raise UsageError(f"expected the suite file {name}, found none at {path}")
    return path


def locate(world: Path, path: str) -> Path | None:
    """Where a path of the (resolved) world really is; None when there is nothing.

    Raises Unreadable when it leads outside, or cannot be followed.
    """
    try:
        real = Path(os.path.realpath(world / path))
        if not real.is_relative_to(world):
            raise Unreadable(f"{path} leads outside the world")
        real.lstat()
    except (FileNotFoundError, NotADirectoryError):
        if (world / path).is_symlink():
            raise Unreadable(f"{path} is a link to nothing") from None
        return None
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path} cannot be followed: {_reason(error)}") from None
    if stat.S_ISLNK(real.lstat().st_mode):
        raise Unreadable(f"{path} is a link that leads in a circle")
    return real


def read(world: Path, path: str, cap: int = READ_CAP) -> bytes | None:
    """The bytes of a file of the world; None when it is absent. Raises Unreadable."""
    file = _open(world, path, cap)
    if file < 0:
        return None
    with open(file, "rb") as stream:
        return stream.read(cap)


def entries(world: Path) -> Iterator[str]:
    """Every file, link and special file of the world, as a path relative to it, in order."""
    path: list[str] = []
    with Tree(world, mend=True) as tree:
        for name, found in tree.walk():
            path[tree.depth :] = [name]
            if not stat.S_ISDIR(found.st_mode):
                yield "/".join(path)


def answer_or_file(evidence: Evidence, file: str) -> str:
    """The answer, or when `file` is named that file of the world as text, broken bytes replaced.
    Raises Unreadable."""
    if not file:
        return evidence.answer
    data = read(world_of(evidence), file)
    if data is None:
        raise Unreadable(f"{file} is absent")
    return data.decode("utf-8", "replace")


def sha256(world: Path, path: str) -> str | None:
    """The hex digest of a file of the world; None when it is absent. Raises Unreadable."""
    file = _open(world, path, HASH_CAP)
    if file < 0:
        return None
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _open(world: Path, path: str, cap: int) -> int:
    real = locate(world, path)
    if real is None:
        return -1
    try:
        if not stat.S_ISREG(real.lstat().st_mode):
            raise Unreadable(f"{path} is not a regular file")
        file = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {_reason(error)}") from None
    size = os.fstat(file).st_size
    if size > cap:
        os.close(file)
        raise Unreadable(f"{path} has {size:,} bytes, more than the {cap:,} that are judged")
    return file


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
