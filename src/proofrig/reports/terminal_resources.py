"""What trials used for a terminal: a line for each figure that has a limit.

Rules:
1. Nothing is printed of a run without limits; `everything` shows all that is known.
2. A limit that was met stands out.
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from proofrig.reports import resources
from proofrig.reports.report import RunReport


def print_resources(console: Console, report: RunReport, *, everything: bool = False) -> None:
    """Each figure with its median, its most and its limit."""
    rows = resources.lines(report)
    rows = rows if everything else [row for row in rows if row.limit or row.met]
    if not rows:
        return
    console.print()
    head = Table.grid(padding=(0, 2))
    head.add_row(Text("  Resources", "bold"), Text(resources.levels(report), "dim"))
    console.print(head)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    for row in rows:
        grid.add_row(
            Text(f"    {row.name}"),
            Text(f"p50 {row.median}" if row.median else ""),
            Text(f"most {row.most}" if row.most else ""),
            Text(f"limit {row.limit}" if row.limit else ""),
            Text(resources.met(row), "yellow"),
        )
    console.print(grid)
