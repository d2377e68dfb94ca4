"""Limits and counters of one box, held by the kernel: a cgroup, of version 1 or 2.

    proofrig/<tag of the runner>/<run>-<box>

Rules:
1. What is made here is enforced. Where it cannot be there is `Unavailable`, with the reason.
2. Memory, processes and processors at a time are limited by the kernel. Processor time is only
   read here; the sandbox ends a box that had enough of it.
3. Memory is everything charged to the box: anonymous memory, its page cache, files in its tmpfs.
   So the peak of a box that reads or writes large files is near its limit, and harmless: page cache
   is given back under pressure. Files in tmpfs are not; a tmpfs that is filled is an out-of-memory
   kill. What is neither is told apart by sampling.
4. Nothing survives `kill`, not even something that forks without end.
5. All of it is blocking. To make, read and remove a group takes well below 2 ms together; `kill`
   waits until the last process has ended, and `add` for the kernel, 10 ms where it was idle: on an
   event loop both belong into a thread.
6. The names tell whose a group is (`owners.py`), so that those of dead runners are found. The
   folders around groups stay until `leave`: to make them anew for each box would cost 2 ms.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import re
import time
from functools import lru_cache
from pathlib import Path

from proofrig.errors import SandboxError
from proofrig.sandboxes import keeper, owners
from proofrig.sandboxes._cgroup_files import Counters, Tree, read, thousandth, write
from proofrig.sandboxes._cgroup_v1 import Version1
from proofrig.sandboxes._cgroup_v2 import Version2, own_group
from proofrig.sandboxes.sandbox import Held, Limit, Limits, Unavailable, Usage

ROOT = Path("/sys/fs/cgroup")
FOLDER = "proofrig"
DEADLINE_S = 10.0  # a process that survives SIGKILL this long hangs in the kernel
ATTEMPTS = 100  # to make a group while other runners remove the folders around it


class Group:
    """The group of one box. It is made empty; processes are added, what they start is in it."""

    held: Held = "enforced"

    def __init__(self, tree: Tree, name: str) -> None:
        self.name = name
        self._tree = tree
        self._folders = tree.folders(name)
        self._peak = Counters()  # of what was sampled
        self._files: int | None = None  # the open files that a process may have
        self._open = 0  # the most that one was seen with
        self._refused: int | None = None  # when it was killed
        self._last: Usage | None = None  # when it was removed

    @classmethod
    def make(cls, name: str, limits: Limits, root: Path = ROOT) -> Group:
        """A new group. `name`: `<run>-<box>`, unique in this runner; characters that a folder
        cannot have become `_`. `root`: where cgroups are mounted. Raises Unavailable where limits
        cannot be had, with the reason and the fix; SandboxError when just this group cannot be
        made."""
        tree = _tree(root)
        group = cls(tree, f"{FOLDER}/{owners.tag()}/{re.sub(r'[^A-Za-z0-9._-]', '_', name)[:200]}")
        group._files = limits.open_files
        try:
            group._make()
            tree.limit(group.name, limits)
        except FileExistsError:
            raise SandboxError(f"there is a group {group.name} already", definite=True) from None
        except OSError as error:
            group.remove()
            raise _explained(error, tree, group.name) from None
        except Unavailable:
            group.remove()
            raise
        return group

    def _make(self) -> None:
        for folder in self._folders:
            for attempt in range(ATTEMPTS):
                try:
                    folder.mkdir()
                    break
                except FileNotFoundError:  # its parents were never made, or are just removed
                    if attempt == ATTEMPTS - 1:
                        raise
                    atexit.unregister(leave)
                    atexit.register(leave)
                    with contextlib.suppress(FileNotFoundError):
                        for parent in (folder.parent.parent, folder.parent):
                            parent.mkdir(exist_ok=True)
                            self._tree.open_up(parent)

    def add(self, pid: int) -> None:
        """Put a process in; what it starts from now on is in, too. Raises SandboxError when it is
        gone, or is not ours to move."""
        try:
            for folder in self._folders:
                write(folder, "cgroup.procs", pid)
        except OSError as error:
            raise SandboxError(
                f"cannot put process {pid} into the group {self.name}: {error}"
            ) from None

    @property
    def doors(self) -> list[str]:
        """The files through which a process puts itself in, by writing 0 into each: 0.4 ms."""
        return [f"{folder}/{self._tree.door}" for folder in self._folders]

    def pids(self) -> list[int]:
        """The processes in it, and in groups that they made below it."""
        folder = self._folders[0]
        found = [int(pid) for pid in read(folder, "cgroup.procs").split()]
        for below, _, _ in os.walk(folder):
            if below != str(folder):
                found += [int(pid) for pid in read(Path(below), "cgroup.procs").split()]
        return found

    def sample(self) -> int | None:
        """Look at anonymous memory, in bytes; `read` tells the largest that was seen."""
        now = self._tree.sample(self.name)
        self._peak = Counters(*(_larger(a, b) for a, b in zip(self._peak, now, strict=True)))
        if self._files is not None:
            held = [pid for pid in self.pids() if keeper.held_to(pid) == self._files]
            self._open = max((self._open, *map(keeper.open_files, held)))
        return now.anon_now

    def read(self) -> Usage:
        """What it used so far. After `remove`, what it had used then."""
        if self._last is not None:
            return self._last
        self.sample()
        told, seen = self._tree.count(self.name), self._peak
        peak = told.memory_peak if told.memory_peak is not None else seen.memory_now
        most = told.processes_peak if told.processes_peak is not None else seen.processes_now
        return Usage(
            memory_peak_bytes=peak,
            memory_anon_peak_bytes=seen.anon_now,
            cpu_ms=thousandth(told.cpu_us),
            throttled_ms=thousandth(told.throttled_us),
            processes_peak=most,
            processes_refused=(told.processes_refused if self._refused is None else self._refused),
            open_files_peak=self._open or None,
            oom_kills=told.oom_kills,
        )

    def broke(self) -> tuple[Limit, ...]:
        """The limits that the kernel refused to let it exceed. Of open files, that a process was
        seen with as many as it may have."""
        usage = self.read()
        broken: list[Limit] = []
        if usage.oom_kills:
            broken.append("memory")
        if usage.processes_refused:
            broken.append("processes")
        if self._files is not None and (usage.open_files_peak or 0) >= self._files:
            broken.append("open_files")
        return tuple(broken)

    def kill(self) -> int:
        """End everything in it; returns how many processes were seen. Raises SandboxError when
        some cannot be ended."""
        if self._last is not None:
            return 0
        if self._refused is None:  # `stop` may refuse forks, which is not the box's doing
            self._refused = self._tree.count(self.name).processes_refused
        self._tree.stop(self.name)
        deadline = time.monotonic() + DEADLINE_S
        seen: set[int] = set()
        pause = 0.0005
        while pids := self.pids():
            seen.update(pids)
            for pid in pids:
                if pid:  # 0: it lies in another PID namespace
                    keeper.kill(pid)
            if time.monotonic() > deadline:
                raise SandboxError(f"processes {pids} in the group {self.name} survive SIGKILL")
            time.sleep(pause)
            pause = min(pause * 2, 0.02)
        return len(seen)

    def remove(self) -> None:
        """Remove the group. Doing it again does nothing. Raises SandboxError while something is
        alive in it."""
        if self._last is None:
            self._last = self.read()
        for folder in self._folders:
            for below, _, _ in os.walk(folder, topdown=False):
                _remove(Path(below))


def leave(tag: str = "", root: Path = ROOT) -> None:
    """Remove the empty folders around a runner's groups; `tag`: of another than this one. It is
    done when the runner ends in good order."""
    with contextlib.suppress(Unavailable):
        for folder in _tree(root).folders(FOLDER):
            for path in (folder / (tag or owners.tag()), folder):
                with contextlib.suppress(OSError):  # other groups are in it
                    path.rmdir()


def probe(root: Path = ROOT) -> tuple[int, str]:
    """The version of cgroups whose limits can be used here, shown by making a group: 1 or 2, and
    where groups are made; 0, and the reason with the fix."""
    try:
        limits = Limits(memory_bytes=64 << 20, processes=16)
        group = Group.make(f"probe-{time.monotonic_ns()}", limits, root)
    except (Unavailable, SandboxError) as error:
        return 0, str(error)
    group.remove()
    return group._tree.version, str(group._folders[0].parents[2])


def leftovers(run: str = "", root: Path = ROOT) -> list[str]:
    """The names of groups whose runner is gone; only those of `run` when it is given."""
    try:
        tree = _tree(root)
    except Unavailable:
        return []
    found = set()
    for folder in tree.folders(FOLDER):
        for owner in _below(folder):
            if owners.is_dead(owner.name):
                groups = [f"{FOLDER}/{owner.name}/{group.name}" for group in _below(owner)]
                found.update(groups or [f"{FOLDER}/{owner.name}"])
    return sorted(name for name in found if not run or f"/{run}-" in name)


def discard(name: str, root: Path = ROOT) -> None:
    """End what is in a group and remove it, whoever made it. Raises SandboxError."""
    group = Group(_tree(root), name)
    group.kill()
    group.remove()
    leave(name.split("/")[1], root)


def sweep(run: str = "", root: Path = ROOT) -> list[str]:
    """Discard the leftovers; returns their names. Raises SandboxError when one stays."""
    names = leftovers(run, root)
    for name in names:
        discard(name, root)
    return names


def _below(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except FileNotFoundError:
        return []


def _tree(root: Path) -> Tree:
    """The hierarchy of this machine. Raises Unavailable."""
    return _found(root, os.getpid())


@lru_cache(maxsize=8)
def _found(root: Path, pid: int) -> Tree:
    if (root / "cgroup.controllers").exists():
        return Version2.find(root, own_group(read(Path("/proc/self"), "cgroup")))
    if not root.is_dir() or not any(root.iterdir()):
        raise Unavailable(
            f"limits need cgroups, and none are mounted at {root}: mount them "
            f"(`mount -t cgroup2 none {root}`), or use `process`"
        )
    return Version1(root)


def _explained(error: OSError, tree: Tree, name: str) -> Exception:
    """Why a group could not be made, and what to do."""
    where = f"cgroup v{tree.version} ({error.filename or tree.folders(name)[0]})"
    if error.errno == errno.EROFS:
        return Unavailable(
            f"limits need to write to {where}, which is read-only, as in most containers: give "
            "the container its cgroups writable (`--privileged`), or use `process`"
        )
    if error.errno in (errno.EACCES, errno.EPERM) and tree.version == 1:
        return Unavailable(
            f"limits need root on {where}: version 1 cannot be handed to a user; run as root, "
            "boot with `systemd.unified_cgroup_hierarchy=1` (cgroup v2), or use `process`"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return Unavailable(
            f"limits need to write to {where}, and we may not ({error.strerror}): start it with "
            "`systemd-run --user --scope -p Delegate=yes proofrig ...`, or as root"
        )
    return SandboxError(f"cannot make the group {name} of {where}: {error.strerror}", definite=True)


def _remove(folder: Path) -> None:
    """rmdir, which the kernel refuses for a moment after the last process has ended."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            folder.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise SandboxError(f"cannot remove the group {folder}: {error}") from None
        time.sleep(0.001)


def _larger(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else max(a, b)
