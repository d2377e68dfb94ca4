"""Groups of cgroup v2, on a machine that has it: as root, and as a user to whom one was delegated.

    python -m slow.cgroup_v2          as root; a guest of the vm level will do

Needs Python, msgspec and the package; no pytest, so that a small guest can run it. Exit 1 with the
first expectation that did not hold. It moves itself into groups of its own and leaves none.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from proofrig.sandboxes import cgroups
from proofrig.sandboxes._cgroup_v2 import RUNNER, own_group
from proofrig.sandboxes.cgroups import ROOT, Group, probe
from proofrig.sandboxes.sandbox import Limits, Unavailable

MB = 1 << 20
NOBODY = 65534
DEADLINE_S = 120.0  # an emulated guest is slow


def check(true: object, *what: object) -> None:
    if not true:
        print("FAIL", *what, flush=True)
        raise SystemExit(1)


def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        check(time.monotonic() < deadline, what)
        time.sleep(0.01)


def started(group: Group, *argv: str) -> subprocess.Popen[bytes]:
    """A program that waits for a byte until it is in the group."""
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    group.add(process.pid)
    assert process.stdin
    process.stdin.write(b"\n")
    process.stdin.flush()
    return process


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", f"import sys, time, os; sys.stdin.read(1); {code}")


def out_of_memory() -> None:
    """A child is too large, its parent would have ended well: all of the group is killed."""
    group = Group.make("memory", Limits(memory_bytes=32 * MB))
    child = f"{sys.executable} -S -c 'bytearray({100 * MB})'; exit 0"
    process = started(group, "sh", "-c", f"read go; {child}")
    check(process.wait() == -signal.SIGKILL, "the group is killed as a whole", process.returncode)
    usage = group.read()
    check(usage.oom_kills, usage)
    check(usage.memory_peak_bytes and 24 * MB < usage.memory_peak_bytes <= 32 * MB, usage)
    check(group.broke() == ("memory",), group.broke())
    group.kill()
    group.remove()
    check(not group._folders[0].exists(), "removed")
    check(group.read() == usage, "what was used is known afterwards")


def bomb() -> None:
    group = Group.make("processes", Limits(processes=16))
    code = "\nwhile True:\n  try: os.fork()\n  except OSError: time.sleep(0.01)"
    process = started(group, *python(code))
    until(lambda: (group.read().processes_refused or 0) > 5, "forks are refused")
    check((group.read().processes_peak or 0) <= 16, group.read())
    check(group.kill() > 1 and group.pids() == [], "all are ended")
    process.wait()
    check(group.broke() == ("processes",), group.broke())
    group.remove()


def processors() -> None:
    group = Group.make("cpus", Limits(cpus=0.2))
    process = started(group, *python("\nwhile time.process_time() < 0.5: pass"))
    check(process.wait() == 0, "a slow program ends well")
    usage = group.read()
    check((usage.cpu_ms or 0) >= 450 and (usage.throttled_ms or 0) > 200, usage)
    check(group.broke() == (), group.broke())
    group.remove()


def killed_itself() -> None:
    group = Group.make("killed", Limits(memory_bytes=64 * MB))
    process = started(group, "sh", "-c", "read go; kill -9 $$")
    check(process.wait() == -signal.SIGKILL, process.returncode)
    check(group.read().oom_kills == 0 and group.broke() == (), group.read())
    group.remove()


SCENARIOS = (out_of_memory, bomb, processors, killed_itself)


def forked(work: Callable[[], None]) -> None:
    """Do it in a process of its own, in which nothing is remembered."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            cgroups._found.cache_clear()
            work()
            code = 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    check(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, work.__name__)


def become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def delegated() -> None:
    """As a user in a group that is theirs: room is made, then everything works as for root."""
    scope = ROOT / "delegated-test"
    scope.mkdir()
    for name in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
        os.chown(scope / name, NOBODY, NOBODY)
    (scope / "cgroup.procs").write_text(str(os.getpid()))
    become_nobody()
    found = probe()
    check(found == (2, str(scope)), found)
    own = own_group(Path("/proc/self/cgroup").read_text())
    check(own == f"/delegated-test/{RUNNER}", own)
    cgroups._found.cache_clear()
    check(probe() == found, "found again from the leaf")
    for scenario in SCENARIOS:
        scenario()


def not_delegated() -> None:
    become_nobody()
    version, reason = probe()
    check(version == 0 and "Delegate=yes" in reason, version, reason)
    try:
        Group.make("x", Limits())
    except Unavailable:
        return
    check(False, "a group without the right to make it")


def main() -> None:
    check(os.geteuid() == 0, "expected root")
    check((ROOT / "cgroup.controllers").exists(), f"expected cgroup v2 at {ROOT}")
    print(os.uname().release, *probe(), flush=True)
    for scenario in SCENARIOS:
        scenario()
        print("ok  ", scenario.__name__, flush=True)
    took = []
    for number in range(100):
        began = time.process_time()
        Group.make(f"cost-{number}", Limits(memory_bytes=64 * MB, processes=9, cpus=1)).remove()
        took.append(time.process_time() - began)
    print(f"make and remove: {min(took) * 1e6:.0f} us of processor time at best", flush=True)
    for work in (not_delegated, delegated):
        forked(work)
        print("ok  ", work.__name__, flush=True)
    scope = ROOT / "delegated-test"
    until(lambda: not (scope / RUNNER / "cgroup.procs").read_text(), "the leaf is empty")
    (scope / RUNNER).rmdir()
    scope.rmdir()
    check(not (ROOT / "proofrig").exists(), "nothing is left")
    print("all well", flush=True)


if __name__ == "__main__":
    main()
