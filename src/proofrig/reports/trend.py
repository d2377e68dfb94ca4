"""The trend page: what became of a suite's figures over its runs, one chart for each.

    lines of points, oldest first  ->  one HTML page that needs nothing else

Rules:
1. One figure, one chart: never two scales in one. All charts have the same runs at the same places.
2. The line joins the runs of one branch, the main one; runs of others are points beside it. Where
   the line changed is looked for in it alone. Where the suite itself became another is marked: what
   changes there may be due to that.
3. What was not measured says so, and what to run to measure it; it is never 0.
4. The page fetches nothing and runs nothing; names and branches come in as text, and stay text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from markupsafe import Markup

from proofrig.branches import short
from proofrig.comparisons.bounds import meets
from proofrig.comparisons.gate import State
from proofrig.reports import trend_chart, words
from proofrig.reports.names import Named, named
from proofrig.reports.page import read, template
from proofrig.reports.words import line, percent, signed
from proofrig.thresholds import Op

MOST = 200  # runs of a page, the latest ones
ROWS = 200  # of a table
_MAIN = ("main", "master", "trunk")
_LEAST = 6  # points before a change is looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A figure of one run, in its unit. low, high: the ends of its interval, where that is known.
    digest: of the suite that was run, "" where that is not known."""

    run: str
    value: float
    started_ns: int = 0
    branch: str = ""
    commit: str = ""
    digest: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A gate on the figure: as written, what it compares with (None: that is not known)."""

    text: str
    op: Op
    value: float | None

    def state(self, value: float) -> State:
        """What it says of a value, by itself: no interval, no evidence."""
        if self.value is None:
            return "inconclusive"
        return "pass" if meets(self.op, value, self.value) else "fail"


@dataclass(frozen=True, kw_only=True)
class Line:
    """A figure over the runs, oldest first. title: where its own is not meant; baseline: of the
    branch; todo: the command that would measure it."""

    name: str
    scenario: str = ""
    title: str = ""
    points: Sequence[Point] = ()
    baseline: float | None = None
    bounds: Sequence[Bound] = ()
    todo: str = ""

    @cached_property
    def known(self) -> Named:
        """What is known of the figure."""
        return named(self.name, self.scenario)

    @property
    def called(self) -> str:
        """What it is called on the page."""
        return self.title or self.known.title

    def said(self, value: float | None) -> str:
        """A value of it in words."""
        return self.known.said(value)

    def moved(self, value: float, since: float) -> str:
        """How far it is from another value: `−1.2 points`, `+12.0 %`."""
        if self.known.unit == "share":
            said = signed(value - since, f"{100 * abs(value - since):.1f}")
            return "no change" if said == "0" else f"{said} points"
        if not since:
            return "no change" if value == since else f"from {self.said(since)}"
        share = (value - since) / abs(since)
        said = signed(share, f"{100 * abs(share):.1f}")
        return "no change" if said == "0" else f"{said} %"


@dataclass(frozen=True, slots=True)
class Shift:
    """Where a line changed: its first point after, and the means before and after."""

    first: Point
    before: float
    after: float


def main_of(lines: Sequence[Line]) -> str:
    """The branch that the lines join: the main one by its name, else the one with most runs."""
    runs = {(point.run, point.branch) for one in lines for point in one.points}
    count = Counter(branch for _, branch in runs)
    return next(
        (name for name in _MAIN if name in count), max(count, key=count.__getitem__, default="")
    )


def on_main(line: Line, main: str) -> list[Point]:
    """The points that the line joins."""
    return [point for point in line.points if point.branch == main]


def shifts(points: Sequence[Point]) -> list[Shift]:
    """Where the level changed: `stats.trend.change_points`, whose penalty is in units of the line's
    own noise, so that it does not depend on the figure's."""
    if len(points) < _LEAST:
        return []
    from proofrig.stats.trend import change_points  # loads numpy, which short lines spare

    values = [point.value for point in points]
    found, ends = [], [0, *change_points(values), len(values)]
    for begin, cut, end in zip(ends, ends[1:], ends[2:], strict=False):
        means = (sum(values[a:b]) / (b - a) for a, b in ((begin, cut), (cut, end)))
        found.append(Shift(points[cut], *means))
    return found


