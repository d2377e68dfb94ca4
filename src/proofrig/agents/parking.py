"""The host's side of a gate: wait for the end of a named pipe, then for the time to start.

Loaded by `host.py` in the agent's own interpreter: standard library only, Python 3.9+. The pipe
lives on this machine, so opening it for reading without blocking never fails once it is there; one
that is gone was released already.
"""

from __future__ import annotations

import os
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def opened(path: str) -> int:
    """A descriptor that ends when the gate is released; -1 when it was already."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return -1


def is_released(descriptor: int) -> bool:
    """True once the gate was released."""
    try:
        return os.read(descriptor, 1) == b""
    except BlockingIOError:
        return False


def wait(path: str, at_ns: int) -> int:
    """Block until the gate is released and `at_ns` more have passed; when that was."""
    descriptor = opened(path)
    if descriptor >= 0:
        while not is_released(descriptor):
            select.select([descriptor], [], [])
        os.close(descriptor)
    due = time.monotonic_ns() + at_ns
    while True:
        left = due - time.monotonic_ns()
        if left <= 0:
            return time.monotonic_ns()
        time.sleep(left / 1e9)


class Gates:
    """The gates of a shared host: jobs wait for theirs in the host's loop."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.waiting: dict[str, list[tuple[int, Any]]] = {}

    def park(self, path: str, at_ns: int, go: Any) -> None:
        """Call `go` when the gate at `path` is released and `at_ns` more have passed."""
        if path in self.waiting:
            self.waiting[path].append((at_ns, go))
            return
        descriptor = opened(path)
        self.waiting[path] = [(at_ns, go)]
        if descriptor < 0:
            self.release(path)
        elif is_released(descriptor):  # a pipe that never had a writer wakes nobody
            os.close(descriptor)
            self.release(path)
        else:
            self.loop.add_reader(descriptor, self.readable, path, descriptor)

    def readable(self, path: str, descriptor: int) -> None:
        if is_released(descriptor):
            self.loop.remove_reader(descriptor)
            os.close(descriptor)
            self.release(path)

    def release(self, path: str) -> None:
        now = self.loop.time()
        for at_ns, go in self.waiting.pop(path):
            if at_ns:
                self.loop.call_at(now + at_ns / 1e9, go)
            else:
                go()
