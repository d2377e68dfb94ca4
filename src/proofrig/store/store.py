"""The store: one row per run, per score, figure and trial; baselines. The history stays in files.

Rules:
1. Everything here can be folded again from a run's history; the store is for finding and comparing.
   Only that a run is a baseline is said nowhere else.
2. Saving a run replaces what was saved of it before, in one transaction.
3. `url` is a SQLAlchemy URL. A path's folder is made; SQLite runs in WAL mode, so that several runs
   may save at once. Tables that an older store lacks are added when it is opened.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable

from proofrig.errors import InfraError, UsageError
from proofrig.results import Row, Score, Summary
from proofrig.store.baselines import (
    BaselineRecord,
    Circumstances,
    forget_autosaved,
    read_baselines,
    read_kept,
    read_samples,
    replace_baseline,
    usable,
)
from proofrig.store.lines import Figures, Point, read_lines, replace_figures
from proofrig.store.tables import metadata, runs, scores, trials

BUSY_S = 10.0  # that one waits for others who write


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A run as the store knows it. Times are wall-clock nanoseconds since 1970, 0 when open.

    status: running, cut off, finished, interrupted or stopped. verdict: pass, fail or inconclusive;
    "" without a gate.
    """

    run: str
    suite: str
    suite_digest: str
    path: str
    started_ns: int
    finished_ns: int = 0
    status: str = "running"
    verdict: str = ""
    exit_code: int = 0
    manifest: dict[str, Any] = {}


def engine_of(url: str) -> sa.Engine:
    """An engine that has not connected yet. Raises UsageError for what is no URL of a database, or
    of one whose driver is not installed."""
    try:
        return sa.create_engine(url)
    except SQLAlchemyError as error:
        raise UsageError(
            "expected a SQLAlchemy URL as the store, such as sqlite:///runs.db, got one that "
            f"begins with {url.partition(':')[0]!r}: {error}. Correct --store or PROOFRIG_STORE."
        ) from error
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the store's database needs the driver {error.name!r}, which is not installed: "
            "install it, or give another --store"
        ) from error


