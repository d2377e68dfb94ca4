"""What one action costs in the authority, against a plain dict increment measured in the same run.

Usage: python benchmarks/bench_authority.py [actions] [--check]

An action is reserve + start + commit over a path of four levels, every level limited in three
units; "pair" leaves `start` out, for comparison with ledgers that have no such state. CPU is
process time of the whole loop, sweeps included. The reference adds an integer to a dict entry for
the same 4 x 3 balances, once for the hold and twice for the charge, and nothing else.

The policy has 1,000 rules over 50 agents and 20 names, limits for every scope, and for each action
a path rule and a comparison. With files, the path is looked up below a folder too, for symlinks.
`--check` fails unless an action with the policy costs at most 10 microseconds (p50) in memory
and 60 with the journal.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from time import perf_counter_ns, process_time_ns, time_ns

from proofrig.authority.authority import Authority
from proofrig.authority.journal import Journal
from proofrig.authority.ledger import Ledger
from proofrig.authority.policy import Policy, parse_policy
from proofrig.authority.transition import MINUTE_NS, ReserveRequest

HOLD = {"usd_micro": 1000, "tokens": 500, "calls": 1}
ACTUAL = {"usd_micro": 700, "tokens": 400, "calls": 1}
PLENTY = dict.fromkeys(HOLD, 10**15)
PATHS = [f"acme/wf{n % 10}/bot{n % 50}/r{n}" for n in range(1000)]
ARGUMENTS = {"path": "src/app/main.py", "amount": 40}
SWEEP_EVERY = 1000
MOST_US = {"memory, 1,000 rules": 10, "journal, 1,000 rules": 60}
ROUNDS = 5


def levels(path: str) -> Iterator[str]:
    names = path.split("/")
    return ("/".join(names[: n + 1]) for n in range(len(names)))


def policy() -> Policy:
    """1,000 rules; an action of any path meets one over its path and one over its amount."""
    rules = [
        {
            "name": f"rule-{n}",
            "deny": f"tool.t{n // 50}",
            "agents": [f"bot{n % 50}"],
            **({"when": {"amount": {">": 100}}} if n >= 950 else {}),
            **({"paths": {"path": ["tests/**"]}} if n < 50 else {}),
        }
        for n in range(1000)
    ]
    for rule in rules[-50:]:
        rule["deny"] = "tool.t0"
    limits = {"*" + "/*" * n: {"usd": 10**9, "tokens": 10**12, "calls": 10**12} for n in range(4)}
    return parse_policy({"rules": rules, "limits": limits})


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


def measure(authority: Authority, actions: int, ids: Iterator[int], root: str | None) -> list[int]:
    """p50 per pair, p50 and p99 per action, CPU per action; ns."""
    pairs, whole = [], []
    cpu = process_time_ns()
    for n in range(actions):
        id = str(next(ids))
        begun = perf_counter_ns()
        path = PATHS[n % 1000]
        if root is not None:
            request = ReserveRequest(id, path, "tool.t0", HOLD, MINUTE_NS, ARGUMENTS, root)
        else:
            request = ReserveRequest(id, path, "tool.t0", HOLD)
        assert authority.reserve(request).allowed
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


async def run(actions: int, check: bool) -> list[str]:
    """Print the figures; which of them are too high."""
    wrong = []
    base = best(lambda: reference(actions))
    print(f"{'microseconds':34}{'p50 pair':>10}{'p50':>8}{'p99':>8}{'CPU':>8}{'x dict':>8}")
    figures = f"{'':>10}{base[0] / 1e3:8.2f}{'':>8}{base[1] / 1e3:8.2f}"
    print(f"{'dict increments, 12 balances':34}{figures}")

    def show(name: str, authority: Authority, n: int, root: str | None = None) -> None:
        ids = count()
        pair, p50, p99, cpu = best(lambda: measure(authority, n, ids, root))
        if check and p50 > MOST_US.get(name, 10**6) * 1000:
            wrong.append(f"{name}: expected at most {MOST_US[name]} us, got {p50 / 1e3:.2f}")
        figures = f"{pair / 1e3:10.2f}{p50 / 1e3:8.2f}{p99 / 1e3:8.2f}{cpu / 1e3:8.2f}"
        print(f"{name:34}{figures}{cpu / base[1]:8.1f}")

    show("memory", Authority(limited(None), None, time_ns), actions)
    for name, root in (("", ""), (", with files", os.path.dirname(__file__))):
        ruled = Authority(Ledger(retention_ns=10**6), None, time_ns, policy())
        show(f"memory, 1,000 rules{name}", ruled, actions, root)
    with tempfile.TemporaryDirectory() as folder:
        defer = asyncio.get_running_loop().call_soon
        for batch in (1, 64):
            journal = Journal(Path(folder) / f"{batch}", batch=batch, defer=defer)
            authority = Authority(limited(journal), journal, time_ns)
            show(f"journal, commit per {batch} or start", authority, actions // 10)
            authority.close()
        journal = Journal(Path(folder) / "ruled")
        authority = Authority(Ledger(retention_ns=10**6), journal, time_ns, policy())
        show("journal, 1,000 rules", authority, actions // 10, "")
        authority.close()
        again, before = Ledger(), process_time_ns()
        with Journal(Path(folder) / "1") as journal:
            rows = journal.replay(again).applied
        spent = (process_time_ns() - before) / rows
        print(f"replay: {rows} transitions, {spent / 1e3:.2f} CPU each")
    return wrong


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    sys.exit("\n".join(asyncio.run(run([*numbers, 50_000][0], "--check" in sys.argv))) or None)
