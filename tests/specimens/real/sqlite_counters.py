"""A counter in SQLite that agents in threads raise: lost updates, and how they are prevented."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proofrig.observers import observed_kv
from specimens.real.lab import Lab, Ran, Specimen
from specimens.real.truth import Changes

AGENTS, ROUNDS = 6, 3
THINKS_S = 0.004


class Table:
    """A table of numbers as an application keeps it. One connection per thread."""

    def __init__(self, path: Path) -> None:
        self._path, self._mine, self._all = path, threading.local(), []
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("CREATE TABLE n (key TEXT PRIMARY KEY, value INT, version INT)")
        self.connection.execute("INSERT INTO n VALUES ('seats', 0, 0)")

    @property
    def connection(self) -> sqlite3.Connection:
        made = getattr(self._mine, "connection", None)
        if made is None:
            made = sqlite3.connect(
                self._path, timeout=20, isolation_level=None, check_same_thread=False
            )
            self._mine.connection = made
            self._all.append(made)
        return made

    @contextmanager
    def transaction(self) -> Any:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def get(self, key: str) -> int:
        found = self.connection.execute("SELECT value, version FROM n WHERE key = ?", (key,))
        value, self._mine.version = found.fetchone()
        return int(value)

    def put(self, key: str, value: int) -> None:
        self.connection.execute("UPDATE n SET value = ? WHERE key = ?", (value, key))

    def incr(self, key: str) -> int:
        raised = "UPDATE n SET value = value + 1 WHERE key = ? RETURNING value"
        return int(self.connection.execute(raised, (key,)).fetchall()[0][0])

    def compare_and_set(self, key: str, old: int, new: int) -> bool:
        """Write if the version is still that of this thread's last read."""
        swap = "UPDATE n SET value = ?, version = version + 1 WHERE key = ? AND version = ?"
        return self.connection.execute(swap, (new, key, self._mine.version)).rowcount == 1

    def close(self) -> None:
        for connection in self._all:
            connection.close()


Raise = Callable[[Any, Table, Changes], None]  # store as the agent sees it, the table itself


def autocommit(store: Any, table: Table, changes: Changes) -> None:
    seats, since = store.get("seats"), changes.read()
    time.sleep(THINKS_S)
    store.put("seats", seats + 1)
    changes.wrote(since)


def two_transactions(store: Any, table: Table, changes: Changes) -> None:
    with table.transaction():
        seats, since = store.get("seats"), changes.read()
    time.sleep(THINKS_S)
    with table.transaction():
        store.put("seats", seats + 1)
    changes.wrote(since)


def one_transaction(store: Any, table: Table, changes: Changes) -> None:
    with table.transaction():
        seats, since = store.get("seats"), changes.read()
        time.sleep(THINKS_S)
        store.put("seats", seats + 1)
    changes.wrote(since)


def in_the_statement(store: Any, table: Table, changes: Changes) -> None:
    since = changes.read()
    store.incr("seats")
    changes.wrote(since)


def version_column(store: Any, table: Table, changes: Changes) -> None:
    while True:
        seats, since = store.get("seats"), changes.read()
        time.sleep(THINKS_S)
        if store.compare_and_set("seats", seats, seats + 1):
            changes.wrote(since)
            return


def _run(way: Raise) -> Callable[[Path, int], Ran]:
    def run(folder: Path, seed: int) -> Ran:
        table, changes = Table(folder / "seats.db"), Changes()
        with Lab(folder, seed) as lab:
            store = observed_kv(table, "seats", recorder=lab.recorder)

            def agent() -> None:
                for _ in range(ROUNDS):
                    way(store, table, changes)

            lab.threads([agent] * AGENTS)
        final = table.get("seats")
        table.close()
        return Ran(lab.run_dir, final < changes.acknowledged, changes.overlapped)

    return run


def _specimen(variant: str, way: Raise, *, bad: bool) -> Specimen:
    kind = "lost_update" if bad else None
    return Specimen("lost update", f"SQLite: {variant}", kind, "lost_update", _run(way))


SPECIMENS = [
    _specimen("read, then write, autocommit", autocommit, bad=True),
    _specimen("read and write in two transactions", two_transactions, bad=True),
    _specimen("BEGIN IMMEDIATE around both", one_transaction, bad=False),
    _specimen("UPDATE SET n = n + 1", in_the_statement, bad=False),
    _specimen("version column", version_column, bad=False),
]
