"""The faults of a run for a terminal: what they did in a line, then a line for each.

Rules:
1. Nothing is printed of a run without faults.
2. Those that never fired come first, then those after which most trials failed; `everything` shows
   all of them.
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from proofrig.reports import faults
from proofrig.reports.report import RunReport
from proofrig.reports.words import plural
from proofrig.results import FaultResult

_FIRST = 6


def print_faults(console: Console, report: RunReport, *, everything: bool = False) -> None:
    """What struck, and how the struck trials came out beside the others."""
    rows = sorted(faults.faults_of(report), key=_rank)
    if not rows:
        return
    console.print()
    head = Table.grid(padding=(0, 2))
    head.add_row(Text("  Faults", "bold"), faults.headline(report))
    console.print(head)
    grid = Table.grid(padding=(0, 2))
    for ratio in (None, None, 1):
        grid.add_column(overflow="fold", ratio=ratio)
    for one in rows if everything else rows[:_FIRST]:
        struck = Text(faults.strikes(one), "yellow" if one.missed else "", justify="right")
        grid.add_row(Text(f"    {faults.title_of(one)}", "bold"), struck, _says(one))
    console.print(grid)
    if not everything and len(rows) > _FIRST:
        more = plural(len(rows) - _FIRST, "more fault")
        console.print(Text(f"    and {more} in the report", "dim"))


def _says(one: FaultResult) -> Text:
    if one.missed:
        meant = [part for part in (faults.where(one), faults.how_often(one)) if part]
        return Text(", ".join(meant), "dim")
    said = Text(f"struck: {faults.outcome(one.struck)}")
    if one.spared is not None:
        said.append(f"  others: {faults.outcome(one.spared)}", "dim")
    return said


def _rank(one: FaultResult) -> tuple[bool, float]:
    rate = one.struck.rate if one.struck is not None else None
    return not one.missed, 1.0 if rate is None else rate.estimate
