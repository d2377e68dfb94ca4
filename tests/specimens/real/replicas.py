"""SQLite with a replica that lags, and with readers who see what is not committed: stale and dirty
reads, and how each is prevented."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from proofrig.checkers.checker import Finding
from proofrig.observers import observed_kv
from specimens.real.lab import Lab, Ran, Specimen
from specimens.real.truth import says

STEPS = ("step 1", "step 2", "step 3")
EVERY_S = 0.03  # how often a replica is brought up to date
DECIDES_S = 0.03  # how long a write takes to find out that it must not be


def _open(path: Path | str, **options: Any) -> sqlite3.Connection:
    return sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=10, **options
    )


class Replicated:
    """A primary and copies of it; `reads` are read in turns, 0 being the primary. waits: a write is
    acknowledged when the copies have it."""

    def __init__(self, folder: Path, reads: tuple[int, ...], *, waits: bool) -> None:
        self._all = [_open(folder / f"{name}.db") for name in ("primary", "first", "second")]
        self._all[0].execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT)")
        self._reads, self._turn, self._waits = reads, 0, waits
        self._lock = threading.Lock()
        self.copy(1, 2)

    def copy(self, *replicas: int) -> None:
        """Bring copies up to date, as replication does after a while."""
        with self._lock:
            for place in replicas:
                self._all[0].backup(self._all[place])

    def put(self, key: str, value: str) -> None:
        with self._lock:
            self._all[0].execute("INSERT OR REPLACE INTO kv VALUES (?, ?)", (key, value))
        if self._waits:
            self.copy(1, 2)

    def get(self, key: str) -> str | None:
        with self._lock:
            source = self._all[self._reads[self._turn % len(self._reads)]]
            self._turn += 1
            found = source.execute("SELECT value FROM kv WHERE key = ?", (key,)).fetchone()
        return found[0] if found else None

    def close(self) -> None:
        for connection in self._all:
            connection.close()


def _stale(reads: tuple[int, ...], *, waits: bool = False) -> Callable[[Path, int], Ran]:
    """One agent writes step after step; with it, or beside it, one reads where it is. The first
    copy follows at once, the second only now and then."""

    def run(folder: Path, seed: int) -> Ran:
        store = Replicated(folder, reads, waits=waits)
        seen: list[str | None] = []
        with Lab(folder, seed) as lab:
            plan = observed_kv(store, "plan", recorder=lab.recorder)
            with lab.trial():
                for step in STEPS:
                    plan.put("at", step)
                    time.sleep(EVERY_S / 10)
                    if reads != (2,):
                        store.copy(1)
                    seen += [plan.get("at"), plan.get("at")]
                    store.copy(1, 2)
        store.close()
        written = [step for step in STEPS for _ in range(2)]
        stale = {str(read) for read, step in zip(seen, written, strict=True) if read != step}
        return Ran(lab.run_dir, bool(stale), partial(_older, stale))

    return run


def _older(stale: set[str], finding: Finding) -> bool:
    """One trial; what it read was read there when a later step had been written."""
    told = " ".join([finding.says, *(one.says for one in finding.witness)])
    words = [word for word in ("None", *STEPS) if word.replace("None", "nothing") in told]
    return len(finding.trials) == 1 and len(words) == 2 and words[0] in stale


# Dirty reads


class Table:
    """A table whose writes are checked after they are made, and taken back where they must not be.
    uncommitted: readers see what is not committed."""

    def __init__(self, folder: Path, *, uncommitted: bool) -> None:
        where = f"file:{folder / 'prices.db'}" + ("?cache=shared" if uncommitted else "")
        self._writer, self._reader = (_open(where, uri=True) for _ in range(2))
        self._writer.execute("PRAGMA journal_mode=WAL")
        self._writer.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT)")
        self._writer.execute("INSERT INTO kv VALUES ('tea', '4')")
        self._reader.execute(f"PRAGMA read_uncommitted={int(uncommitted)}")

    def get(self, key: str) -> str:
        return str(self._reader.execute("SELECT value FROM kv WHERE key = ?", (key,)).fetchone()[0])

    def compare_and_set(self, key: str, old: str, new: str) -> bool:
        self._writer.execute("BEGIN IMMEDIATE")
        self._writer.execute("UPDATE kv SET value = ? WHERE key = ?", (new, key))
        time.sleep(DECIDES_S)  # a constraint that another system checks
        self._writer.execute("ROLLBACK")
        return False

    def close(self) -> None:
        self._writer.close()
        self._reader.close()


class Dict:
    """The same in memory. first: it is checked before it is written."""

    def __init__(self, *, first: bool) -> None:
        self._prices, self._first = {"tea": "4"}, first

    def get(self, key: str) -> str:
        return self._prices[key]

    def compare_and_set(self, key: str, old: str, new: str) -> bool:
        if self._first:
            time.sleep(DECIDES_S)
            return False
        before, self._prices[key] = self._prices[key], new
        time.sleep(DECIDES_S)
        self._prices[key] = before
        return False

    def close(self) -> None:
        """There is nothing to close."""


def _dirty(make: Callable[[Path], Any]) -> Callable[[Path, int], Ran]:
    """One agent tries to change a price, which is refused; another reads it meanwhile."""

    def run(folder: Path, seed: int) -> Ran:
        table, seen = make(folder), []
        with Lab(folder, seed) as lab:
            prices = observed_kv(table, "prices", recorder=lab.recorder)

            def changing() -> None:
                time.sleep(DECIDES_S / 3)
                assert not prices.compare_and_set("tea", "4", "400")

            def reading() -> None:
                for _ in range(8):
                    seen.append(prices.get("tea"))
                    time.sleep(DECIDES_S / 6)

            lab.threads([changing, reading])
        table.close()
        return Ran(
            lab.run_dir,
            "400" in seen,
            lambda finding: len(finding.trials) == 2 and says(finding, "'400'"),
        )

    return run


def _of(checker: str, variant: str, run: Callable[[Path, int], Ran], *, bad: bool) -> Specimen:
    return Specimen(checker.replace("_", " "), variant, checker if bad else None, checker, run)


SPECIMENS = [
    _of("stale_read", "SQLite: own writes read from a replica", _stale((2,)), bad=True),
    _of("stale_read", "SQLite: replicas read in turns", _stale((1, 2)), bad=True),
    _of("stale_read", "SQLite: read from the primary", _stale((0,)), bad=False),
    _of(
        "stale_read", "SQLite: writes wait for the replicas", _stale((1, 2), waits=True), bad=False
    ),
    _of(
        "dirty_read",
        "SQLite: read_uncommitted",
        _dirty(lambda folder: Table(folder, uncommitted=True)),
        bad=True,
    ),
    _of("dirty_read", "dict: written, then checked", _dirty(lambda _: Dict(first=False)), bad=True),
    _of(
        "dirty_read",
        "SQLite: read committed",
        _dirty(lambda folder: Table(folder, uncommitted=False)),
        bad=False,
    ),
    _of("dirty_read", "dict: checked, then written", _dirty(lambda _: Dict(first=True)), bad=False),
]