class Store:
    """Opens (and makes) the store at `url`. Raises UsageError, see `engine_of`, and InfraError
    when it cannot be opened; every method raises InfraError when the database fails."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = engine_of(url)
        place = self._engine.url
        try:
            if place.get_backend_name() == "sqlite":
                if place.database:
                    Path(place.database).parent.mkdir(parents=True, exist_ok=True)
                sa.event.listen(self._engine, "connect", _sqlite_pragmas)
            self._add_missing_tables()
        except (SQLAlchemyError, OSError) as error:
            raise InfraError(
                f"cannot open the store at {place.render_as_string()}: {error}. "
                "Give a writable place with --store or PROOFRIG_STORE."
            ) from error

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def _add_missing_tables(self) -> None:
        """Another process may be making the same ones: whoever comes second leaves them alone. A
        store that has them all is only read."""
        with self._engine.begin() as connection:
            there = set(sa.inspect(connection).get_table_names())
            for table in metadata.sorted_tables:
                if table.name in there:
                    continue
                connection.execute(CreateTable(table, if_not_exists=True))
                for index in table.indexes:
                    connection.execute(CreateIndex(index, if_not_exists=True))

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            where = self._engine.url.render_as_string()
            raise InfraError(f"the store at {where} failed: {error}") from error

    def save(self, record: RunRecord) -> None:
        """Save or replace the run's own row."""
        with self._transaction() as connection:
            _replace_run(connection, record)

    def save_results(self, record: RunRecord, summary: Summary, rows: Iterable[Row]) -> None:
        """Save or replace the run with its scores and trials."""
        with self._transaction() as connection:
            _replace_run(connection, record)
            for table in (scores, trials):
                connection.execute(sa.delete(table).where(table.c.run == record.run))
            connection.execute(sa.insert(scores), list(_score_rows(record.run, summary)))
            found = [_trial_row(record.run, row) for row in rows]
            if found:
                connection.execute(sa.insert(trials), found)

    def runs(self, suite: str = "", limit: int = 50) -> list[RunRecord]:
        """The latest runs, newest first."""
        query = sa.select(runs).order_by(runs.c.started_ns.desc()).limit(limit)
        if suite:
            query = query.where(runs.c.suite == suite)
        with self._transaction() as connection:
            return [RunRecord(**row._asdict()) for row in connection.execute(query)]

    def find(self, name: str) -> list[RunRecord]:
        """The runs whose id is or begins with `name`; "last" is the newest."""
        if name == "last":
            return self.runs(limit=1)
        query = sa.select(runs).where(runs.c.run.startswith(name, autoescape=True))
        with self._transaction() as connection:
            found = [RunRecord(**row._asdict()) for row in connection.execute(query)]
        exact = [record for record in found if record.run == name]
        return exact or found

    def trend(self, suite: str, kind: str = "overall", name: str = "all") -> list[dict[str, Any]]:
        """A score over the runs of a suite, oldest first: rate, interval, cost, by run."""
        query = (
            sa.select(runs.c.started_ns, scores)
            .join(runs, runs.c.run == scores.c.run)
            .where(runs.c.suite == suite, scores.c.kind == kind, scores.c.name == name)
            .order_by(runs.c.started_ns)
        )
        with self._transaction() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def rate(self, run: str) -> float | None:
        """The run's overall pass rate, in [0, 1]; None when nothing was measured."""
        query = sa.select(scores.c.rate).where(scores.c.run == run, scores.c.kind == "overall")
        with self._transaction() as connection:
            found: float | None = connection.execute(query).scalar()
        return found

    def outcomes(self, run: str) -> dict[str, list[bool | None]]:
        """Per case, the outcome of each of the run's subject trials, in the order of repeats."""
        query = (
            sa.select(trials.c.case_id, trials.c.passed)
            .where(trials.c.run == run, trials.c.role == "subject")
            .order_by(trials.c.case_id, trials.c.repeat)
        )
        found: dict[str, list[bool | None]] = {}
        with self._transaction() as connection:
            for case, passed in connection.execute(query):
                found.setdefault(case, []).append(passed)
        return found

    def save_figures(self, run: str, figures: Figures) -> None:
        """Save or replace the figures of a run that are drawn over time, by scenario ("" for the
        run as a whole) and name. What is not finite is left out: it was not measured."""
        with self._transaction() as connection:
            replace_figures(connection, run, figures)

    def lines(
        self,
        suite: str,
        names: Collection[str] = (),
        scenario: str | None = None,
        branch: str | None = None,
    ) -> dict[tuple[str, str], list[Point]]:
        """The figures of a suite's runs by (scenario, name), each oldest first: all, or those in
        `names`, of one scenario, or of one branch."""
        with self._transaction() as connection:
            return read_lines(connection, suite, names, scenario, branch)

    def save_baseline(self, record: BaselineRecord, sample: bytes) -> None:
        """Keep a run as a baseline of a branch, or renew it. A pin once set stays."""
        with self._transaction() as connection:
            replace_baseline(connection, record, sample)

    def forget_autosaved(self, run: str) -> None:
        """Drop the run from the baselines unless a person put it there."""
        with self._transaction() as connection:
            forget_autosaved(connection, run)

    def baselines(self, suite: str = "", branch: str = "") -> list[BaselineRecord]:
        """The baselines, newest first."""
        with self._transaction() as connection:
            return read_baselines(connection, suite, branch)

    def baseline(
        self, suite: str, branch: str, wanted: Circumstances, most: int = 20
    ) -> list[tuple[BaselineRecord, bytes]]:
        """The baseline of a branch to hold a run against, then those that may be pooled with it,
        with their samples; see `usable`. Empty when there is none."""
        with self._transaction() as connection:
            chosen = usable(read_baselines(connection, suite, branch), wanted, most)
            samples = read_samples(connection, branch, [record.run for record in chosen])
        return [(record, samples[record.run]) for record in chosen]

    def kept(self, name: str) -> list[tuple[BaselineRecord, bytes]]:
        """The baselines of the runs whose id begins with `name`, newest first, with their samples:
        they are there when the runs' directories are not."""
        with self._transaction() as connection:
            return read_kept(connection, name)


def _replace_run(connection: sa.Connection, record: RunRecord) -> None:
    connection.execute(sa.delete(runs).where(runs.c.run == record.run))
    connection.execute(sa.insert(runs).values(**msgspec.structs.asdict(record)))


def _sqlite_pragmas(connection: Any, record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_S * 1000:.0f}")  # first: the others may have to wait
    deadline = time.monotonic() + BUSY_S
    while True:  # SQLite does not always wait where two change the mode of a new file
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _score_rows(run: str, summary: Summary) -> Iterable[dict[str, Any]]:
    groups: list[tuple[str, list[Score]]] = [
        ("overall", [summary.overall]),
        ("case", summary.by_case),
        ("tag", summary.by_tag),
        ("difficulty", summary.by_difficulty),
    ]
    for kind, members in groups:
        for score in members:
            yield {
                "run": run,
                "kind": kind,
                "name": score.name,
                "trials": score.trials,
                "measured": score.measured,
                "passed": score.passed,
                "rate": score.rate.estimate if score.rate else None,
                "low": score.rate.low if score.rate else None,
                "high": score.rate.high if score.rate else None,
                "k": score.k,
                "pass_hat_k": score.pass_hat.get(str(score.k)),
                "usd_micro": score.usd_micro,
                "tokens": score.tokens,
                "duration_p50_ns": score.duration_ns.get("p50"),
            }


def _trial_row(run: str, row: Row) -> dict[str, Any]:
    return {
        "run": run,
        "trial": row.trial,
        "case_id": row.case,
        "repeat": row.repeat,
        "role": row.role,
        "tenant": row.tenant,
        "passed": row.passed,
        "failure": row.failure,
        "score": row.score,
        "usd_micro": row.usd_micro,
        "tokens": row.input_tokens + row.output_tokens,
        "llm_calls": row.llm_calls,
        "tool_calls": row.tool_calls,
        "duration_ns": row.duration_ns,
    }
