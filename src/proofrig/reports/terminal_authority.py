"""The authority for a terminal: what it did in a line, then a line per rule or limit that decided.

Rules:
1. Nothing is printed of a run without a policy in which nothing was refused.
2. `everything` shows every rule and the widest scopes of the ledger; else the first rules only.
"""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from proofrig.reports import authority
from proofrig.reports.report import RunReport
from proofrig.reports.words import clean, line, money, plural
from proofrig.rulings import Ruled, Rulings

_STYLES = {"deny": "red", "ask": "yellow", "cap": "cyan"}
_FIRST = 5
_SCOPES = 12


def print_authority(console: Console, report: RunReport, *, everything: bool = False) -> None:
    """What the authority decided and charged."""
    rulings = report.summary.authority
    if rulings is None:
        return
    console.print()
    title = "Authority (shadow)" if rulings.mode == "shadow" else "Authority"
    head = Table.grid(padding=(0, 2))
    head.add_row(Text(f"  {title}", "bold"), authority.headline(report))
    console.print(head)
    _rules(console, rulings, everything)
    _watch(console, rulings)
    for said in (authority.coverage(rulings), _sources(rulings)):
        if said:
            console.print(Padding(Text(said, "dim"), (0, 0, 0, 4)))
    if everything and rulings.ledger:
        _ledger(console, rulings)


def _rules(console: Console, rulings: Rulings, everything: bool) -> None:
    rows = found = authority.shown(rulings)
    if not everything:
        found = [(one, would) for one, would in rows if one.effect != "cap"]
        rows = found[:_FIRST]
    if not rows:
        return
    grid = Table.grid(padding=(0, 2))
    for ratio in (None, None, 1):
        grid.add_column(overflow="fold", ratio=ratio)
    for one, would in rows:
        grid.add_row(
            Text(f"    {authority.word_of(one.effect, shadow=would)}", _STYLES[one.effect]),
            Text(f"{one.count:,}", justify="right"),
            _says(one, would),
        )
    console.print(grid)
    if left := len(found) - len(rows):
        console.print(Text(f"    and {plural(left, 'more row')} in the report", "dim"))


def _says(one: Ruled, would: bool) -> Text:
    said = Text(clean(authority.who(one)))
    said.append(f"  {clean(authority.names_of(one))}", "magenta")
    cost = money(one.usd_micro) if would and one.usd_micro else ""
    details = [authority.why(one), authority.answers_of(one), f"they cost {cost}" if cost else ""]
    details += [line(one.fix, 160)] if one.effect == "deny" else []
    told = "; ".join(part for part in details if part)
    return said.append(f"  {told}", "dim") if told else said


def _watch(console: Console, rulings: Rulings) -> None:
    for one in rulings.watched:
        said = f"    the watch {authority.watch_of(one)}: {authority.kind_of(one.kind)}"
        console.print(Text(f"{said}, {plural(one.trials, 'trial')}", "yellow"))


def _sources(rulings: Rulings) -> str:
    charged = authority.charges(rulings)
    said = [
        f"{money(one.usd_micro)} {name} ({plural(one.count, 'action')})" for name, one, _ in charged
    ]
    if rulings.unknown.count:
        said.append(f"{plural(rulings.unknown.count, 'outcome')} unknown")
    return f"charged: {', '.join(said)}" if said else ""


def _ledger(console: Console, rulings: Rulings) -> None:
    table = Table.grid(padding=(0, 2))
    widest = sorted(rulings.ledger, key=authority.depth)[:_SCOPES]
    table.add_column(overflow="fold", ratio=2)
    table.add_column(overflow="fold", ratio=2)
    table.add_column(overflow="fold", ratio=1)
    for row in (one for one in rulings.ledger if one in widest):
        units = [unit for unit in ("usd_micro", "tokens", "calls") if unit in row.actual]
        spent = ", ".join(
            f"{authority.amount(unit, row.actual[unit])}"
            + ("" if unit == "usd_micro" else f" {authority.unit_of(unit)}")
            for unit in units
        )
        limits = ", ".join(
            f"{authority.amount(unit, most)} {authority.unit_of(unit)}"
            for unit, _, most, _ in authority.limits_of(row)
        )
        table.add_row(
            Text(clean(row.scope)),
            Text(spent),
            Text(f"of {limits}" if limits else "", "dim"),
        )
    console.print()
    console.print(Padding(table, (0, 0, 0, 4)))
