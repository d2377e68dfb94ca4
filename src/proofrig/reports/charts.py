"""The drawings of a report as plain SVG numbers: places in percent or in a small view box.

Rules:
1. Drawing decides nothing: every number comes in measured, and what is missing stays missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from proofrig.comparisons.gate import GateResult
from proofrig.reports.contention import figure, figures_of
from proofrig.reports.words import percent
from proofrig.results import ScenarioResult, Score

WIDTH, HEIGHT, MARGIN = 300, 96, 10
MOST_POINTS = 40


@dataclass(frozen=True, slots=True)
class Marker:
    """Something to compare the pass rate with, at `at` percent of the scale."""

    kind: str  # null, reference, gate
    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Trend:
    """A line over the runs of a suite. Without points, `missing` says why there is none."""

    title: str
    missing: str = ""
    latest: str = ""
    since: str = ""
    line: str = ""  # SVG points
    band: str = ""  # SVG points of the interval
    second: str = ""  # SVG points of pass^k
    second_label: str = ""
    dots: list[tuple[float, float, str]] = field(default_factory=list)
    stems: bool = False  # the dots stand on lines, for they are no course of time
    top: str = "100 %"
    bottom: str = "0 %"


def markers(score: Score, gates: Sequence[GateResult]) -> list[Marker]:
    """The baselines and the gates, on the scale of the pass rate."""
    found = []
    if score.null_passed is not None:
        share = score.null_passed / score.null_trials
        found.append(Marker("null", 100 * share, f"null agent {percent(share)}"))
    if score.reference_passed is not None:
        share = score.reference_passed / score.reference_trials
        found.append(Marker("reference", 100 * share, f"reference {percent(share)}"))
    for gate in gates:
        if gate.figure == "accuracy" and not gate.scenario and gate.bound is not None:
            found.append(Marker("gate", 100 * gate.bound, f"gate {percent(gate.bound)}"))
    return found


def accuracy(points: Sequence[dict[str, Any]], run: str) -> Trend:
    """The pass rate, its interval and pass^k over the store's runs, oldest first."""
    title = "Accuracy"
    known = [point for point in points if point.get("rate") is not None][-MOST_POINTS:]
    if not known:
        return Trend(title, missing="no stored run of this suite was measured")
    xs = _spread(len(known))
    rates = [(x, _y(point["rate"])) for x, point in zip(xs, known, strict=True)]
    lows = [
        (x, _y(_or(point.get("low"), point["rate"]))) for x, point in zip(xs, known, strict=True)
    ]
    highs = [
        (x, _y(_or(point.get("high"), point["rate"]))) for x, point in zip(xs, known, strict=True)
    ]
    hats = [
        (x, _y(point["pass_hat_k"]))
        for x, point in zip(xs, known, strict=True)
        if point.get("pass_hat_k") is not None and point.get("k", 1) > 1
    ]
    dots = [
        (x, y, f"{point['run']}: {percent(point['rate'])}")
        for (x, y), point in zip(rates, known, strict=True)
    ]
    latest = known[-1]
    count = "first run" if len(known) == 1 else f"{len(known)} runs"
    if latest.get("run") != run:
        count += ", this run not among them"
    return Trend(
        title,
        latest=percent(latest["rate"]),
        since=count,
        line=_points(rates),
        band=_points([*highs, *reversed(lows)]) if len(known) > 1 else "",
        second=_points(hats) if len(hats) > 1 else "",
        second_label=f"pass^{latest.get('k', 1)}" if len(hats) > 1 else "",
        dots=dots,
    )


_CONTENTION = (
    ("429 rate under burst", ("tool_429_rate", "llm_429_rate")),
    ("Leak rate", ("leak_rate",)),
    ("Pool wait p99", ("pool_wait_p99_ms",)),
)


def trends(
    points: Sequence[dict[str, Any]], run: str, scenarios: Sequence[ScenarioResult] = ()
) -> list[Trend]:
    """The four lines of a run: accuracy over the runs, and what contention measured in each of
    this run's scenarios."""
    contention = [_by_scenario(title, names, scenarios) for title, names in _CONTENTION]
    return [accuracy(points, run), *contention]


def _by_scenario(title: str, names: Sequence[str], scenarios: Sequence[ScenarioResult]) -> Trend:
    if not scenarios:
        return Trend(title, missing="not measured yet in this run: no contention scenario ran")
    found = []
    for one in scenarios:
        measured = figures_of(one)
        values = [measured[name] for name in names if name in measured]
        if values:
            found.append((one.name, max(values)))
    if not found:
        return Trend(
            title, missing="not measured in this run: nothing in its scenarios measures it"
        )
    share = names[0].endswith("_rate")
    full = 1.0 if share else max(max(value for _, value in found), 1.0)
    dots = [
        (x, _y(min(1.0, value / full)), f"{name}: {figure(names[0], value)}")
        for x, (name, value) in zip(_spread(len(found)), found, strict=True)
    ]
    name, worst = max(found, key=lambda pair: pair[1])
    return Trend(
        title,
        latest=figure(names[0], worst),
        since=f"at most, in {name}; this run by scenario: {', '.join(name for name, _ in found)}",
        dots=dots,
        stems=True,
        top="100 %" if share else figure(names[0], full),
        bottom="0 %" if share else "0",
    )


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _spread(count: int) -> list[float]:
    if count == 1:
        return [WIDTH / 2]
    step = (WIDTH - 2 * MARGIN) / (count - 1)
    return [round(MARGIN + place * step, 1) for place in range(count)]


def _y(share: float) -> float:
    return round(MARGIN + (1 - share) * (HEIGHT - 2 * MARGIN), 1)


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in places)
