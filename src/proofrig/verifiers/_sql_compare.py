"""A database that an agent left against the tables it should hold, as sentences.

Rules:
1. Whole rows are matched first, each with an equal one; then loose rows share out what is left.
2. A row that keeps its key is told as changed, not as one missing and one unexpected.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from proofrig.verifiers import _sqlite as sqlite
from proofrig.verifiers._sql_forms import Forms, Given, Query
from proofrig.verifiers._sql_wanted import Wanted, listed, plain_value, whole
from proofrig.verifiers._sqlite import Row, Table
from proofrig.verifiers._values import assign, same, show
from proofrig.verifiers._world import Unreadable, world_of
from proofrig.verifiers.verifier import Evidence, cut

_PAIRED = 10_000  # pairs of rows that are looked at to tell a change from a loss and a gain
_SHOWN = 3  # rows of each kind that a message shows


def problems(forms: Forms, evidence: Evidence) -> list[str]:
    """Every difference. Raises Unreadable when the agent left no database that can be read, and
    UsageError or ValueError when the expected state cannot be built."""
    wanted = whole(forms, evidence)
    try:
        with sqlite.opened(world_of(evidence), forms.database) as connection:
            return _differences(forms, connection, wanted)
    except sqlite3.Error as error:
        raise Unreadable(f"{forms.database}: {error}") from None


def _differences(
    forms: Forms, connection: sqlite3.Connection, wanted: dict[str, Wanted] | None
) -> list[str]:
    named = {name.lower() for name in forms.expect}
    found = sqlite.tables(connection, None if wanted is not None else named)
    problems: list[str] = []
    if wanted is not None:
        skip = {part.lower() for part in forms.ignore} | (
            named if forms.others_unchanged else set()
        )
        for name in sorted((wanted.keys() | found.keys()) - skip):
            if name not in wanted:
                problems.append(f"table {name} is new")
            else:
                problems += _table(forms, name, wanted[name], found.get(name))
    for name, rows in forms.expect.items():
        table = found.get(name.lower())
        part = listed(rows, table)
        if table and rows.where and set(part.columns) <= set(table.columns):
            table = _filtered(connection, name, part.columns, rows.where)
        problems += _table(forms, name.lower(), part, table, part=True)
    for query in forms.queries:
        problems += _query(connection, query, forms.tolerance)
    return problems


def _table(
    forms: Forms, name: str, wanted: Wanted, got: Table | None, part: bool = False
) -> list[str]:
    if got is None:
        return [f"table {name} is gone"]
    ignored = {line.lower() for line in forms.ignore}
    skip = {c for c in (*wanted.columns, *got.columns) if {f"{name}.{c}", f"*.{c}"} & ignored}
    lacking = [c for c in wanted.columns if c not in got.columns and c not in skip]
    more = [c for c in got.columns if c not in wanted.columns and c not in skip and not part]
    if lacking or more:
        told = f"lacks columns {lacking}" if lacking else f"has new columns {more}"
        return [f"table {name} {told}"]
    columns = tuple(column for column in wanted.columns if column not in skip)
    missing, unexpected = sqlite.compare(
        Table(wanted.columns, (), wanted.rows).only(columns),
        got.only(columns),
        forms.tolerance,
    )

    def fits(row: Given, found: Row) -> bool:
        values = dict(zip(columns, found, strict=True))
        return all(
            same(plain_value(value), values[column], forms.tolerance)
            for column, value in row.items()
            if column in values
        )

    lost, spare = assign(wanted.loose, unexpected, fits)
    absent = [dict(zip(columns, row, strict=True)) for row in missing]
    absent += [wanted.loose[place] for place in lost]
    extra = [dict(zip(columns, unexpected[place], strict=True)) for place in spare]
    return _told(name, wanted.key, absent, extra)


def _query(connection: sqlite3.Connection, query: Query, tolerance: float) -> list[str]:
    try:
        got = sqlite.rows_of(connection, query.sql)
    except sqlite3.Error as error:
        return [f"{query.sql}: {error}"]
    wanted = [sqlite.plain(row) for row in query.rows]
    if query.ordered:
        equal = same(wanted, got, tolerance)
    else:
        equal = not any(sqlite.compare(wanted, got, tolerance))
    both = f"{show(got[:_SHOWN])}, not {show(wanted[:_SHOWN])}"
    return [] if equal else [f"{query.sql} gives {len(got)} rows {both}"]


def _filtered(
    connection: sqlite3.Connection, name: str, columns: Sequence[str], where: str
) -> Table:
    listed = ", ".join(sqlite.quoted(column) for column in columns) or "1"
    sql = f"SELECT {listed} FROM {sqlite.quoted(name)} WHERE {where}"
    return Table(tuple(columns), (), sqlite.rows_of(connection, sql))


def _told(
    name: str, key: tuple[str, ...], absent: list[dict[str, Any]], extra: list[dict[str, Any]]
) -> list[str]:
    """The differences of a table as sentences; a row that only changed is told as one."""
    changed: list[str] = []
    for row in list(absent) if len(absent) * len(extra) <= _PAIRED else ():
        same_key = [
            other
            for other in extra
            if key and all(c in row and c in other and row[c] == other[c] for c in key)
        ]
        if len(same_key) == 1:
            other = same_key[0]
            where = ", ".join(f"{column}={show(row[column])}" for column in key)
            what = ", ".join(
                f"{column} is {cut(show(other[column]), 60)}, not {cut(show(value), 60)}"
                for column, value in row.items()
                if column in other and other[column] != value
            )
            changed.append(f"{where}: {what}")
            absent.remove(row)
            extra.remove(other)
    parts = (("changed", changed), ("missing", absent), ("unexpected", extra))
    return [f"{name} {word}: {_some(rows)}" for word, rows in parts if rows]


def _some(rows: Sequence[Any]) -> str:
    shown = [row if isinstance(row, str) else cut(show(row), 150) for row in rows[:_SHOWN]]
    more = len(rows) - _SHOWN
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
