"""Figures of runs over time: what a trend page draws.

Rules:
1. A figure that is no number (not measured, infinite) has no point; it is never 0.
2. Points come oldest first, by the start of their runs.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from proofrig.store.tables import figures, runs

Figures = Mapping[str, Mapping[str, float]]  # scenario ("" for the run as a whole) -> name -> value


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A figure of one run, in its base unit. `branch` and `commit` are "" where the run's manifest
    does not say."""

    run: str
    scenario: str
    name: str
    value: float
    started_ns: int
    branch: str = ""
    commit: str = ""
    suite_digest: str = ""


def replace_figures(connection: sa.Connection, run: str, found: Figures) -> None:
    """Save the run's figures in place of those that were saved before."""
    connection.execute(sa.delete(figures).where(figures.c.run == run))
    rows = [
        {"run": run, "scenario": scenario, "name": name, "value": float(value)}
        for scenario, values in found.items()
        for name, value in values.items()
        if math.isfinite(value)
    ]
    if rows:
        connection.execute(sa.insert(figures), rows)


def read_lines(
    connection: sa.Connection,
    suite: str,
    names: Collection[str],
    scenario: str | None,
    branch: str | None,
) -> dict[tuple[str, str], list[Point]]:
    """The points of the suite's runs by (scenario, name). See `Store.lines`."""
    told = runs.c.manifest
    query = (
        sa.select(
            *(figures.c[name] for name in ("run", "scenario", "name", "value")),
            runs.c.started_ns,
            runs.c.suite_digest,
            told["branch"].as_string().label("branch"),
            told["commit"].as_string().label("commit"),
        )
        .join(runs, runs.c.run == figures.c.run)
        .where(runs.c.suite == suite)
        .order_by(runs.c.started_ns, runs.c.run, figures.c.scenario, figures.c.name)
    )
    if names:
        query = query.where(figures.c.name.in_(sorted(names)))
    if scenario is not None:
        query = query.where(figures.c.scenario == scenario)
    found: dict[tuple[str, str], list[Point]] = {}
    for row in connection.execute(query):
        known = {name: value for name, value in row._asdict().items() if value is not None}
        point = Point(**known)
        if branch is None or point.branch == branch:
            found.setdefault((point.scenario, point.name), []).append(point)
    return found