def suite_changes(lines: Sequence[Line], main: str) -> dict[str, str]:
    """The runs of the branch whose suite is another than that of its run before; the digest."""
    every = (point for one in lines for point in on_main(one, main))
    runs = {(point.started_ns, point.run): point.digest for point in every}
    found, before = {}, ""
    for (_, run), digest in sorted(runs.items()):
        if digest and before and digest != before:
            found[run] = digest
        before = digest or before
    return found


def render_trend(suite: str, lines: Sequence[Line], main: str | None = None) -> bytes:
    """The page, UTF-8. `main`: the branch that lines join; default: see `main_of`."""
    main = main_of(lines) if main is None else main
    every = sorted({(point.started_ns, point.run) for one in lines for point in one.points})
    runs = [run for _, run in every[-MOST:]]
    others = suite_changes(lines, main)
    charts = [_chart(one, main, runs, others) for one in lines]
    minutes = bool(runs) and when(every[-len(runs)][0]) == when(every[-1][0])  # all on one day
    css = read("report.css", "trend.css")
    page = template("trend.html").render(
        suite=suite,
        main=main,
        charts=charts,
        runs=len(runs),
        left_out=len(every) - len(runs),
        first=when(every[-len(runs)][0], minutes=minutes) if runs else "",
        last=when(every[-1][0], minutes=minutes) if runs else "",
        others=any(point.branch != main for one in lines for point in one.points),
        chart=trend_chart,
        words=words,
        css=Markup(css),
        drawn={
            "baseline": any(chart.get("baseline") is not None for chart in charts),
            "gate": any(chart.get("bounds") for chart in charts),
            "interval": any(chart.get("band") or chart.get("alone") for chart in charts),
            "other": any(chart.get("others") for chart in charts),
            "shift": any(chart.get("shifts") for chart in charts),
        },
        ROWS=ROWS,
    )
    return page.encode()


def when(ns: int, *, minutes: bool = False) -> str:
    """A time of the wall clock, UTC."""
    if not ns:
        return ""
    return f"{datetime.fromtimestamp(ns / 1e9, UTC):{'%Y-%m-%d %H:%M' if minutes else '%Y-%m-%d'}}"


def interval(line: Line, point: Point) -> str:
    """`54.5 % to 85.8 %`; "" where it is not known."""
    if point.low is None or point.high is None:
        return ""
    if line.known.unit == "share":
        return f"{100 * point.low:.1f} to {percent(point.high)}"
    return f"{line.said(point.low)} to {line.said(point.high)}"


