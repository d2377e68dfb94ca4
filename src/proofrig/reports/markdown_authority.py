"""The authority as Markdown: what it did in a sentence, and a table of what decided.

Rules:
1. Those of markdown.py. At most `ROWS` rows; the rest is counted.
"""

from __future__ import annotations

from proofrig.reports import authority as decided
from proofrig.reports.markdown_text import code, escaped
from proofrig.reports.report import RunReport
from proofrig.reports.words import money, plural
from proofrig.rulings import Ruled

ROWS = 15


def authority(report: RunReport) -> list[str]:
    """The lines about the authority; none when there is nothing to tell."""
    rulings = report.summary.authority
    if rulings is None:
        return []
    mode = " (shadow mode: nothing was refused)" if rulings.mode == "shadow" else ""
    said = decided.headline(report)
    lines = ["### Authority", "", f"{escaped(said[:1].upper() + said[1:])}{mode}.", ""]
    rows = decided.shown(rulings)
    if rows:
        shadow = rulings.mode == "shadow"
        lines += [
            "| Decided | By | Actions | Trials | Which |" + (" They cost |" if shadow else "")
        ]
        lines += ["|---|---|---:|---:|---|" + ("---:|" if shadow else "")]
        lines += [_row(one, would, shadow) for one, would in rows[:ROWS]]
        lines += [f"\nand {plural(len(rows) - ROWS, 'more row')}"] if len(rows) > ROWS else []
        lines.append("")
    for one in rulings.watched:
        step = f"The watch {decided.watch_of(one)}: {escaped(decided.kind_of(one.kind))}"
        lines.append(f"- {step}, {plural(one.count, 'time')} in {plural(one.trials, 'trial')}")
    for name, charged, says in decided.charges(rulings):
        said = f"{money(charged.usd_micro)} over {plural(charged.count, 'action')}"
        lines.append(f"- Charged {escaped(name)}: {said} ({escaped(says)})")
    if rulings.unknown.count:
        lines.append(f"- {plural(rulings.unknown.count, 'action')} with an unknown outcome")
    if seen := decided.coverage(rulings):
        lines.append(f"- {seen}")
    return [*lines, ""]


def _row(one: Ruled, would: bool, shadow: bool) -> str:
    by = escaped(decided.who(one), 160)
    by += f" ({escaped(why)})" if (why := decided.why(one)) else ""
    by += f"; {answers}" if (answers := decided.answers_of(one)) else ""
    cells = [
        decided.word_of(one.effect, shadow=would),
        by,
        f"{one.count:,}",
        f"{one.trials:,}",
        code(decided.names_of(one), 200),
        *([money(one.usd_micro)] if shadow else []),
    ]
    return f"| {' | '.join(cells)} |"
