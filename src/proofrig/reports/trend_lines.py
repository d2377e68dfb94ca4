"""Which lines a trend has, from what the store keeps: the four that every suite has, then whatever
a gate is about.

Rules:
1. Accuracy, the 429 rate under burst, the leak rate and the pool wait p99 are always there; what
   was not measured says how to measure it. What is asked for by name stands alone.
2. A figure that several scenarios measure is taken from the one that is about it, else from the
   one with most points, and the line says which.
3. A gate's bound is the one that the latest judged run was held to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proofrig.comparisons.gate import GateResult
from proofrig.errors import UsageError
from proofrig.figures import find
from proofrig.reports.gates import op_of
from proofrig.reports.reading import near
from proofrig.reports.trend import Bound, Line, Point
from proofrig.store import Point as Kept
from proofrig.store import RunRecord

Measured = Mapping[tuple[str, str], Sequence[Kept]]  # by (scenario, figure), oldest first

_ACCURACY = "accuracy"
# Title, the figures that may stand for it, the scenario that is about it.
STANDARD: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("Accuracy", (_ACCURACY,), ""),
    ("429 rate under burst", ("tool_429_rate", "llm_429_rate"), "burst"),
    ("Leak rate", ("leak_rate",), "tenant_probe"),
    ("Pool wait p99", ("p99(pool_wait)",), "long_stream"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What the store keeps of a suite. rates: the points of `Store.trend`, for the intervals of the
    pass rate. runs: its runs. gates: of the latest run that was judged. baseline: the figures of
    what runs are held against, by scenario and name. run_again: the command that runs the suite."""

    measured: Measured
    rates: Sequence[Mapping[str, Any]] = ()
    runs: Sequence[RunRecord] = ()
    gates: Sequence[GateResult] = ()
    baseline: Mapping[str, Mapping[str, float]] | None = None
    run_again: str = "proofrig run SUITE"


def lines_of(stored: Stored, names: Iterable[str] = ()) -> list[Line]:
    """The lines of a suite: those of rule 1 and of its gates, or those that are asked for by
    `figure` or `scenario:figure`. Raises UsageError for a name that no run has measured."""
    asked = [_asked(stored, name) for name in names]
    if asked:
        return asked
    found = []
    for title, figures, scenario in STANDARD:
        held = [key for figure in figures if (key := _nearest(stored, figure, scenario))[2]]
        name, within, _ = held[0] if held else (figures[0], scenario, 0)
        found.append(_line(stored, name, within, title if within == scenario else ""))
    drawn = {(one.name, one.scenario) for one in found}
    for gate in stored.gates:
        figure = _drawn(gate)
        if figure and (figure, gate.scenario) not in drawn:
            drawn.add((figure, gate.scenario))
            found.append(_line(stored, figure, gate.scenario))
    return found


def _drawn(gate: GateResult) -> str:
    """The figure that shows what a gate is about: a total that may not regress is held against the
    baseline by the trial, so that runs of any size can stand in one line."""
    figure = find(gate.figure)
    by_trial = figure is not None and figure.total and op_of(gate) is None
    each = f"{gate.figure}_per_trial"
    return each if by_trial and find(each) is not None else gate.figure


def _asked(stored: Stored, name: str) -> Line:
    keys = {key for key, points in stored.measured.items() if points}
    if name == _ACCURACY:
        return _line(stored, name, "", "Accuracy")
    scenario, colon, figure = name.partition(":")
    if colon and (scenario, figure) in keys:
        return _line(stored, figure, scenario)
    figure, within, count = _nearest(stored, name, "")
    if not count:
        known = sorted({f"{place}:{one}" if place else one for place, one in keys})
        raise UsageError(f"no run has measured the figure {name!r}: {near(name, known)}")
    return _line(stored, figure, within)


def _nearest(stored: Stored, name: str, scenario: str) -> tuple[str, str, int]:
    """The figure in the scenario that is about it, else in the one with most points of it."""
    counts = {place: len(kept) for (place, one), kept in stored.measured.items() if one == name}
    if name == _ACCURACY and not scenario:
        return name, "", max(len(stored.rates), counts.get("", 0))
    if not counts:
        return name, scenario, 0
    place = max(counts, key=lambda one: (one == scenario, counts[one], one == ""))
    return name, place, counts[place]


def _line(stored: Stored, name: str, scenario: str, title: str = "") -> Line:
    gates = [one for one in stored.gates if (one.figure, one.scenario) == (name, scenario)]
    baseline = (stored.baseline or {}).get(scenario, {}).get(name)
    told = [one.baseline for one in gates if one.baseline is not None]
    again = f"{stored.run_again} --scenario {scenario}" if scenario else stored.run_again
    return Line(
        name=name,
        scenario=scenario,
        title=title,
        points=_points(stored, name, scenario),
        baseline=told[0] if baseline is None and told else baseline,
        bounds=[bound for one in gates if (bound := _bound(one)) is not None],
        todo=again,
    )


def _points(stored: Stored, name: str, scenario: str) -> list[Point]:
    kept = list(stored.measured.get((scenario, name), ()))
    if (name, scenario) != (_ACCURACY, ""):
        return [_point(one) for one in kept]
    rates = {str(row["run"]): row for row in stored.rates if row.get("rate") is not None}
    found = {one.run: _point(one, rates.get(one.run)) for one in kept}
    records = {record.run: record for record in stored.runs}
    for run, row in rates.items():  # runs that were stored before figures were
        told = records[run].manifest if run in records else {}
        found.setdefault(
            run,
            Point(
                run=run,
                value=float(row["rate"]),
                started_ns=int(row["started_ns"]),
                branch=str(told.get("branch", "")),
                commit=str(told.get("commit", "")),
                digest=records[run].suite_digest if run in records else "",
                low=row.get("low"),
                high=row.get("high"),
            ),
        )
    return sorted(found.values(), key=lambda point: (point.started_ns, point.run))


def _point(kept: Kept, rate: Mapping[str, Any] | None = None) -> Point:
    return Point(
        run=kept.run,
        value=kept.value,
        started_ns=kept.started_ns,
        branch=kept.branch,
        commit=kept.commit,
        digest=kept.suite_digest,
        low=rate.get("low") if rate else None,
        high=rate.get("high") if rate else None,
    )


def _bound(gate: GateResult) -> Bound | None:
    """The bound that a gate sets; None for one that sets none, such as a regression."""
    op = op_of(gate)
    return None if op is None else Bound(text=gate.rule, op=op, value=gate.bound)
