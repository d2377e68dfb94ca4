"""The faults of a run as Markdown: what they did in a sentence, and a table of them.

Rules:
1. Those of markdown.py. At most `ROWS` rows; the rest is counted.
"""

from __future__ import annotations

from proofrig.reports import faults as injected
from proofrig.reports.markdown_text import code, escaped
from proofrig.reports.report import RunReport
from proofrig.reports.words import plural
from proofrig.results import FaultResult

ROWS = 15


def faults(report: RunReport) -> list[str]:
    """The lines about the faults; none for a run without any."""
    rows = injected.faults_of(report)
    if not rows:
        return []
    said = injected.headline(report)
    lines = ["### Faults", "", f"{escaped(said)}.", ""]
    lines += ["| Fault | Strikes | Struck | Trials struck | Others |", "|---|---|---|---|---|"]
    lines += [_row(one) for one in rows[:ROWS]]
    if len(rows) > ROWS:
        lines.append(f"\nand {plural(len(rows) - ROWS, 'more fault')}")
    return [*lines, ""]


def _row(one: FaultResult) -> str:
    often = injected.how_often(one)
    where = f"{injected.where(one)}; {often}" if often else injected.where(one)
    struck = f"⚠️ {injected.NEVER}" if one.missed else injected.strikes(one)
    cells = [
        code(injected.title_of(one), 100),
        escaped(where, 200),
        struck,
        injected.outcome(one.struck),
        injected.outcome(one.spared),
    ]
    return f"| {' | '.join(cells)} |"
