"""Whose a thing is: the tag of a runner, in the name of everything that could outlive it.

    1234-567890              process 1234 of the host, started 567,890 clock ticks after the boot
    1234-567890n4026532211   the same, in a PID namespace of its own (a container)

Rules:
1. A pid alone names nobody, since pids come again; with the start time it does.
2. A process that has ended and waits to be reaped is dead.
3. Of a runner in another PID namespace nobody here can tell whether it lives, so it does.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache

INITIAL_NAMESPACE = 0xEFFFFFFC  # inode of the PID namespace in which the kernel starts
TAG = re.compile(r"(\d+)-(\d+)(?:n(\d+))?")


def tag() -> str:
    """The tag of this process."""
    return _tag(os.getpid())


@lru_cache(maxsize=1)
def _tag(pid: int) -> str:
    namespace = _namespace()
    _, started = _state_and_start(pid)
    return f"{pid}-{started}" + ("" if namespace == INITIAL_NAMESPACE else f"n{namespace}")


def is_dead(text: str) -> bool:
    """True when `text` is the tag of a runner that is gone. False for what is no tag."""
    found = TAG.fullmatch(text)
    if found is None or int(found[3] or INITIAL_NAMESPACE) != _namespace():
        return False
    state, started = _state_and_start(int(found[1]))
    return state in ("", "Z", "X") or started != int(found[2])


def _namespace() -> int:
    """The inode of our PID namespace."""
    return os.stat("/proc/self/ns/pid").st_ino


def _state_and_start(pid: int) -> tuple[str, int]:
    """State letter and start time in clock ticks; ("", 0) when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return "", 0
    return fields[0].decode(), int(fields[19])
