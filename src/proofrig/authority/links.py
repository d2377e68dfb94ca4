"""Where a path really leads: links followed as the system follows them.

Rules:
1. A part that is not there ends the search: what follows it is taken as it is written, so that a
   file that is about to be made is found below the real place of its folder.
2. A dangling link leads where it points: writing to it makes that file.
3. Links in circles, folders that may not be looked into and names that are too long cannot be
   resolved. Nor can links below /proc and what stands for an open file: they lead where their
   reader is, and the reader is another process.
"""

from __future__ import annotations

import errno
import os
import re
from posixpath import normpath
from stat import S_ISLNK

from proofrig.authority.arguments import Unread, shown

MAX_LINKS = 40

_READERS = re.compile(r"/(proc/(self|thread-self|\d+)/.|dev/(fd/|stdin|stdout|stderr))")
# Opens a path for nothing but to know it: neither reads nor waits, whatever stands there.
_LOOK = getattr(os, "O_PATH", 0)
_ABSENT = (errno.ENOENT, errno.ENOTDIR)


def real_path(path: str, start: str = "") -> str:
    """The folded absolute path that `path` leads to, an absolute one or one from the real folder
    `start`. Raises Unread."""
    parts = path.split("/")[::-1]  # still to go, the next one last
    here, links = start.rstrip("/"), 0
    _not_of_its_reader(normpath(f"{start}/{path}"), path)
    while parts:
        part = parts.pop()
        if part in ("", "."):
            continue
        if part == "..":
            here = here.rpartition("/")[0]
            continue
        there = f"{here}/{part}"
        try:
            link = S_ISLNK(os.lstat(there).st_mode)
            target = os.readlink(there) if link else ""
        except OSError as error:
            if error.errno in _ABSENT:
                return _absent(there, parts, path)
            raise Unread(
                f"expected a path that can be looked up, got {shown(path)}: {error.strerror}"
            ) from None
        except ValueError:
            raise Unread(f"expected a path that can be looked up, got {shown(path)}") from None
        if not link:
            here = there
            continue
        links += 1
        if links > MAX_LINKS or there.startswith("/proc/"):
            raise Unread(f"expected a path whose links lead to one place, got {shown(path)}")
        if target.startswith("/"):
            here = ""
        parts.extend(target.split("/")[::-1])
    _not_of_its_reader(here, path)
    return here or "/"


def is_real(path: str) -> bool:
    """Whether the absolute `path` is there, with no link in it; False also when nobody can tell so
    quickly. One look at the system instead of one per level."""
    if not _LOOK:
        return False
    try:
        file = os.open(path, _LOOK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return False
    try:
        return os.readlink(f"/proc/self/fd/{file}") == path
    except OSError:
        return False
    finally:
        os.close(file)


def _absent(there: str, parts: list[str], path: str) -> str:
    found = normpath("/".join([there, *reversed(parts)]))
    _not_of_its_reader(found, path)
    return found


def _not_of_its_reader(found: str, path: str) -> None:
    if _READERS.match(re.sub("/+", "/", found).lower()):
        raise Unread(f"expected a path that leads to one place, got {shown(path)}")
