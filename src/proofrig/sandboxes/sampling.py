"""What processes use, looked at from outside: limits at the `process` level are advisory.

    sampler = Sampler(lambda: [leader.pid], marker)
    sampler.start() ... sampler.over(limits) ... await sampler.close() ... sampler.usage()

Rules:
1. Nothing is held back and nothing is counted exactly. Between two looks memory can come and go,
   and what starts and ends in between is never seen; a cgroup sees both.
2. Memory is the sum of resident pages without those of files. Pages that forks share are counted
   once for each, and page cache not at all, so the peak with page cache is not told.
3. Processor time is that of living processes and of the children they have waited for, and what
   processes that are gone had when they were last seen. It never goes down.
4. A process that left its tree is found by the marker in a variable PROOFRIG_*, and followed from
   then on. One that has cleared its environment is lost.
5. All samplers share one reading of /proc, without a thread. It takes at most `SHARE` of a
   processor: where there are many processes, all look less often.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from proofrig.sandboxes import keeper
from proofrig.sandboxes.sandbox import Limit, Limits, Usage

EVERY_S = 0.05
SHARE = 0.03  # of one processor
MARKED = b"PROOFRIG_"  # variables in which a marker is looked for
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Seen:
    """One process at one reading."""

    parent: int
    threads: int
    own_ms: float
    waited_ms: float  # of children that it has waited for, and theirs
    started: int  # clock ticks after the boot: with the pid, who it is
    stack: int  # where its stack begins, which another program (exec) changes


@dataclass
class Table:
    """The processes of this machine, as they were last read."""

    everyone: dict[int, Seen] = field(default_factory=dict)
    children: dict[int, list[int]] = field(default_factory=dict)
    marks: dict[int, list[bytes]] = field(default_factory=dict)  # values of variables PROOFRIG_*
    readings: int = 0
    due: float = 0.0  # on the monotonic clock

    def refresh(self) -> None:
        """Read it again when that is due."""
        if time.monotonic() >= self.due:
            self.read()

    def read(self) -> None:
        """Read it again."""
        began = time.thread_time()
        before, self.everyone = self.everyone, _everyone()
        self.children = {}
        for pid, seen in self.everyone.items():
            self.children.setdefault(seen.parent, []).append(pid)
        self.marks = {
            pid: self.marks[pid] if _same_program(before.get(pid), seen) else _marks(pid)
            for pid, seen in self.everyone.items()
        }
        self.readings += 1
        self.due = time.monotonic() + max(EVERY_S, (time.thread_time() - began) / SHARE)


TABLE = Table()
READING = threading.RLock()  # verifiers have samplers on event loops of other threads


class Sampler:
    """Watches the trees of some processes, from `start` to `close`. `pid_of` tells the pids at the
    top of the trees as they are now; `marker`: of strays, "" when they are not looked for; `files`:
    open files are counted, too."""

    def __init__(
        self, pid_of: Callable[[], list[int]], marker: str = "", *, files: bool = False
    ) -> None:
        self._pid_of = pid_of
        self._marker = marker.encode()
        self._files: int | None = 0 if files else None  # the most of one process
        self._task: asyncio.Task[None] | None = None
        self._reading = 0  # the one that was looked at last
        self._known: dict[int, Seen] = {}  # the members in it
        self._anon = self._processes = 0
        self._cpu_ms = self._gone_ms = 0.0

    def start(self) -> None:
        """Look every 50 ms, or as often as all readings together may."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        while True:
            with READING:
                TABLE.refresh()
                self._look()
            await asyncio.sleep(EVERY_S)

    def usage(self) -> Usage:
        """What was seen so far."""
        return Usage(
            memory_anon_peak_bytes=self._anon,
            cpu_ms=round(self._cpu_ms),
            processes_peak=self._processes,
            open_files_peak=self._files,
        )

    def over(self, limits: Limits) -> tuple[Limit, ...]:
        """The limits that were seen exceeded."""
        pairs: tuple[tuple[Limit, float, float | None], ...] = (
            ("memory", self._anon, limits.memory_bytes),
            ("cpu", self._cpu_ms, limits.cpu_ms),
            ("processes", self._processes, limits.processes),
            ("open_files", self._files or 0, limits.open_files),
        )
        return tuple(name for name, seen, most in pairs if most is not None and seen > most)

    def look(self) -> None:
        """Look once, now."""
        with READING:
            TABLE.read()
            self._look()

    def _look(self) -> None:
        if self._reading == TABLE.readings:
            return
        self._reading = TABLE.readings
        members = self._members()
        self._anon = max(self._anon, sum(_anon(pid) for pid in members))
        self._processes = max(self._processes, sum(seen.threads for seen in members.values()))
        if self._files is not None:
            self._files = max(self._files, *(keeper.open_files(pid) for pid in members), 0)
        self._add_up(members)
        self._known = members

    def _members(self) -> dict[int, Seen]:
        """The trees, what was in them before, and strays."""
        everyone = TABLE.everyone
        found = [pid for pid in self._pid_of() if pid in everyone]
        found += [pid for pid, seen in self._known.items() if _same(everyone.get(pid), seen)]
        if self._marker:
            found += [pid for pid, marks in TABLE.marks.items() if self._marker in marks]
        members: dict[int, Seen] = {}
        for pid in found:  # which grows
            if pid not in members:
                members[pid] = everyone[pid]
                found.extend(TABLE.children.get(pid, ()))
        return members

    def _add_up(self, members: dict[int, Seen]) -> None:
        """Those that are gone leave what they had, unless a member has waited for them: then it is
        in that one's `waited_ms`, which grew by as much or more."""
        gone = [seen for pid, seen in self._known.items() if not _same(members.get(pid), seen)]
        left = sum(seen.own_ms + seen.waited_ms for seen in gone)
        waited = sum(
            seen.waited_ms - self._known[pid].waited_ms
            for pid, seen in members.items()
            if _same(self._known.get(pid), seen)
        )
        self._gone_ms += max(0.0, left - waited)
        living = sum(seen.own_ms + seen.waited_ms for seen in members.values())
        self._cpu_ms = max(self._cpu_ms, living + self._gone_ms)


def _same(a: Seen | None, b: Seen) -> bool:
    """True when both are looks at one process, not at two with the same pid."""
    return a is not None and a.started == b.started


def _same_program(a: Seen | None, b: Seen) -> bool:
    """True when it did not start another program in between."""
    return a is not None and (a.started, a.stack) == (b.started, b.stack)


def _everyone() -> dict[int, Seen]:
    return {pid: seen for pid in keeper.processes() if (seen := _seen(pid)) is not None}


def _seen(pid: int) -> Seen | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if fields[0] in (b"Z", b"X"):
        return None
    own, waited = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    return Seen(
        parent=int(fields[1]),
        threads=int(fields[17]),
        own_ms=own * TICK_MS,
        waited_ms=waited * TICK_MS,
        started=int(fields[19]),
        stack=int(fields[25]),
    )


def _marks(pid: int) -> list[bytes]:
    """The values of its variables PROOFRIG_*; none where it is gone or not ours to look at."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            variables = file.read().split(b"\0")
    except OSError:
        return []
    return [text.partition(b"=")[2] for text in variables if text.startswith(MARKED)]


def _anon(pid: int) -> int:
    """Resident bytes that are no pages of files; 0 when the process is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            _, resident, shared, *_ = file.read().split()
    except OSError:
        return 0
    return (int(resident) - int(shared)) * PAGE
