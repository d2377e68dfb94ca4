"""cgroup v2: one hierarchy, and the part of it that this process may manage.

Rules:
1. Groups lie below our own group where it was delegated to us, else at the top of what is mounted
   where we may write there (root). They share the limits of what they lie in.
2. A group with processes in it cannot give limits to groups below. Ours is emptied into the leaf
   `proofrig-runner` when all that is in it descends from one ancestor of ours that is in it too
   (a scope that was made for us, a container). The processes of others are not moved.
3. When memory runs out the whole group is killed, never half of it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from proofrig.sandboxes import keeper
from proofrig.sandboxes._cgroup_files import (
    PERIOD_US,
    Counters,
    number,
    quota_us,
    read,
    table,
    write,
)
from proofrig.sandboxes.sandbox import Limits, Unavailable

NEEDED = {"memory", "pids"}
USED = ("memory", "pids", "cpu")
RUNNER = "proofrig-runner"  # the leaf that the runner moves to
FIX = "start it with `systemd-run --user --scope -p Delegate=yes proofrig ...`, or as root"


class Version2:
    """The groups below `base`, a group whose groups may have limits."""

    version = 2
    door = "cgroup.procs"

    def __init__(self, base: Path) -> None:
        self.base = base

    @classmethod
    def find(cls, root: Path, own: str) -> Version2:
        """Where this process may make groups. `root`: where the hierarchy is mounted; `own`: our
        group in it, as /proc/self/cgroup tells. Raises Unavailable."""
        here = root / own.lstrip("/")
        if ".." in own or not here.is_dir():  # a mount of another namespace
            here = root
        if here.name == RUNNER:
            here = here.parent
        candidates = [here] if here == root or not may_manage(root) else [here, root]
        for base in candidates:
            if may_manage(base) and enabled(base) >= NEEDED:
                return cls(base)
        refusals = []
        for base in reversed(candidates):  # in the root group, processes are in nobody's way
            try:
                enable(base)
                return cls(base)
            except Unavailable as refusal:
                refusals.append(refusal)
        raise refusals[-1]

    def folders(self, name: str) -> list[Path]:
        return [self.base / name]

    def open_up(self, folder: Path) -> None:
        there = read(folder, "cgroup.controllers").split()
        write(folder, "cgroup.subtree_control", " ".join(f"+{c}" for c in USED if c in there))

    def limit(self, name: str, limits: Limits) -> None:
        folder = f"{self.base}/{name}"
        if limits.memory_bytes is not None:
            write(folder, "memory.max", limits.memory_bytes)
            if os.path.exists(f"{folder}/memory.swap.max"):
                write(folder, "memory.swap.max", 0)
        write(folder, "memory.oom.group", 1)
        if limits.processes is not None:
            write(folder, "pids.max", limits.processes)
        if limits.cpus is not None:
            if not os.path.exists(f"{folder}/cpu.max"):
                raise Unavailable(
                    f"the limit `cpus` needs the controller cpu, which was not given to "
                    f"{self.base}: leave the limit out, or {FIX}"
                )
            write(folder, "cpu.max", f"{quota_us(limits.cpus)} {PERIOD_US}")

    def count(self, name: str) -> Counters:
        folder = f"{self.base}/{name}"
        cpu = table(folder, "cpu.stat")
        return self.sample(name)._replace(
            memory_peak=number(folder, "memory.peak"),
            cpu_us=cpu.get("usage_usec"),
            throttled_us=cpu.get("throttled_usec"),
            processes_peak=number(folder, "pids.peak"),
            processes_refused=table(folder, "pids.events").get("max"),
            oom_kills=table(folder, "memory.events").get("oom_kill"),
        )

    def sample(self, name: str) -> Counters:
        folder = f"{self.base}/{name}"
        return Counters(
            memory_now=number(folder, "memory.current"),
            anon_now=table(folder, "memory.stat").get("anon"),
            processes_now=number(folder, "pids.current"),
        )

    def stop(self, name: str) -> None:
        folder = f"{self.base}/{name}"
        with contextlib.suppress(FileNotFoundError):
            if os.path.exists(f"{folder}/cgroup.kill"):  # Linux 5.14
                write(folder, "cgroup.kill", 1)
            else:
                write(folder, "pids.max", 0)


def own_group(text: str) -> str:
    """Our group of v2 in the text of /proc/self/cgroup; "/" when it is not there."""
    found = [line[3:] for line in text.splitlines() if line.startswith("0::")]
    return found[0] if found else "/"


def may_manage(group: Path) -> bool:
    """True when we may make groups below, and move processes there."""
    return os.access(group, os.W_OK) and os.access(group / "cgroup.procs", os.W_OK)


def enabled(group: Path) -> set[str]:
    """The controllers of the groups below."""
    return set(read(group, "cgroup.subtree_control").split())


def enable(base: Path) -> None:
    """Make the groups below `base` able to have limits. Raises Unavailable."""
    there = set(read(base, "cgroup.controllers").split())
    if missing := NEEDED - there:
        raise Unavailable(
            f"limits need the controllers memory and pids; {base} was not given "
            f"{' and '.join(sorted(missing))}: {FIX}"
        )
    if not may_manage(base):
        raise Unavailable(f"limits need a group of our own, and we may not write to {base}: {FIX}")
    value = " ".join(f"+{name}" for name in USED if name in there)
    try:
        try:
            write(base, "cgroup.subtree_control", value)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            make_room(base)
            write(base, "cgroup.subtree_control", value)
    except OSError as error:
        raise Unavailable(
            f"limits cannot be given to groups below {base} ({error}): {FIX}"
        ) from None


def make_room(base: Path) -> None:
    """Move what is in `base`, ourselves included, to a leaf below. Raises Unavailable when
    something else than our own line is in it, OSError."""
    pids = [int(pid) for pid in read(base, "cgroup.procs").split()]
    if strangers := set(pids) - line(set(pids)):
        raise Unavailable(
            f"limits need a group of our own: {len(strangers)} processes that are not ours are in "
            f"{base} too: {FIX}"
        )
    (base / RUNNER).mkdir(exist_ok=True)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            write(base / RUNNER, "cgroup.procs", pid)


def line(group: set[int]) -> set[int]:
    """The oldest ancestor of ours that is in the group, and all its descendants."""
    top = os.getpid()
    while (parent := keeper.parent_and_state(top)[0]) in group and parent:
        top = parent
    return set(keeper.tree(top))
