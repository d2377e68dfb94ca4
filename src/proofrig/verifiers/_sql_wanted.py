"""The tables a database should hold, made from what the case says.

Rules:
1. A reference that cannot be built, or that changes a row which is not there, raises: it must
   never become the expected state.
2. A loose row gives some columns; the others are free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from proofrig.errors import UsageError
from proofrig.verifiers import _sqlite as sqlite
from proofrig.verifiers._sql_forms import Forms, Given, TableChanges, TableRows
from proofrig.verifiers._sqlite import Row, Table
from proofrig.verifiers._values import same, show
from proofrig.verifiers._world import suite_file
from proofrig.verifiers.verifier import Evidence


class Wanted(msgspec.Struct):
    """A table as it should be: whole rows, and loose ones whose other columns are free."""

    columns: tuple[str, ...]
    key: tuple[str, ...]
    rows: list[Row]
    loose: list[Given] = []


def whole(forms: Forms, evidence: Evidence) -> dict[str, Wanted] | None:
    """Every table as it should be, or None when only named parts are judged."""
    if forms.equals is not None:
        return _state(_sql(forms.equals, evidence))
    if forms.changes is None and forms.after is None and not forms.others_unchanged:
        return None
    initial = _initial(evidence, forms.database)
    state = _state(initial, *((_sql(forms.after, evidence),) if forms.after else ()))
    for name, changes in (forms.changes or {}).items():
        if name.lower() not in state:
            raise UsageError(f"expected a table {name} in the initial database, found none")
        state[name.lower()] = _changed(name, state[name.lower()], changes)
    return state


def _sql(text: str, evidence: Evidence) -> str:
    """SQL as written, or from the file of the suite that it names."""
    if text.endswith(".sql") and len(text.split()) == 1:
        return suite_file(evidence, text).read_text("utf-8")
    return text


def _initial(evidence: Evidence, database: str) -> str:
    scripts: dict[str, str] = evidence.context.get("initial_sql", {})
    if database not in scripts:
        raise UsageError(
            f"expected the SQL that {database} is built from, found none: build it in the case's "
            "world from SQL, or use `expect` or `equals`"
        )
    return scripts[database]


def _state(*scripts: str) -> dict[str, Wanted]:
    with sqlite.built(*scripts) as connection:
        return {
            name: Wanted(table.columns, table.key, table.rows)
            for name, table in sqlite.tables(connection).items()
        }


def _changed(name: str, table: Wanted, changes: TableChanges) -> Wanted:
    """The table with the changes done. Raises UsageError when one cannot be."""
    key = _lower(changes.key) or table.key
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    updated, deleted, inserted = (
        [{column.lower(): plain_value(value) for column, value in row.items()} for row in given]
        for given in (changes.updated, changes.deleted, changes.inserted)
    )
    for row in (*updated, *deleted, *inserted):
        if unknown := sorted(row.keys() - set(table.columns)):
            raise UsageError(f"expected columns of {name}, got {', '.join(unknown)}")
    for row in deleted:
        kept = [old for old in rows if not _holds(old, row)]
        if len(kept) == len(rows):
            raise UsageError(f"expected a row {show(row)} of {name} to delete, found none")
        rows = kept
    for row in updated:
        if not key or not set(key) <= row.keys():
            raise UsageError(f"expected the key of {name} in {show(row)}: give `key`")
        hits = [old for old in rows if _holds(old, {column: row[column] for column in key})]
        if len(hits) != 1:
            raise UsageError(f"expected one row of {name} to update by {key}, found {len(hits)}")
        hits[0].update(row)
    return Wanted(table.columns, key, [tuple(row.values()) for row in rows], inserted)


def listed(wish: TableRows, table: Table | None) -> Wanted:
    """The listed rows, in the columns that they name."""
    rows = [{column.lower(): plain_value(v) for column, v in row.items()} for row in wish.rows]
    columns = _lower(wish.columns) or tuple(dict.fromkeys(c for row in rows for c in row))
    for row in rows:
        if unknown := sorted(row.keys() - set(columns)):
            raise UsageError(f"expected only the listed columns, got {', '.join(unknown)}")
    key = _lower(wish.key) or (table.key if table else ())
    whole = [tuple(row[c] for c in columns) for row in rows if len(row) == len(columns)]
    return Wanted(columns, key, whole, [row for row in rows if len(row) < len(columns)])


def plain_value(value: Any) -> Any:
    return sqlite.plain((value,))[0]


def _holds(row: Given, part: Given) -> bool:
    return all(same(row[column], value) for column, value in part.items())


def _lower(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.lower() for name in names)
