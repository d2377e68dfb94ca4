"""What a box costs, beside a bare subprocess and a bare bwrap in the same rounds.

    python benchmarks/bench_sandboxes.py [--rounds 30] [--soak 500] [--check]

Each round starts the system's Python once in each way and reads what it prints: a subprocess; bare
bwrap (`--unshare-all` over the same programs, read-only); a fresh box of the process level and one
of the namespace level, with a world, limits, cgroup, overlay and two of the rig's ports. Printed
are the median and the least milliseconds from asking to output, and the median of the ratios to
bare bwrap of the same round. `vms` are in bench_vm.py.

`--soak N` runs N boxes, eight at a time, and counts what is left of them: processes, mounts,
cgroups, files. `--check` exits 1 when the namespace level takes over 2.5 times bare bwrap or over
100 ms, or when anything is left.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from proofrig.sandboxes import make_sandbox
from proofrig.sandboxes.sandbox import BoxSettings, Command, Image, Level, Limits, Sandbox

PYTHON = ["/usr/bin/python3", "-c", "print(1)"]
ENV = {"PATH": "/usr/bin:/bin", "HOME": "/tmp"}
MB = 1 << 20
LIMITS = Limits(memory_bytes=256 * MB, processes=64, cpus=2.0, disk_bytes=64 * MB)
MOST_RATIO, MOST_MS = 2.5, 100.0


def bare() -> None:
    subprocess.run(PYTHON, env=ENV, check=True, capture_output=True)


def bwrap() -> None:
    argv = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session"]
    for path in ("/usr", "/bin", "/lib", "/lib64", "/etc"):
        argv += ["--ro-bind-try", path, path]
    argv += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", *PYTHON]
    subprocess.run(argv, env=ENV, check=True, capture_output=True)


async def boxed(sandbox: Sandbox, folder: Path, number: int, ports: tuple[int, ...]) -> None:
    """One fresh box with a world, to its output; it is closed after the clock has stopped."""
    world = folder / f"world-{number}"
    world.mkdir()
    (world / "file.txt").write_text("as it began")
    limits = LIMITS if sandbox.level != "process" else Limits()
    settings = BoxSettings(
        trial=f"bench-{number}",
        marker=f"bench-marker-{number}",
        world=str(world),
        ports=ports,
        limits=limits,
    )
    box = await sandbox.start(settings)
    command = Command(argv=PYTHON, env=ENV, cwd=str(world), marker=settings.marker)
    exit = await (await box.exec(command)).wait()
    if exit.stdout != b"1\n":
        raise SystemExit(f"the box answered {exit}")
    closing.append(box.close())


closing: list[Awaitable[None]] = []


async def close_all() -> None:
    while closing:
        await closing.pop()


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
                folder = Path(scratch) / sandbox.level
                folder.mkdir(exist_ok=True)
                began = time.perf_counter()
                await boxed(sandbox, folder, number, ports)
                took = 1000 * (time.perf_counter() - began)
                times.setdefault(sandbox.level, []).append(took)
                await close_all()
        for sandbox in sandboxes:
            await sandbox.close()
    for one in listeners:
        one.close()
    return {name: found[3:] for name, found in times.items()}  # the first warm caches


def levels() -> tuple[Level, ...]:
    return ("process", "namespace")


async def soak(count: int) -> dict[str, int]:
    """Run boxes, eight at a time; what there is more of afterwards than before."""
    before = {name: look() for name, look in LOOKS.items()}
    sandbox = make_sandbox("namespace")
    await sandbox.prepare(Image())
    gate = asyncio.Semaphore(8)
    with tempfile.TemporaryDirectory() as scratch:

        async def one(number: int) -> None:
            async with gate:
                await boxed(sandbox, Path(scratch), number, ())
                await close_all()

        await asyncio.gather(*(one(number) for number in range(count)))
        await sandbox.close()
    return {name: len(look() - before[name]) for name, look in LOOKS.items()}


def _processes() -> set[str]:
    found = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True)
    return {line for line in found.stdout.splitlines() if "bench-marker" in line or "bwrap" in line}


def _mounts() -> set[str]:
    return set(Path("/proc/self/mountinfo").read_text().splitlines())


def _cgroups() -> set[str]:
    return {str(path) for path in Path("/sys/fs/cgroup").rglob("*proofrig*") if path.is_dir()}


def _files() -> set[str]:
    return {str(path) for path in Path(tempfile.gettempdir()).glob("proofrig-*/*/*")}


LOOKS: dict[str, Callable[[], set[str]]] = {
    "processes": _processes,
    "mounts": _mounts,
    "cgroups": _cgroups,
    "files": _files,
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--soak", type=int, default=0)
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
    if asked.soak:
        left = uvloop.run(soak(asked.soak))
        failed = failed or any(left.values())
        print(f"left of {asked.soak} boxes: {', '.join(f'{n} {name}' for name, n in left.items())}")
    return int(asked.check and failed)


if __name__ == "__main__":
    sys.exit(main())
