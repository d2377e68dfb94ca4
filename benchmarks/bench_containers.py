"""What a container and a gVisor box cost, beside a bare subprocess and bwrap in the same rounds.

    python benchmarks/bench_containers.py [--rounds 12] [--levels container,gvisor]

Each round starts Python once in each way and reads what it prints. A box is fresh, of the plain
image, with a world, limits and one of the rig's ports. Printed are the least and the median
milliseconds from asking to output, and of boxes until they were ready for their first command.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from proofrig.images import Recipe, build
from proofrig.sandboxes import make_sandbox
from proofrig.sandboxes.sandbox import LEVELS, BoxSettings, Command, Limits, Sandbox

PYTHON = ["/usr/bin/python3", "-c", "print(1)"]
BWRAP = ["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc"]
ENV = {"PATH": "/usr/bin:/bin", "HOME": "/tmp"}
MB = 1 << 20
LIMITS = Limits(memory_bytes=256 * MB, processes=64, disk_bytes=64 * MB)


def bare(argv: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(argv, env=ENV, check=True, capture_output=True)
    return 1000 * (time.perf_counter() - began)


async def boxed(sandbox: Sandbox, settings: BoxSettings) -> tuple[float, float]:
    """Milliseconds to the output of a fresh box, and until it was ready."""
    began = time.perf_counter()
    box = await sandbox.start(settings)
    ready = time.perf_counter()
    exit = await (await box.exec(Command(PYTHON, ENV, "/", marker=settings.marker))).wait()
    ended = time.perf_counter()
    await box.close()
    if exit.stdout != b"1\n":
        raise SystemExit(f"the box answered {exit}")
    return 1000 * (ended - began), 1000 * (ready - began)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--levels", default="container,gvisor")
    asked = parser.parse_args()
    image = await asyncio.to_thread(build, Recipe(), Path(), lambda step: None)
    sandboxes = [make_sandbox(level) for level in LEVELS if level in asked.levels.split(",")]
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as world, socket.create_server(("127.0.0.1", 0)) as rig:
        os.chmod(world, 0o755)
        ports = (rig.getsockname()[1],)
        settings = BoxSettings(trial="b", marker="bench", world=world, ports=ports, limits=LIMITS)
        for sandbox in sandboxes:
            await sandbox.prepare(image)
        print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
        for number in range(asked.rounds + 1):
            found = {"subprocess": bare(PYTHON), "bwrap": bare([*BWRAP, *PYTHON])}
            for sandbox in sandboxes:
                took, ready = await boxed(sandbox, settings)
                found |= {sandbox.level: took, f"{sandbox.level}, ready": ready}
            if number:  # the first warms caches
                for name, took in found.items():
                    times.setdefault(name, []).append(took)
        for sandbox in sandboxes:
            await sandbox.close()
    print(f"{'':18} {'least':>9} {'median':>9}")
    for name, took_each in times.items():
        print(f"{name:18} {min(took_each):6.0f} ms {statistics.median(took_each):6.0f} ms")


if __name__ == "__main__":
    asyncio.run(main())
