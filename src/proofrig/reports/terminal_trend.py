"""A trend for a terminal: a line of bars for each figure, its latest value, and where it changed.

Rules:
1. Those of `terminal.py`. The bars go from the least to the greatest value of their own line.
2. They are the runs of the main branch, as on the page; without any, all there are.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from proofrig.comparisons.gate import State
from proofrig.reports.console import Glyphs, glyphs_of
from proofrig.reports.trend import Line, Point, main_of, on_main, shifts, when, where
from proofrig.reports.words import clean, line, plural

_BARS = 24  # runs of a line, the latest ones
_GATES: dict[State, str] = {"fail": "bold red", "inconclusive": "yellow", "pass": "green"}


def print_trend(
    console: Console, suite: str, lines: Sequence[Line], main: str | None = None
) -> None:
    """The lines of a suite; `main`: the branch they join."""
    main, signs = main_of(lines) if main is None else main, glyphs_of(console)
    runs = {point.run for one in lines for point in one.points}
    head = Text.assemble((line(suite, 100), "bold"), f"  {plural(len(runs), 'run')}")
    console.print(head.append(f", the bars are {line(main, 60)}" if main else "", "dim"))
    console.print()
    grid = Table.grid(padding=(0, 2))
    for title in ("gate", "", "bars", "latest", "baseline"):
        bar = title == "bars"
        grid.add_column(no_wrap=bar, overflow="crop" if bar else "fold")
    based = any(one.baseline is not None for one in lines)
    gated = any(one.bounds for one in lines)
    titles = ("  Gate" if gated else "", "", "", "Latest", "Against baseline" if based else "")
    grid.add_row(*(Text(title, "dim") for title in titles))
    for one in lines:
        grid.add_row(*_row(one, main, signs))
    console.print(grid)
    for one in lines:
        _below(console, one, main, signs)


def bars(values: Sequence[float], glyphs: str) -> str:
    """A bar for each value, from the least to the greatest of them."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    if high == low:
        return glyphs[len(glyphs) // 2 - 1] * len(values)
    top = len(glyphs) - 1
    return "".join(glyphs[round((value - low) / (high - low) * top)] for value in values)


def _told(one: Line, main: str) -> list[Point]:
    return on_main(one, main) or list(one.points)


def _row(one: Line, main: str, signs: Glyphs) -> list[Text]:
    title, points = Text(line(one.called, 60)), _told(one, main)
    if not points:
        return [Text(""), title, Text("not measured yet", "dim")]
    latest = points[-1]
    states = [bound.state(latest.value) for bound in one.bounds]
    worst = next((state for state in _GATES if state in states), None)
    moved = "" if one.baseline is None else one.moved(latest.value, one.baseline)
    return [
        Text(f"  {signs.gate(worst)}", _GATES[worst]) if worst else Text("   "),
        title,
        Text(bars([point.value for point in points[-_BARS:]], signs.bars), "cyan"),
        Text(_plain(one.said(latest.value)), "bold"),
        Text(_plain(moved), "dim"),
    ]


def _below(console: Console, one: Line, main: str, signs: Glyphs) -> None:
    """How to measure it, the gates that it does not meet, and where it changed."""
    title, points = line(one.called, 60), _told(one, main)
    if not points and one.todo:
        text = Text.assemble((f"  {title}: ", "dim"), clean(one.todo))
        console.print(text, soft_wrap=True)
    for bound in one.bounds if points else ():
        if (state := bound.state(points[-1].value)) != "pass":
            known = "" if bound.value is not None else ", whose bound is not known"
            said = f"{title}: {signs.gate(state)} {line(bound.text, 160)}{known}"
            console.print(Padding(Text(said, _GATES[state]), (0, 0, 0, 2)))
    for shift in shifts(on_main(one, main)):
        sides = f"{one.said(shift.before)} {signs.arrow} {one.said(shift.after)}"
        first = shift.first
        place = ", ".join(filter(None, (first.run, where(first), when(first.started_ns))))
        said = f"{title}: {_plain(sides)} on average since {_plain(line(place, 200))}"
        console.print(Padding(Text(said), (0, 0, 0, 2)))


def _plain(text: str) -> str:
    """Without signs that ASCII does not have."""
    return clean(text).replace("−", "-").replace("×", "x").replace(" ·", ",")
