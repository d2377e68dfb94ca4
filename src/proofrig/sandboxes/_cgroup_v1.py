"""cgroup v1: a hierarchy per controller, so that a group is a folder in each.

Rules:
1. Memory and swap together have the limit of memory alone, so that a box cannot swap.
2. Groups lie at the top of what is mounted, where every runner of this host finds those of the
   others: limits of the runner's own group do not reach them.
3. v1 ends no group in one go. A group that may hold no process more cannot fork, so one round of
   signals is complete.
4. `oom_kill` counts kills, `failcnt` would count attempts to reclaim, and counts none when swap is
   limited too.
"""

from __future__ import annotations

import errno
import os
from functools import cached_property
from pathlib import Path

from proofrig.sandboxes._cgroup_files import (
    PERIOD_US,
    Counters,
    number,
    quota_us,
    table,
    thousandth,
    write,
)
from proofrig.sandboxes.sandbox import Limits, Unavailable

NEEDED = ("memory", "pids")
USED = (*NEEDED, "cpu", "cpuacct")  # the last two are often one hierarchy with two names
FIX = "boot with `systemd.unified_cgroup_hierarchy=1` (cgroup v2), or use `process`"


class Version1:
    """The controllers below `root`."""

    version = 1
    door = "tasks"  # of oneself: the kernel stops nobody else for it, as it does for cgroup.procs

    def __init__(self, root: Path) -> None:
        """Raises Unavailable when a controller is not there that every group needs."""
        self.root = root
        missing = [name for name in NEEDED if not (root / name).is_dir()]
        if missing:
            raise Unavailable(
                f"limits of cgroup v1 need the controllers {' and '.join(NEEDED)} below {root}; "
                f"there is no {' and no '.join(missing)}: mount them, or {FIX}"
            )

    @cached_property
    def tops(self) -> list[Path]:
        """The hierarchies, each once."""
        there = [self.root / name for name in USED if (self.root / name).is_dir()]
        return list({top.resolve(): top for top in there}.values())

    def at(self, controller: str, name: str) -> str:
        return f"{self.root}/{controller}/{name}"

    def folders(self, name: str) -> list[Path]:
        return [top / name for top in self.tops]

    def open_up(self, folder: Path) -> None:
        """In v1 there is nothing to open."""

    def limit(self, name: str, limits: Limits) -> None:
        memory = self.at("memory", name)
        if limits.memory_bytes is not None:
            write(memory, "memory.limit_in_bytes", limits.memory_bytes)
            if os.path.exists(f"{memory}/memory.memsw.limit_in_bytes"):
                write(memory, "memory.memsw.limit_in_bytes", limits.memory_bytes)
            write(memory, "memory.swappiness", 0)
        if limits.processes is not None:
            write(self.at("pids", name), "pids.max", limits.processes)
        if limits.cpus is not None:
            cpu = self.at("cpu", name)
            if not os.path.exists(f"{cpu}/cpu.cfs_quota_us"):
                raise Unavailable(
                    f"the limit `cpus` needs the controller cpu of cgroup v1 with quotas, and "
                    f"{self.root / 'cpu'} has none: leave the limit out, or {FIX}"
                )
            write(cpu, "cpu.cfs_period_us", PERIOD_US)
            write(cpu, "cpu.cfs_quota_us", quota_us(limits.cpus))

    def count(self, name: str) -> Counters:
        memory, pids = self.at("memory", name), self.at("pids", name)
        throttled = table(self.at("cpu", name), "cpu.stat").get("throttled_time")
        return self.sample(name)._replace(
            memory_peak=number(memory, "memory.max_usage_in_bytes"),
            cpu_us=thousandth(number(self.at("cpuacct", name), "cpuacct.usage")),
            throttled_us=thousandth(throttled),
            processes_peak=number(pids, "pids.peak"),
            processes_refused=table(pids, "pids.events").get("max"),
            oom_kills=table(memory, "memory.oom_control").get("oom_kill"),
        )

    def sample(self, name: str) -> Counters:
        stat = table(self.at("memory", name), "memory.stat")
        return Counters(
            anon_now=stat.get("total_rss", stat.get("rss")),
            processes_now=number(self.at("pids", name), "pids.current"),
        )

    def stop(self, name: str) -> None:
        try:
            write(self.at("pids", name), "pids.max", 0)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
