"""What a box costs, beside a bare subprocess and a bare bwrap in the same rounds.

    python benchmarks/bench_sandboxes.py [--rounds 30] [--soak 500 [--at LEVEL,LEVEL]]
                                         [--check]

Each round starts the system's Python once in each way and reads what it prints: a subprocess; bare
bwrap (`--unshare-all` over the same programs, read-only); a fresh box of the process level and one
of the namespace level, with a world, limits, cgroup, overlay, disk and two of the rig's ports.
Printed are the median and the least milliseconds from asking to the end of the program, and the
median of the ratios to bare bwrap of the same round. A round ends with a pause: what it leaves to
be done (and what the namespace level makes ready for its next box, 8 ms of work) is no burden to
the next, and in no figure. So these are of one box at a time. `vms` are in bench_vm.py.

`--soak N` runs N boxes of the namespace level, or of each level of `--at`, eight at a time, tells
how many that were in a second, and counts what is left of them: processes, mounts, loop devices,
cgroups, files. `--check` exits 1 when the namespace level takes over 2.5 times bare bwrap or over
100 ms, or when anything is left.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import uvloop

from proofrig.images import Recipe, build
from proofrig.sandboxes import keeper, leftovers, make_sandbox, owners
from proofrig.sandboxes.sandbox import (
    LEVELS,
    Box,
    BoxSettings,
    Command,
    Image,
    Level,
    Limits,
    Sandbox,
)

MARK = f"bench-{owners.tag()}"
PYTHON = ["/usr/bin/python3", "-c", "print(1)", MARK]
ENV = {"PATH": "/usr/bin:/bin", "HOME": "/tmp"}
MB = 1 << 20
LIMITS = Limits(memory_bytes=256 * MB, processes=64, cpus=2.0, disk_bytes=64 * MB)
MOST_RATIO, MOST_MS = 2.5, 100.0
PAUSE_S = 0.05
AT_ONCE = 8


def bare() -> None:
    subprocess.run(PYTHON, env=ENV, check=True, capture_output=True)


def bwrap() -> None:
    argv = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session"]
    for path in ("/usr", "/bin", "/lib", "/lib64", "/etc"):
        argv += ["--ro-bind-try", path, path]
    argv += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", *PYTHON]
    subprocess.run(argv, env=ENV, check=True, capture_output=True)


def a_world(folder: Path, number: int) -> str:
    world = folder / f"world-{number}"
    world.mkdir(parents=True)
    (world / "file.txt").write_text("as it began")
    return str(world)


async def boxed(sandbox: Sandbox, world: str, ports: tuple[int, ...]) -> Box:
    """One fresh box with a world, to the end of its program; still to be closed."""
    limits = LIMITS if sandbox.level != "process" else Limits()
    settings = BoxSettings(trial="bench", marker=MARK, world=world, ports=ports, limits=limits)
    box = await sandbox.start(settings)
    command = Command(argv=PYTHON, env=ENV, cwd=world, marker=settings.marker)
    exit = await (await box.exec(command)).wait()
    if exit.stdout != b"1\n":
        raise SystemExit(f"the box answered {exit}")
    return box


async def measure(rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each way, round by round."""
    times: dict[str, list[float]] = {}
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = tuple(one.getsockname()[1] for one in listeners)
    sandboxes = [make_sandbox(level) for level in levels()]
    with tempfile.TemporaryDirectory() as scratch:
        for sandbox in sandboxes:
            await sandbox.prepare(Image())
        for number in range(rounds + 3):
            for name, way in (("subprocess", bare), ("bwrap", bwrap)):
                began = time.perf_counter()
                way()
                times.setdefault(name, []).append(1000 * (time.perf_counter() - began))
            for sandbox in sandboxes:
                world = a_world(Path(scratch) / sandbox.level, number)
                began = time.perf_counter()
                box = await boxed(sandbox, world, ports)
                took = 1000 * (time.perf_counter() - began)
                times.setdefault(sandbox.level, []).append(took)
                await box.close()
            await asyncio.sleep(PAUSE_S)
        for sandbox in sandboxes:
            await sandbox.close()
    for one in listeners:
        one.close()
    return {name: found[3:] for name, found in times.items()}  # the first warm caches


def levels() -> tuple[Level, ...]:
    return ("process", "namespace")


async def soak(level: Level, count: int) -> tuple[float, dict[str, int]]:
    """Run boxes, eight at a time; seconds, and how much is left of them."""
    sandbox, image = make_sandbox(level), Image()
    if level not in levels():
        image = await asyncio.to_thread(build, Recipe(), Path(), lambda step: None)
    await sandbox.prepare(image)
    gate = asyncio.Semaphore(AT_ONCE)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:

        async def one(number: int) -> None:
            async with gate:
                box = await boxed(sandbox, a_world(Path(scratch), number), ())
                await box.kill()
                await box.changes()
                await box.close()

        await asyncio.gather(*(one(number) for number in range(count)))
        took = time.perf_counter() - began
    await sandbox.close()
    leftovers.leave()  # as at the end of every process
    for _ in range(100):  # the kernel takes its time to let go of mounts and devices
        if not any(look() for look in LOOKS.values()):
            break
        await asyncio.sleep(0.1)
    return took, {name: len(look()) for name, look in LOOKS.items()}


def processes() -> list[int]:
    own = os.getpid()
    marked = [pid for pid in keeper.processes() if MARK in _text(Path(f"/proc/{pid}/cmdline"))]
    return sorted({*keeper.tree(own)[1:], *marked} - {own})


def mounts() -> list[str]:
    found = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in found if owners.tag() in line]


def loop_devices() -> list[str]:
    found = [_text(path) for path in Path("/sys/block").glob("loop*/loop/backing_file")]
    return [file for file in found if owners.tag() in file]


def cgroups() -> list[str]:
    return [str(path) for path in Path("/sys/fs/cgroup").rglob(f"proofrig/{owners.tag()}*")]


def files() -> list[str]:
    return [str(path) for path in leftovers.usual_base().glob(f"{owners.tag()}*")]


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):  # it may go meanwhile
        return path.read_text(errors="replace")
    return ""


LOOKS: dict[str, Callable[[], Sequence[object]]] = {
    "processes": processes,
    "mounts": mounts,
    "loop devices": loop_devices,
    "cgroups": cgroups,
    "files": files,
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--soak", type=int, default=0)
    parser.add_argument("--at", default="namespace", help="levels to soak")
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    failed = False
    times = uvloop.run(measure(asked.rounds))
    print(f"{'':12} {'median':>9} {'least':>9} {'to bwrap':>9}")
    for name, found in times.items():
        ratio = statistics.median(a / b for a, b in zip(found, times["bwrap"], strict=True))
        median = statistics.median(found)
        print(f"{name:12} {median:6.1f} ms {min(found):6.1f} ms {ratio:8.2f}x")
        if name == "namespace" and (ratio > MOST_RATIO or median > MOST_MS):
            failed = True
            print(f"             missed: at most {MOST_RATIO}x bare bwrap and {MOST_MS:.0f} ms")
    for level in (one for one in LEVELS if asked.soak and one in asked.at.split(",")):
        took, left = uvloop.run(soak(level, asked.soak))
        failed = failed or any(left.values())
        rate = f"{asked.soak / took:.1f} in a second"
        print(f"{asked.soak} boxes of {level}, {AT_ONCE} at a time: {rate}")
        print(f"left of them: {', '.join(f'{n} {name}' for name, n in left.items())}")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    return int(asked.check and failed)


if __name__ == "__main__":
    sys.exit(main())
