"""Baselines: the runs that later runs of a suite are held against, by branch and suite digest.

Rules:
1. A baseline is kept with its sample, so that it outlives its run's directory. What a sample is, is
   the caller's: here it is bytes, compressed.
2. A pinned baseline was chosen by a person; the others were saved on their own. Saving a run again
   never takes the pin, nor its place in time, from it.
3. What is held against a run was made under the same conditions if there is any such; else as near
   to them as there is. Scenarios that have nothing in common say nothing about each other.
4. A pinned baseline is where looking back ends: nothing older is used with it or instead of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence

import msgspec
import sqlalchemy as sa

from proofrig.store.tables import baselines


class BaselineRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A baseline without its sample. `commit` is marked where the tree was dirty; `saved_ns` is
    wall-clock nanoseconds since 1970. `scenarios`: those the run played, "" for the plain plan;
    `conditions`: in words, what else it was run under ("" for nothing special). `measured` and
    `passed` are trials."""

    run: str
    branch: str
    suite: str
    suite_digest: str
    saved_ns: int
    commit: str = ""
    pinned: bool = False
    scenarios: tuple[str, ...] = ("",)
    conditions: str = ""
    cases: int = 0
    measured: int = 0
    passed: int = 0


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """Of what a baseline is wanted: a run of this suite digest ("": any), with these scenarios,
    under these conditions; without scenarios (None) the newest under whatever conditions. `but`: a
    run that is not to be used, for it is the one to be judged."""

    digest: str = ""
    scenarios: tuple[str, ...] | None = None
    conditions: str = ""
    but: str = ""


_HEAD = [column for column in baselines.c if column.name != "sample"]


def replace_baseline(connection: sa.Connection, record: BaselineRecord, sample: bytes) -> None:
    """Save the baseline, or renew it. The write comes first, so that two processes take turns."""
    values = msgspec.structs.asdict(record) | {"sample": zlib.compress(sample)}
    renewed = {
        name: value
        for name, value in values.items()
        if record.pinned or name not in ("pinned", "saved_ns")
    }
    same = (baselines.c.run == record.run) & (baselines.c.branch == record.branch)
    done = connection.execute(sa.update(baselines).where(same).values(renewed))
    if not done.rowcount:
        connection.execute(sa.insert(baselines).values(values))


def forget_autosaved(connection: sa.Connection, run: str) -> None:
    """Drop what was saved of the run on its own; what a person pinned stays."""
    mine = (baselines.c.run == run) & baselines.c.pinned.is_(False)
    connection.execute(sa.delete(baselines).where(mine))


def read_baselines(connection: sa.Connection, suite: str, branch: str) -> list[BaselineRecord]:
    """The baselines, newest first; of all suites and branches where those are ""."""
    query = sa.select(*_HEAD).order_by(baselines.c.saved_ns.desc(), baselines.c.run.desc())
    if suite:
        query = query.where(baselines.c.suite == suite)
    if branch:
        query = query.where(baselines.c.branch == branch)
    rows = (row._asdict() for row in connection.execute(query))
    return [BaselineRecord(**row | {"scenarios": tuple(row["scenarios"])}) for row in rows]


def read_samples(connection: sa.Connection, branch: str, runs: Collection[str]) -> dict[str, bytes]:
    """The samples that were saved of these runs for the branch, by run."""
    query = sa.select(baselines.c.run, baselines.c.sample).where(
        baselines.c.branch == branch, baselines.c.run.in_(sorted(runs))
    )
    return {run: zlib.decompress(sample) for run, sample in connection.execute(query)}


def read_kept(connection: sa.Connection, name: str) -> list[tuple[BaselineRecord, bytes]]:
    """The baselines of the runs whose id begins with `name`, newest first, with their samples."""
    found = [one for one in read_baselines(connection, "", "") if one.run.startswith(name)]
    return [(one, read_samples(connection, one.branch, [one.run])[one.run]) for one in found]


def usable(
    records: Sequence[BaselineRecord], wanted: Circumstances, most: int
) -> list[BaselineRecord]:
    """Of a suite's baselines on a branch, newest first: the one to hold a run against, then those
    that may be pooled with it, at most `most` in all. The pinned one comes first where there is
    one. Empty when none has a scenario in common with the run."""
    anything = wanted.scenarios is None
    asked = set(wanted.scenarios or ())

    def nearness(record: BaselineRecord) -> tuple[bool, bool, bool]:
        covers = asked <= set(record.scenarios)
        return (
            not wanted.digest or record.suite_digest == wanted.digest,
            covers,
            anything or (covers and record.conditions == wanted.conditions),
        )

    def shares(record: BaselineRecord) -> bool:
        return record.run != wanted.but and (anything or not asked.isdisjoint(record.scenarios))

    nearest = max((record for record in records if shares(record)), key=nearness, default=None)
    if nearest is None:
        return []
    mates = [record for record in records if shares(record) and _alike(record, nearest)]
    pin = next((place for place, record in enumerate(mates) if record.pinned), None)
    if pin is not None:
        mates = [mates[pin], *mates[:pin]]
    return mates[:most]


def _alike(one: BaselineRecord, other: BaselineRecord) -> bool:
    """Whether both are of the same suite, scenarios and conditions."""
    return (one.suite_digest, set(one.scenarios), one.conditions) == (
        other.suite_digest,
        set(other.scenarios),
        other.conditions,
    )
