"""How closely agents start together and arrive together, what a thousand of them take, and how long
a campaign of probes is.

    python benchmarks/bench_launch.py [--rounds 3]

Goals: 50 agents start within 5 ms and 1,000 within 25 ms; 200 requests that were written down and
connected before arrive within 10 ms; 1,000 agents at once in less than 2 GiB over all processes; a
campaign of 2,000 probes with the default embedding within 60 s. Spreads are the best and the median
of the rounds; the reference is an event that wakes as many tasks of one loop, in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

from proofrig import Options, load_suite, run
from proofrig.history.history import History

WAITING = """
import asyncio

async def wait(task):
    await asyncio.sleep(2)
    return task
"""
PLAIN = """
async def plain(task):
    return task
"""
ANSWERING = """
from proofrig.services.client import AsyncServices

shared = AsyncServices()

async def answer(task, tenant):
    cache = shared.cache("answers")
    known = await cache.get(task)
    if known is None:
        known = f"{tenant} pays {len(task)}"
        await cache.put(task, known)
    return known
"""
SUITE = """
suite: launch
agent: {agent}
services: [{{type: kv, name: memory}}, {{type: semantic_cache, name: answers}}]
tenants: {{one: 1, two: 1}}
scenarios: {{tenant_probe: {{probes: {probes}, controls: 30, agents: 16}}}}
cases:
  - id: one
    task: What does our contract say about leaving early?
    verify: [{{type: regex, pattern: "."}}]
"""
AGENTS = {
    "plain": '{type: python, target: "agent:plain", mode: shared, workers: 2}',
    "waiting": '{type: python, target: "agent:wait", mode: shared, workers: 2}',
    "answering": '{type: python, target: "agent:answer", mode: shared}',
    "probe": "{type: probe, path: /services/memory/get, body: {key: a}}",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--probes", type=int, default=2000)
    given = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    for agents, goal in ((50, 5), (1000, 25)):
        spreads = [launch("plain", agents)["start"] for _ in range(given.rounds)]
        told(f"{agents:,} agents start within", spreads, goal, woken(agents))
    spreads = [launch("probe", 200)["arrival"] for _ in range(given.rounds)]
    told("200 connected requests arrive within", spreads, 10, woken(200))
    print(f"1,000 agents at once: {memory(1000):.2f} GiB over all processes (goal 2)")
    took, wall = campaign(given.probes)
    print(f"{given.probes:,} probes: {took:.1f} s CPU, {wall:.1f} s (goal 60 s)")


def told(what: str, spreads: list[float], goal: float, reference: float) -> None:
    best, median = min(spreads), statistics.median(spreads)
    print(
        f"{what} {best:.2f} ms at best, {median:.2f} ms in the median (goal {goal} ms); "
        f"{median / reference:.1f} x the reference of {reference:.2f} ms"
    )


def launch(agent: str, agents: int) -> dict[str, float]:
    """Spreads of a burst in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        run_dir, _ = asyncio.run(burst(Path(folder), agent, agents))
        notes = [entry for entry in History(run_dir).entries() if entry.kind == "note"]
    starts = [note.attrs["started_ns"] for note in notes if note.name == "launch"]
    arrivals = [note.attrs["arrived_ns"] for note in notes if note.name == "arrival"]
    return {"start": spread(starts), "arrival": spread(arrivals)}


async def burst(folder: Path, agent: str, agents: int):  # type: ignore[no-untyped-def]
    suite = written(folder, agent)
    options = Options(
        root=folder / "runs", scenarios=("burst",), agents=agents, baselines=False, compress=False
    )
    return await run(load_suite(suite), suite, options)


def written(folder: Path, agent: str, probes: int = 1) -> Path:
    (folder / "agent.py").write_text(PLAIN + WAITING + ANSWERING)
    suite = folder / "suite.yaml"
    suite.write_text(SUITE.format(agent=AGENTS[agent], probes=probes))
    return suite


def spread(times: list[int]) -> float:
    return (max(times) - min(times)) / 1e6 if times else 0.0


def woken(tasks: int) -> float:
    """Milliseconds within which one event wakes so many tasks of one loop: the best of five."""

    async def once() -> float:
        event, at = asyncio.Event(), list[int]()

        async def one() -> None:
            await event.wait()
            at.append(time.monotonic_ns())

        waiting = [asyncio.create_task(one()) for _ in range(tasks)]
        await asyncio.sleep(0.05)
        event.set()
        await asyncio.gather(*waiting)
        return spread(at)

    return min(asyncio.run(once()) for _ in range(5))


def memory(agents: int) -> float:
    """GiB that all processes of a burst hold at most: memory they share counts once."""
    most, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            most[0] = max(most[0], sum(map(proportional, family())))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        launch("waiting", agents)
    finally:
        ended.set()
        watching.join()
    return most[0] / 2**30


def family() -> list[int]:
    """This process and all below it."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                text = Path(f"/proc/{name}/stat").read_text()
            except OSError:
                continue
            parents[int(name)] = int(text.rpartition(")")[2].split()[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return list(found)


def proportional(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def campaign(probes: int) -> tuple[float, float]:
    """CPU seconds of all processes and seconds on the clock of a tenant_probe run."""
    with tempfile.TemporaryDirectory() as folder:
        suite = written(Path(folder), "answering", probes)
        options = Options(root=Path(folder) / "runs", scenarios=("tenant_probe",), baselines=False)
        before, begun = os.times(), time.monotonic()
        asyncio.run(run(load_suite(suite), suite, options))
        after = os.times()
    return sum(after[:4]) - sum(before[:4]), time.monotonic() - begun


if __name__ == "__main__":
    main()
