"""Scenarios for a terminal: a line each, then every kind of finding with a witness and its command.

Rules:
1. One line per scenario: verdict, accuracy, its difference to the sequential one, and the figure
   that moved most, or what was looked at. One witness per kind; `everything` shows each finding
   that was kept.
"""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from proofrig.reports import contention
from proofrig.reports.console import Glyphs, glyphs_of
from proofrig.reports.contention import Kind, Shown
from proofrig.reports.reading import reproduce, scenario_of
from proofrig.reports.report import RunReport
from proofrig.reports.words import UNMEASURED, clean, duration, line, percent, plural
from proofrig.results import ScenarioResult, case_of

_STYLES = {"valid": "green", "invalid": "bold red", "unknown": "yellow"}
_WITNESS = 3  # lines of evidence
SAID = 480  # characters of a finding: it ends with what to do


def print_contention(console: Console, report: RunReport, *, everything: bool = False) -> None:
    """The scenarios and the findings of a run; nothing when it has neither."""
    if report.summary.scenarios:
        console.print()
        _scenarios(console, report, glyphs_of(console))
    for kind in contention.kinds_of(report):
        console.print()
        _kind(console, report, kind, everything)


def _scenarios(console: Console, report: RunReport, signs: Glyphs) -> None:
    sequential = contention.sequential_of(report)
    grid = Table.grid(padding=(0, 2))
    for ratio in (None, None, None, None, 1):
        grid.add_column(overflow="fold", ratio=ratio)
    glyph = {"valid": signs.passed, "invalid": signs.failed, "unknown": signs.unmeasured}
    for one in report.summary.scenarios:
        grid.add_row(
            _name(one, glyph[one.verdict]),
            Text(contention.word_of(one)),
            Text(percent(one.score.rate.estimate) if one.score.rate else UNMEASURED),
            Text(_difference(one, sequential)),
            Text(_rest(one, sequential), "dim"),
        )
    console.print(grid)


def _name(one: ScenarioResult, sign: str) -> Text:
    if contention.is_baseline(one):
        return Text(f"    {clean(one.name)}")
    return Text(f"  {sign} {clean(one.name)}", _STYLES[one.verdict])


def _difference(one: ScenarioResult, sequential: ScenarioResult | None) -> str:
    change = contention.difference(one, sequential)
    return "" if change is None else contention.points(change).replace("−", "-")


def _rest(one: ScenarioResult, sequential: ScenarioResult | None) -> str:
    """The findings and the headline figure; of a scenario that could not be told, why."""
    found = contention.found_in(one)
    parts = [plural(found, "finding")] if found else []
    if one.verdict == "unknown":
        doubts = [c.says for c in one.checked if c.verdict == "unknown" and c.checker in one.needs]
        return "; ".join([*parts, *(line(doubt, 100) for doubt in doubts[:1])])
    figure = contention.essence(one, sequential)
    return "; ".join([*parts, figure] if figure else parts)


def _kind(console: Console, report: RunReport, kind: Kind, everything: bool) -> None:
    title = (f"  {clean(kind.title)}", "bold red")
    console.print(Text.assemble(title, f"  {clean(kind.found_in)}"))
    if kind.advice:
        advice = Text.assemble(("What to do  ", "dim"), kind.advice)
        console.print(Padding(advice, (0, 0, 0, 4)))
    for shown in kind.shown if everything else kind.shown[:1]:
        _finding(console, shown)
    rest = kind.found - len(kind.shown)
    if everything and rest:
        console.print(Text(f"    and {rest:,} more, of which no evidence was kept", "dim"))
    for name in kind.scenarios if everything else kind.scenarios[:1]:
        trials = kind.shown[0].finding.trials
        case = "" if name or not trials else case_of(trials[0])
        command = clean(reproduce(report, case, scenario_of(report, name)))
        console.print(Text.assemble(("    Reproduce  ", "dim"), command), soft_wrap=True)


def _finding(console: Console, shown: Shown) -> None:
    said = Text.assemble((f"{shown.number}. ", "dim"), line(shown.finding.says, SAID))
    console.print(Padding(said, (0, 0, 0, 4)))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(overflow="fold", ratio=1)
    for one in shown.witness(_WITNESS):
        if one is None:
            more = len(shown.finding.witness) - _WITNESS
            grid.add_row("", Text(f"{more:,} more between", "dim"))
            continue
        who = Text(f"{clean(one.trial or one.tenant)} ")
        who.append(clean(one.name), "magenta")
        grid.add_row(
            Text(f"       +{duration(one.t - shown.began_ns)}", "dim"),
            who.append(f" {line(one.says, 200)}"),
        )
    console.print(grid)
