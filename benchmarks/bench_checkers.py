"""What judging a scenario costs.

Writes a scenario of N entries (default 1,000,000) in which 200 agents of four tenants use what can
be shared, then reads it once with a fold that does nothing and once through all checkers.
Prints CPU seconds, peak memory, the ratio of the two, and what each checker alone costs.

    python benchmarks/bench_checkers.py [entries] [--each]
"""

from __future__ import annotations

import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from proofrig.checkers import CHECKERS
from proofrig.checkers.checker import Setting
from proofrig.checkers.judge import Judge
from proofrig.history.action import Entry
from proofrig.history.history import History
from proofrig.history.journal import Journal

AGENTS, TENANTS, KEYS = 200, 4, 300
BUDGET_S = 20.0
TOPOLOGY: dict[str, dict[str, Any]] = {
    "memory": {"type": "kv", "partition": "none", "linearizable": True},
    "notes": {"type": "kv", "partition": "tenant"},
    "locks": {"type": "lock", "ttl_s": 30.0},
    "answers": {"type": "semantic_cache", "partition": "tenant"},
    "search": {"type": "quota", "rate": 500},
}


def tenant_of(trial: str) -> str:
    return f"t{int(trial.rpartition(':')[2]) % TENANTS}"


class World:
    """Shared things that behave, and agents that use one after another."""

    def __init__(self, journal: Journal, tick: Callable[[int], None]) -> None:
        self.random = random.Random(7)
        self._journal, self._tick = journal, tick
        self._versions: dict[str, int] = {}
        self._values: dict[str, str] = {}
        self._token = self._count = 0

    def entry(self, kind: Any, name: str, trial: str, id: str = "", **attrs: Any) -> None:
        self._tick(self.random.randrange(1, 40_000))
        tenant = tenant_of(trial) if trial else ""
        self._journal.write(kind, name, trial=trial, tenant=tenant, scope="", id=id, attrs=attrs)
        self._count += 1

    def open(self, name: str, trial: str, rig: bool, **asked: Any) -> str:
        id = self._journal.new_action()
        if rig:
            self.entry("reserve", name, trial, id, decision="allow")
        self.entry("start", name, trial, id, **asked)
        return id

    def step(self, trial: str) -> Iterator[None]:
        """What an agent does next; it stands still at each `yield`."""
        drawn = self.random.random()
        key = f"k{self.random.randrange(KEYS)}"
        if drawn < 0.35:
            yield from self.change(trial, key)
        elif drawn < 0.5:
            yield from self.look(trial, key)
        elif drawn < 0.6:
            yield from self.once("cache.get", trial, True, {"key": key}, self.hit(trial))
        elif drawn < 0.7:
            said = {"status": 429 if drawn < 0.61 else 200, "level": 3, "capacity": 500}
            yield from self.once("quota.take", trial, True, {"limit": "rps", "amount": 1}, said)
        elif drawn < 0.9:
            asked = {
                "service": "httpx:1",
                "host": "api",
                "method": "POST",
                "path": "/v1",
                "attempt": 1,
            }
            said = {"wait_ns": 9_000, "connect_ns": 0, "ttfb_ns": 90_000, "status": 200}
            yield from self.once("pool.request", trial, False, asked, said)
        else:
            said = {"source": "measured", "status": 200, "service_ns": 900_000}
            yield from self.once("llm.chat_completions", trial, True, {}, said)

    def once(
        self, name: str, trial: str, rig: bool, asked: dict[str, Any], told: dict[str, Any]
    ) -> Iterator[None]:
        service = {"cache.get": "answers", "quota.take": "search"}.get(name)
        id = self.open(name, trial, rig, **({"service": service} if service else {}), **asked)
        yield
        self.entry("commit", name, trial, id, outcome="ok", **told)

    def hit(self, trial: str) -> dict[str, Any]:
        owner = tenant_of(trial)
        return {"hit": True, "entry": "c1", "owner": owner, "similarity": 0.9, "text": "so it is"}

    def look(self, trial: str, key: str) -> Iterator[None]:
        id = self.open("kv.get", trial, True, service="memory", key=key)
        yield
        version = self._versions.get(key, 0)
        told = {"value": self._values.get(key), "version": version, "text": self._values.get(key)}
        self.entry("commit", "kv.get", trial, id, outcome="ok", **told)

    def change(self, trial: str, key: str) -> Iterator[None]:
        """Take the lock, which is always free here, read and write, and give it back."""
        lock = self.open("lock.acquire", trial, True, service="locks", key=key, ttl_ns=30 * 10**9)
        self._token += 1
        token = self._token
        self.entry("commit", "lock.acquire", trial, lock, outcome="ok", fencing=token, waited_ns=9)
        for _ in self.look(trial, key):
            pass
        value = f"{trial}/{self._count}"
        asked = {"service": "memory", "key": key, "value": value, "fencing": token}
        id = self.open("kv.put", trial, True, **asked)
        self._versions[key] = version = self._versions.get(key, 0) + 1
        self._values[key] = value
        self.entry("commit", "kv.put", trial, id, outcome="ok", version=version)
        id = self.open("lock.release", trial, True, service="locks", key=key, fencing=token)
        self.entry("commit", "lock.release", trial, id, outcome="ok")
        yield


