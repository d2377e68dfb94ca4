"""A process that is killed at a write of its journal: nothing that was answered is lost, and life
goes on as if nothing had happened.

A dozen points of two sequences; all of them with PROOFRIG_SLOW=1.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from authority_killed import POLICY, At, go_on
from proofrig.authority.authority import Authority, recover
from proofrig.authority.journal import Journal
from proofrig.authority.ledger import Ledger
from proofrig.authority.transition import TRANSITIONS

TESTS = Path(__file__).parents[1]
SEEDS = (1, 2)


def rows(path: Path) -> list[dict[str, Any]]:
    db = sqlite3.connect(path)
    try:
        found = db.execute("select body from transitions order by seq").fetchall()
    finally:
        db.close()
    return [json.loads(body) for (body,) in found]


@cache
def undisturbed(seed: int) -> tuple[tuple[int, ...], dict[str, Any]]:
    """How many transitions there are after each call, and the balances after the last."""
    at, counts, ledger = At(), [], Ledger()
    authority = Authority(ledger, None, at, POLICY)
    go_on(authority, at, seed, 0, lambda _: counts.append(ledger.seq))
    return tuple(counts), {scope: authority.balances(scope) for scope in authority.scopes()}


def points() -> list[tuple[int, str, int]]:
    found = [
        (seed, when, write)
        for seed in SEEDS
        for write in range(1, undisturbed(seed)[0][-1] + 1)
        for when in ("before", "after")
    ]
    return found if os.environ.get("PROOFRIG_SLOW") else found[:: len(found) // 12 + 1]


@pytest.mark.parametrize(("seed", "when", "write"), points())
def test_killed_at_a_write(seed: int, when: str, write: int, tmp_path: Path) -> None:
    counts, balances = undisturbed(seed)
    path, whole = tmp_path / "journal", tmp_path / "whole"
    argv = [sys.executable, "-m", "authority_killed", str(path), str(seed)]
    killed = subprocess.run(
        argv, cwd=TESTS, env={**os.environ, "KILL_AT": f"{when} {write}"}, stdout=subprocess.PIPE
    )
    assert killed.returncode == -signal.SIGKILL
    answered = len(killed.stdout.splitlines())
    written = rows(path)
    assert len(written) == (write if when == "after" else write - 1)
    assert (counts[answered - 1] if answered else 0) <= len(written)

    at = At()
    at.call = answered
    again = recover(path, at, POLICY)
    open = {one["id"] for one in written if TRANSITIONS[one["state"]] and one["id"]}
    open -= {one["id"] for one in written if not TRANSITIONS[one["state"]]}
    assert {one["id"] for one in written if again.state(one["id"]) in LIVE} == open
    for scope in again.scopes():
        for unit, balance in again.balances(scope).items():
            if balance.remaining is not None:
                left = balance.remaining + balance.reserved + balance.spent
                assert left == balance.allocated, (scope, unit)
    go_on(again, at, seed, answered, lambda _: None)
    assert {scope: again.balances(scope) for scope in balances} == balances
    again.close()

    at, journal = At(), Journal(whole)
    go_on(authority := Authority(Ledger(), journal, at, POLICY), at, seed, 0, lambda _: None)
    authority.close()
    assert rows(path) == rows(whole)


LIVE = {state for state, moves in TRANSITIONS.items() if moves and state != "new"}


def test_the_sequences_do_all_that_a_ledger_can(tmp_path: Path) -> None:
    events = set()
    for seed in SEEDS:
        at, path = At(), tmp_path / f"{seed}"
        authority = Authority(Ledger(), Journal(path), at, POLICY)
        go_on(authority, at, seed, 0, lambda _: None)
        authority.close()
        events |= {(one["event"], one["state"]) for one in rows(path)}
    assert {event for event, _ in events} == {
        *("budget", "reserve", "ask", "deny", "approve", "start", "commit", "release", "extend"),
        *("expire", "event"),
    }
    assert {"expired_released", "expired_charged"} <= {state for _, state in events}