def _chart(one: Line, main: str, runs: Sequence[str], others: Mapping[str, str]) -> dict[str, Any]:
    """All that the template draws of a line."""
    xs = dict(zip(runs, trend_chart.places(len(runs)), strict=True)) if runs else {}
    points = [point for point in one.points if point.run in xs]
    if not points:
        return {"line": one, "points": []}
    joined = [point for point in points if point.branch == main]
    told = joined or points
    latest = told[-1]
    ends = [end for point in points for end in (point.low, point.high) if end is not None]
    seen = [*(point.value for point in points), *ends]
    near = [bound for bound in one.bounds if trend_chart.near(bound.value, seen, one.known.unit)]
    limits = [bound.value for bound in near if bound.value is not None]
    base = [] if one.baseline is None else [one.baseline]
    values = [*seen, *limits, *base]
    scale = trend_chart.scale_of([value * one.known.scale for value in values], one.known.unit)

    def y(value: float) -> float:
        return scale.y(value * one.known.scale)

    held = [
        (xs[point.run], y(point.low), y(point.high))
        for point in joined
        if point.low is not None and point.high is not None
    ]
    return {
        "line": one,
        "points": points,
        "latest": latest,
        "before": told[-2] if len(told) > 1 else None,
        "interval": interval(one, latest),
        "place": " · ".join(
            filter(None, (line(short(latest.commit), 20), when(latest.started_ns)))
        ),
        "ticks": [(scale.y(tick), _tick(one, tick)) for tick in scale.ticks],
        "path": trend_chart.line([(xs[point.run], y(point.value)) for point in joined]),
        "band": trend_chart.band(held),
        "alone": held[0] if len(held) == 1 else None,
        "dots": [
            _dot(one, point, latest, (xs[point.run], y(point.value)), beside=point not in joined)
            for point in points
        ],
        "width": 100 / len(runs),
        "baseline": None if one.baseline is None else y(one.baseline),
        "bounds": [
            (bound, y(bound.value or 0.0) if bound in near else None, bound.state(latest.value))
            for bound in one.bounds
        ],
        "shifts": [_shift(one, shift, xs, others) for shift in shifts(joined)],
        "others": [(xs[run], digest[:12]) for run, digest in others.items() if run in xs],
        "levels": _levels(joined, xs, y),
        "rows": [_row(one, point) for point in reversed(points[-ROWS:])],
    }


def _tick(one: Line, tick: float) -> str:
    if one.known.unit == "share":
        return f"{round(100 * tick, 6):g} %"
    said = one.said(tick / one.known.scale)
    if one.known.unit == "ns":
        return re.sub(r"\.0+ ", " ", said)
    return said.rstrip("0").rstrip(".") if said.startswith("$0.") else said


def _dot(
    one: Line, point: Point, latest: Point, at: tuple[float, float], *, beside: bool
) -> dict[str, Any]:
    outside = any(bound.state(point.value) == "fail" for bound in one.bounds)
    kinds = ["beside" if beside else "on"]
    kinds += ["outside"] if outside else []
    kinds += ["last"] if point is latest else []
    span = interval(one, point)
    said = [f"{one.said(point.value)}{f' ({span})' if span else ''}", line(point.run, 80)]
    said += [text for text in (where(point), when(point.started_ns, minutes=True)) if text]
    return {"x": at[0], "y": at[1], "kind": " ".join(kinds), "said": "\n".join(said)}


def where(point: Point) -> str:
    """Branch and commit."""
    commit = short(point.commit)
    return line(" · ".join(part for part in (point.branch, commit) if part), 120)


def _shift(
    one: Line, shift: Shift, xs: Mapping[str, float], others: Mapping[str, str]
) -> dict[str, Any]:
    better = one.known.better
    rose = shift.after > shift.before
    tone = "" if not better else "good" if rose == (better == "higher") else "bad"
    return {
        "x": round(xs[shift.first.run] - 50 / len(xs), 3),
        "other": shift.first.run in others,
        "tone": tone,
        "said": f"{one.said(shift.before)} → {one.said(shift.after)}",
        "moved": one.moved(shift.after, shift.before),
        "since": line(shift.first.run, 80),
        "where": " · ".join(filter(None, (where(shift.first), when(shift.first.started_ns)))),
    }


def _levels(
    joined: Sequence[Point], xs: Mapping[str, float], y: Callable[[float], float]
) -> list[tuple[float, float, float]]:
    """The mean of each stretch between changes; none where nothing changed."""
    found = shifts(joined)
    if not found:
        return []
    cuts = [joined.index(shift.first) for shift in found]
    means = [found[0].before, *(shift.after for shift in found)]
    ends = [0, *cuts, len(joined)]
    return [
        (xs[joined[begin].run], xs[joined[end - 1].run], y(mean))
        for begin, end, mean in zip(ends, ends[1:], means, strict=False)
    ]


def _row(one: Line, point: Point) -> dict[str, str]:
    return {
        "run": line(point.run, 80),
        "when": when(point.started_ns, minutes=True),
        "where": where(point),
        "value": one.said(point.value),
        "interval": interval(one, point),
    }