def write(run_dir: Path, entries: int) -> None:
    now = [0]
    journal = Journal(run_dir, "rig", lambda: now[0])

    def tick(nanoseconds: int) -> None:
        now[0] += nanoseconds

    world = World(journal, tick)
    attrs = {"scenario": "burst", "agents": AGENTS, "topology": TOPOLOGY, "params": {}, "seed": 7}
    world.entry("note", "scenario", "", state="begin", **attrs)
    trials = [f"case@burst:{n}" for n in range(AGENTS)]
    for trial in trials:
        world.entry("trial", "begin", trial, case="case")
    doing = [world.step(trial) for trial in trials]
    while world._count < entries - 2 * AGENTS:
        one = world.random.randrange(AGENTS)
        if next(doing[one], doing) is doing:
            doing[one] = world.step(trials[one])
    for trial in trials:
        world.entry("trial", "end", trial, passed=True)
    world.entry("note", "scenario", "", state="end", scenario="burst")
    journal.close()


class Bare:
    """A fold that does nothing."""

    def step(self, entry: Entry) -> None:
        pass

    def result(self) -> None:
        pass


def timed(work: Callable[[], Any]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def one_by_one(history: History) -> None:
    """What each checker costs, over what pairing costs."""

    def alone(*kinds: Any) -> float:
        return timed(lambda: history.fold(Judge(Setting().payload, kinds)))

    pairing = alone()
    print(f"{'pairing':<22} {pairing:6.2f} s CPU")
    for kind in CHECKERS:
        print(f"{kind.name:<22} {alone(kind) - pairing:6.2f} s CPU")


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    entries = numbers[0] if numbers else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder)
        write(run_dir, entries)
        history = History(run_dir)
        bare = timed(lambda: history.fold(Bare()))
        judge = Judge(Setting().payload)
        judged = timed(lambda: history.fold(judge))
        results = judge.result()[0].checked
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{entries:,} entries, {len(CHECKERS)} checkers, peak {peak:.0f} MiB")
        print(f"{'reference: bare fold':<22} {bare:6.2f} s CPU")
        print(f"{'all checkers':<22} {judged:6.2f} s CPU, {judged / bare:.1f} times the bare fold")
        per_million = judged * 1_000_000 / entries
        print(f"{'per million entries':<22} {per_million:6.2f} s CPU of {BUDGET_S:g} s allowed")
        for one in results:
            print(f"{one.checker:<22} {one.verdict:<8} {one.says[:90]}")
        if "--each" in sys.argv:
            one_by_one(history)


if __name__ == "__main__":
    main()
