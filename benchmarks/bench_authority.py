"""What one action costs in the authority, against a plain dict increment measured in the same run.

Usage: python benchmarks/bench_authority.py [actions]

An action is reserve + start + commit over a path of four levels, every level limited in three
units; "pair" leaves `start` out, for comparison with ledgers that have no such state. CPU is
process time of the whole loop, sweeps included. The reference adds an integer to a dict entry for
the same 4 x 3 balances, once for the hold and twice for the charge, and nothing else.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from time import perf_counter_ns, process_time_ns, time_ns

from proofrig.authority.authority import Authority
from proofrig.authority.journal import Journal
from proofrig.authority.ledger import Ledger
from proofrig.authority.transition import ReserveRequest

HOLD = {"usd_micro": 1000, "tokens": 500, "calls": 1}
ACTUAL = {"usd_micro": 700, "tokens": 400, "calls": 1}
PLENTY = dict.fromkeys(HOLD, 10**15)
PATHS = [f"acme/wf{n % 10}/bot{n % 50}/r{n}" for n in range(1000)]
SWEEP_EVERY = 1000
ROUNDS = 5


def levels(path: str) -> Iterator[str]:
    names = path.split("/")
    return ("/".join(names[: n + 1]) for n in range(len(names)))


def limited(journal: Journal | None) -> Ledger:
    ledger = Ledger(retention_ns=1_000_000)
    for scope in sorted({scope for path in PATHS for scope in levels(path)}):
        made = ledger.set_budget(scope, PLENTY, 0)
        if journal is not None:
            journal.append(made)
    return ledger


def reference(actions: int) -> list[int]:
    """p50 and CPU per action of the dict increments alone, ns."""
    balances = {(s, u): [0, 0] for p in PATHS for s in levels(p) for u in HOLD}
    keys = [[(s, u) for s in levels(p) for u in HOLD] for p in PATHS]
    amounts = [(HOLD[u], ACTUAL[u]) for _ in range(4) for u in HOLD]
    took = []
    cpu = process_time_ns()
    for n in range(actions):
        begun = perf_counter_ns()
        path = keys[n % 1000]
        for key, (held, _) in zip(path, amounts, strict=True):
            balances[key][0] += held
        for key, (held, actual) in zip(path, amounts, strict=True):
            row = balances[key]
            row[0] -= held
            row[1] += actual
        took.append(perf_counter_ns() - begun)
    cpu = process_time_ns() - cpu
    return [sorted(took)[actions // 2], cpu // actions]


def measure(authority: Authority, actions: int, ids: Iterator[int]) -> list[int]:
    """p50 per pair, p50 and p99 per action, CPU per action; ns."""
    pairs, whole = [], []
    cpu = process_time_ns()
    for n in range(actions):
        id = str(next(ids))
        begun = perf_counter_ns()
        authority.reserve(ReserveRequest(id, PATHS[n % 1000], "llm.chat_completions", HOLD))
        reserved = perf_counter_ns()
        authority.start(id)
        started = perf_counter_ns()
        authority.commit(id, ACTUAL)
        ended = perf_counter_ns()
        pairs.append(ended - started + reserved - begun)
        whole.append(ended - begun)
        if n % SWEEP_EVERY == 0:
            authority.sweep()
    cpu = process_time_ns() - cpu
    whole.sort()
    return [
        sorted(pairs)[actions // 2],
        whole[actions // 2],
        whole[actions * 99 // 100],
        cpu // actions,
    ]


def best(rounds: Callable[[], list[int]]) -> list[int]:
    """The least of each figure over the rounds: neighbours only ever add."""
    return [min(figures) for figures in zip(*(rounds() for _ in range(ROUNDS)), strict=True)]


async def run(actions: int) -> None:
    base = best(lambda: reference(actions))
    print(f"{'microseconds':34}{'p50 pair':>10}{'p50':>8}{'p99':>8}{'CPU':>8}{'x dict':>8}")
    figures = f"{'':>10}{base[0] / 1e3:8.2f}{'':>8}{base[1] / 1e3:8.2f}"
    print(f"{'dict increments, 12 balances':34}{figures}")

    def show(name: str, authority: Authority, n: int) -> None:
        ids = count()
        pair, p50, p99, cpu = best(lambda: measure(authority, n, ids))
        figures = f"{pair / 1e3:10.2f}{p50 / 1e3:8.2f}{p99 / 1e3:8.2f}{cpu / 1e3:8.2f}"
        print(f"{name:34}{figures}{cpu / base[1]:8.1f}")

    show("memory", Authority(limited(None), None, time_ns), actions)
    with tempfile.TemporaryDirectory() as folder:
        defer = asyncio.get_running_loop().call_soon
        for batch in (1, 64):
            journal = Journal(Path(folder) / f"{batch}", batch=batch, defer=defer)
            authority = Authority(limited(journal), journal, time_ns)
            show(f"journal, commit per {batch} or start", authority, actions // 10)
            authority.close()
        again, before = Ledger(), process_time_ns()
        with Journal(Path(folder) / "1") as journal:
            rows = journal.replay(again).applied
        spent = (process_time_ns() - before) / rows
        print(f"replay: {rows} transitions, {spent / 1e3:.2f} CPU each")


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000))
