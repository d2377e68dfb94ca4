"""Reading SQLite databases as tables of rows, and comparing them.

Rules:
1. A database an agent left is copied first, with its journals, and only the copy is opened: what
   a killed writer left half done is rolled back, and the evidence stays as it was.
2. It may be broken or hostile: its schema is not trusted, statements have a budget of steps, rows
   and bytes are capped, broken text is replaced.
3. Names of tables and columns are compared in lower case, as SQLite does. Tables are compared as
   multisets of rows: order never matters, repeats do.
4. 1 is 1.0 and text is NFC. With a tolerance, columns that hold real numbers may differ by it.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from proofrig.verifiers._values import assign, nfc, same
from proofrig.verifiers._world import Unreadable, locate

SIZE_CAP = 256 << 20  # bytes of a database file
ROW_CAP = 1_000_000  # rows of one table or query
VALUE_CAP = 64 << 20  # bytes of one value
STEP_CAP = 100  # in millions of virtual machine steps per database

Row = tuple[Any, ...]


class Table(msgspec.Struct, frozen=True):
    """A table's columns, the columns of its primary key, and its rows."""

    columns: tuple[str, ...]
    key: tuple[str, ...]
    rows: list[Row]

    def only(self, columns: Sequence[str]) -> list[Row]:
        """The rows cut down to `columns`."""
        places = [self.columns.index(name) for name in columns]
        return [tuple(row[place] for place in places) for row in self.rows]


@contextmanager
def opened(world: Path, path: str) -> Iterator[sqlite3.Connection]:
    """A copy of the world's database. Raises Unreadable when there is none to be read."""
    real = locate(world, path)
    if real is None or not real.is_file():
        raise Unreadable(f"{path} is {'absent' if real is None else 'not a regular file'}")
    if (size := real.stat().st_size) > SIZE_CAP:
        raise Unreadable(f"{path} has {size:,} bytes, more than the {SIZE_CAP:,} that are judged")
    with tempfile.TemporaryDirectory(prefix="proofrig-verify-") as folder:
        for suffix in ("", "-wal", "-journal"):
            part = real.with_name(real.name + suffix)
            if part.is_file() and not part.is_symlink() and part.stat().st_size <= SIZE_CAP:
                shutil.copyfile(part, Path(folder, f"copy.db{suffix}"))
        connection = _guarded(sqlite3.connect(Path(folder, "copy.db")))
        try:
            yield connection
        finally:
            connection.close()


@contextmanager
def built(*scripts: str) -> Iterator[sqlite3.Connection]:
    """A database in memory made by running the scripts. Raises ValueError when one fails: a broken
    reference must never become the expected state."""
    connection = _guarded(sqlite3.connect(":memory:"))
    try:
        try:
            for script in scripts:
                connection.executescript(script)
        except sqlite3.Error as error:
            raise ValueError(f"the SQL of the expected state fails: {error}") from None
        yield connection
    finally:
        connection.close()


def tables(connection: sqlite3.Connection, only: set[str] | None = None) -> dict[str, Table]:
    """Every table (or those of `only`) by its name. Raises sqlite3.Error, Unreadable."""
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_'"
    ).fetchall()
    return {
        name.lower(): _table(connection, name)
        for (name,) in names
        if only is None or name.lower() in only
    }


def rows_of(connection: sqlite3.Connection, sql: str) -> list[Row]:
    """The rows of a query. Raises sqlite3.Error, Unreadable."""
    rows = connection.execute(sql).fetchmany(ROW_CAP + 1)
    if len(rows) > ROW_CAP:
        raise Unreadable(f"more than {ROW_CAP:,} rows")
    return [plain(row) for row in rows]


def plain(row: Sequence[Any]) -> Row:
    """A row in the form in which equal values are equal."""
    return tuple(
        nfc(value) if isinstance(value, str) else int(value) if isinstance(value, bool) else value
        for value in row
    )


def compare(wanted: list[Row], got: list[Row], tolerance: float) -> tuple[list[Row], list[Row]]:
    """The wanted rows that are missing, and the rows that were not wanted."""
    left, right = Counter(wanted), Counter(got)
    missing, unexpected = list((left - right).elements()), list((right - left).elements())
    if not tolerance or not missing or not unexpected:
        return missing, unexpected
    reals = {
        place
        for row in (*missing, *unexpected)
        for place, value in enumerate(row)
        if isinstance(value, float) and not value.is_integer()
    }
    groups: dict[Row, tuple[list[Row], list[Row]]] = defaultdict(lambda: ([], []))
    for side, rows in enumerate((missing, unexpected)):
        for row in rows:
            groups[tuple(v for i, v in enumerate(row) if i not in reals)][side].append(row)
    missing, unexpected = [], []
    for lacks, extra in groups.values():
        some, more = assign(lacks, extra, lambda a, b: same(a, b, tolerance))
        missing += [lacks[place] for place in some]
        unexpected += [extra[place] for place in more]
    return missing, unexpected


def quoted(name: str) -> str:
    """A name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def _table(connection: sqlite3.Connection, name: str) -> Table:
    info = connection.execute(f"PRAGMA table_info({quoted(name)})").fetchall()
    columns = tuple(column[1].lower() for column in info)
    key = tuple(column[1].lower() for column in sorted(info, key=lambda c: c[5]) if column[5])
    listed = ", ".join(quoted(column[1]) for column in info)
    return Table(columns, key, rows_of(connection, f"SELECT {listed} FROM {quoted(name)}"))


def _guarded(connection: sqlite3.Connection) -> sqlite3.Connection:
    steps = iter(range(STEP_CAP))
    connection.set_progress_handler(lambda: next(steps, -1) < 0, 1_000_000)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_CAP)
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection
