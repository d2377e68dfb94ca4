"""The trial's cgroup in the guest: limits, counters, and the end of everything in it.

    /sys/fs/cgroup/trial/<number>      one per program that runs

Rules:
1. Limits and counters are the trial's as a whole; each program has a group below, so that what it
   leaves behind is found and ended. Such groups are used again: making one takes an emulated
   processor long, and some are made before there is a trial.
2. When memory has run out, the whole trial is ended by the kernel, not what happened to ask last.
3. What the kernel of the guest does not count is sampled, and what cannot be told is None.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ROOT = "/sys/fs/cgroup"
TRIAL = ROOT + "/trial"
REHEARSAL = ROOT + "/rehearsal"  # for what is started to warm up: the trial is charged nothing
AHEAD = 2
CONTROLLERS = "+memory +pids +cpu"
PERIOD_US = 100_000
SPARE = 40 << 20  # bytes of memory that the guest itself keeps


def write(path: str, text: object) -> None:
    with open(path, "w") as file:
        file.write(str(text))


def read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def number(path: str) -> int | None:
    text = read(path).strip()
    return int(text) if text.isdigit() else None


def fields(path: str) -> dict[str, int]:
    """The lines `name number` of a file."""
    rows = (line.split() for line in read(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2}


class Trial:
    """All programs of the trial."""

    def __init__(self) -> None:
        write(ROOT + "/cgroup.subtree_control", CONTROLLERS)
        os.mkdir(TRIAL)
        write(TRIAL + "/cgroup.subtree_control", CONTROLLERS)
        write(TRIAL + "/memory.oom.group", 1)
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        self.room = pages - SPARE
        write(TRIAL + "/memory.max", self.room)
        self.anon = 0
        self.most = 0
        self.made = 0
        self.spare: list[str] = []
        for group in [self.take() for _ in range(AHEAD)]:
            self.give_back(group)
        os.mkdir(REHEARSAL)

    def limit(self, limits: dict[str, Any]) -> None:
        """Set what `Limits` says, as far as cgroups hold it."""
        memory = limits.get("memory_bytes")
        if memory is not None and memory < self.room:
            write(TRIAL + "/memory.max", memory)
        processes = limits.get("processes")
        if processes is not None:
            write(TRIAL + "/pids.max", processes)
        cpus = limits.get("cpus")
        if cpus:
            write(TRIAL + "/cpu.max", f"{max(1000, round(cpus * PERIOD_US))} {PERIOD_US}")

    def take(self) -> str:
        """An empty group for one program."""
        if not self.spare:
            self.made += 1
            self.spare.append(f"{TRIAL}/{self.made}")
            os.mkdir(self.spare[-1])
        return self.spare.pop()

    def pids(self, group: str) -> list[int]:
        return [int(pid) for pid in read(group + "/cgroup.procs").split()]

    def kill(self, group: str) -> None:
        write(group + "/cgroup.kill", 1)

    def give_back(self, group: str) -> None:
        """The program of a group has ended, and all it left."""
        if group != REHEARSAL:
            self.spare.append(group)

    def sample(self) -> None:
        """Look at what has no counter of its own."""
        self.anon = max(self.anon, fields(TRIAL + "/memory.stat").get("anon", 0))
        self.most = max(self.most, number(TRIAL + "/pids.current") or 0)

    def cpu_us(self) -> int:
        return fields(TRIAL + "/cpu.stat").get("usage_usec", 0)

    def usage(self) -> dict[str, Any]:
        self.sample()
        cpu = fields(TRIAL + "/cpu.stat")
        groups = [f"{TRIAL}/{made}" for made in range(1, self.made + 1)]
        refused = sum(fields(group + "/pids.events").get("max", 0) for group in groups)
        most = number(TRIAL + "/pids.peak")
        if most is None:
            most = max(self.most, (number(TRIAL + "/pids.max") or 0) if refused else 0)
        return {
            "memory_peak_bytes": number(TRIAL + "/memory.peak"),
            "memory_anon_peak_bytes": self.anon,
            "cpu_ms": cpu.get("usage_usec", 0) // 1000,
            "throttled_ms": cpu.get("throttled_usec", 0) // 1000,
            "processes_peak": most,
            "processes_refused": refused,
            "oom_kills": fields(TRIAL + "/memory.events").get("oom_kill"),
        }
