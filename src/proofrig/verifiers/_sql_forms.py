"""What a user writes under `sql_state`: rows, changes, queries."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from proofrig.verifiers._world import relative

Scalar = str | bool | int | float | None
Given = dict[str, Scalar]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TableRows(_Part):
    """All rows of a table. `key`: the columns that tell rows apart in messages."""

    rows: tuple[Given, ...]
    columns: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    where: str = ""


class TableChanges(_Part):
    """What happened to a table. `key` finds updated rows; the primary key unless given."""

    inserted: tuple[Given, ...] = ()
    updated: tuple[Given, ...] = ()
    deleted: tuple[Given, ...] = ()
    key: tuple[str, ...] = ()


class Query(_Part):
    """A query and its rows, in any order unless `ordered`."""

    sql: str
    rows: tuple[tuple[Scalar, ...], ...]
    ordered: bool = False


class Forms(BaseModel):
    """The forms in which the state of one database is described."""

    database: str
    expect: dict[str, TableRows] = Field(default_factory=dict)
    changes: dict[str, TableChanges] | None = None
    after: str | None = None
    equals: str | None = None
    queries: tuple[Query, ...] = ()
    others_unchanged: bool = False
    ignore: tuple[str, ...] = ()
    tolerance: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    @field_validator("database")
    @classmethod
    def _inside(cls, database: str) -> str:
        return relative(database)

    @model_validator(mode="after")
    def _says_what(self) -> Forms:
        whole = [form for form in (self.changes, self.after, self.equals) if form is not None]
        if len(whole) > 1 or (whole and self.others_unchanged):
            raise ValueError("expected one of `changes`, `after`, `equals`, `others_unchanged`")
        if not (whole or self.expect or self.queries or self.others_unchanged):
            raise ValueError("expected `expect`, `changes`, `after`, `equals` or `queries`")
        return self
