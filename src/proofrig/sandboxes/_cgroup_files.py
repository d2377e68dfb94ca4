"""What both versions of cgroups share: small files of numbers, and what is counted in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple, Protocol

from proofrig.sandboxes.sandbox import Limits

PERIOD_US = 100_000  # of a quota of processor time
LEAST_QUOTA_US = 1_000  # the kernel takes no less
PART = 1 << 16


class Counters(NamedTuple):
    """What the kernel counted for one group. None: it does not tell."""

    memory_peak: int | None = None  # bytes, page cache and tmpfs included
    memory_now: int | None = None
    anon_now: int | None = None  # bytes of anonymous memory, of the group and those below it
    cpu_us: int | None = None
    throttled_us: int | None = None
    processes_peak: int | None = None
    processes_now: int | None = None
    processes_refused: int | None = None
    oom_kills: int | None = None


class Tree(Protocol):
    """One version's hierarchy: where groups are made, limited, counted, ended. A group's `name` is
    its path in the hierarchy."""

    version: int
    door: str  # the file that a process of one thread writes 0 into, to be in the group

    def folders(self, name: str) -> list[Path]:
        """The folders that make up a group; `cgroup.procs` is read in the first."""

    def open_up(self, folder: Path) -> None:
        """Let the groups below an inner folder have limits."""

    def limit(self, name: str, limits: Limits) -> None:
        """Write the limits. Raises Unavailable for one that has no controller."""

    def count(self, name: str) -> Counters:
        """All counters."""

    def sample(self, name: str) -> Counters:
        """Those that have no peak of their own in this kernel, as they are now."""

    def stop(self, name: str) -> None:
        """From now on nothing in the group can multiply (or all of it has been sent SIGKILL)."""


def write(folder: Path | str, file: str, value: object) -> None:
    """Write one value. Raises OSError."""
    # never O_CREAT: the kernel made the file
    descriptor = os.open(f"{folder}/{file}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)


def number(folder: Path | str, file: str) -> int | None:
    """The number in a file; None when there is no such file, or no number ("max") in it."""
    text = read(folder, file).strip()
    return int(text) if text.isdigit() else None


def table(folder: Path | str, file: str) -> dict[str, int]:
    """A file of lines `name number`; empty when there is no such file."""
    lines = (line.split() for line in read(folder, file).splitlines())
    return {pair[0]: int(pair[1]) for pair in lines if len(pair) == 2 and pair[1].isdigit()}


def read(folder: Path | str, file: str) -> str:
    """The text of a file, "" when there is none."""
    try:
        descriptor = os.open(f"{folder}/{file}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        parts = []
        while part := os.read(descriptor, PART):
            parts.append(part)
        return b"".join(parts).decode()
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def quota_us(cpus: float) -> int:
    """The processor time per period that `cpus` processors are."""
    return max(LEAST_QUOTA_US, round(cpus * PERIOD_US))


def thousandth(value: int | None) -> int | None:
    """Nanoseconds as microseconds, or microseconds as milliseconds; None stays None."""
    return None if value is None else value // 1000
