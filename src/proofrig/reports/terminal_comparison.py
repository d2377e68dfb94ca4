"""Gates and comparisons for a terminal: what decides first, then what changed.

Rules:
1. Those of `terminal.py`. Every gate has its sign, its figure and its evidence, in its order.
2. What decides and what changed is listed; `everything` shows the other metrics, and every case.
3. Every line fits the console, however narrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, JustifyMethod
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from proofrig.comparisons.comparison import CaseChange, Comparison, Effect
from proofrig.comparisons.gate import GateResult
from proofrig.reports import comparison as shown
from proofrig.reports.console import Glyphs, glyphs_of
from proofrig.reports.words import clean, line, plural

_GATES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow"}
_TONES = {"good": "green", "bad": "red", "unsure": "yellow"}
_FIRST = 5  # of a list that is not shown whole
_WORD = 16  # of a name, longer ones may be broken
_WIDE, _ANY = 96, 1_000  # columns from which on there is room for a p; more than anybody has


def print_gates(console: Console, gates: Iterable[GateResult]) -> None:
    """Every gate with its sign and its evidence."""
    signs = glyphs_of(console)
    grid = Table.grid(padding=(0, 2))
    for ratio in (None, None, 1):
        grid.add_column(overflow="fold", ratio=ratio)
    for gate in gates:
        tone = _GATES[gate.state]
        grid.add_row(
            Text(f"  {signs.gate(gate.state)}", tone),
            Text(line(gate.rule, 120), tone if gate.state != "pass" else ""),
            Text(_plain(line(gate.message, 400)), "dim" if gate.state == "pass" else ""),
        )
    console.print(grid)


def print_comparison(
    console: Console, comparison: Comparison, *, everything: bool = False, brief: bool = False
) -> None:
    """A comparison of two runs, its verdict first. `brief`: inside a summary, whose first line has
    said the verdict."""
    signs = glyphs_of(console)
    tone = _TONES[shown.TONES[comparison.verdict]]
    word = f"{signs.gate(shown.mark(comparison.verdict))} {shown.title(comparison.verdict)}"
    base = shown.base_of(comparison)
    if brief:
        head = Text.assemble(("  Against ", "bold"), (base, "bold"), "  ", (word, tone))
    else:
        head = Text.assemble((word, f"bold {tone}"), f"  {_plain(shown.fact(comparison))}")
    console.print(head)
    if not brief:
        run = line(comparison.run, 80)
        console.print(Text(f"  {run} against {base}, {plural(comparison.cases, 'case')}", "dim"))
    for text in comparison.why[: None if everything else _FIRST]:
        console.print(Padding(Text(_plain(line(text, 400))), (0, 0, 0, 4)))
    _effects(console, comparison, signs, everything)
    _cases(console, comparison, signs, everything)
    _behaviour(console, comparison, everything)
    _rest(console, comparison, everything, brief)


def _effects(console: Console, held: Comparison, signs: Glyphs, everything: bool) -> None:
    found = shown.effects_of(held)
    rows = [*found.deciding, *found.moved]
    if everything:
        rows += [*found.neutral, *found.rest, *found.single]
    if not held.effects:
        return
    console.print()
    if rows:
        table = _table(console, rows, signs, shown.interval_of(held))
        console.print(table if _fits(console, table) else _stacked(rows, signs))
    if more := len(held.effects) - len(rows):
        said = plural(more, "more metric" if rows else "metric")
        text = Text(f"{said} without a change that is proved", "dim")
        console.print(Padding(text, (0, 0, 0, 4)))


def _fits(console: Console, table: Table) -> bool:
    """Whether no figure of it would be cut."""
    free = console.options.update(max_width=_ANY)
    return Measurement.get(console, free, table).minimum <= console.width


def _table(console: Console, rows: Sequence[Effect], signs: Glyphs, interval_title: str) -> Table:
    titles = ("", "", "Base", "Now", "Change", interval_title, "")
    grid = Table.grid(padding=(0, 2))
    words = [len(word) for one in rows for word in _name(one, signs)[1].plain.split()]
    for place, title in enumerate(titles):  # only names may wrap, and only between words
        justify: JustifyMethod = "right" if title in ("Base", "Now") else "left"
        least = min(max(words), _WORD) if place == 1 else None
        grid.add_column(justify=justify, min_width=least, no_wrap=place > 1, overflow="fold")
    grid.add_row(*(Text(title, "dim") for title in titles))
    for one in rows:
        moved, interval = map(_plain, shown.short_change(one))
        grid.add_row(
            *_name(one, signs),
            Text(shown.value(one, one.base)),
            Text(shown.value(one, one.now)),
            Text(moved, _weight(one)),
            Text(interval, "dim"),
            _verdict(one, console.width >= _WIDE),
        )
    return grid


def _stacked(rows: Sequence[Effect], signs: Glyphs) -> Table:
    grid = Table.grid(padding=(0, 2))
    for ratio in (None, 1):
        grid.add_column(overflow="fold", ratio=ratio)
    for one in rows:
        moved, interval = map(_plain, shown.short_change(one))
        mark, name = _name(one, signs)
        sides = f"{shown.value(one, one.base)} {signs.arrow} {shown.value(one, one.now)}"
        grid.add_row(mark, name.append("  ").append_text(_verdict(one, False)))
        change = Text.assemble((moved, _weight(one)), (f" ({interval})" if interval else "", "dim"))
        grid.add_row("", Text(f"{sides}, ").append_text(change))
    return grid


def _name(one: Effect, signs: Glyphs) -> tuple[Text, Text]:
    name = shown.metric(one).replace(" of a trial", "")
    seen = one.change is None and not one.blocks
    sign = " " if seen else signs.gate(shown.mark(one.verdict))
    return Text(f"  {sign}", _told(one)), Text(name, _weight(one))


def _verdict(one: Effect, proved: bool) -> Text:
    if one.change is None and not one.blocks:
        return Text("one figure a run", "dim")
    verdict, proof = Text(one.verdict, _told(one)), shown.proof(one)
    return verdict.append(f", {proof}", "dim") if proved and proof else verdict


def _weight(one: Effect) -> str:
    return "bold" if one.blocks else ""


def _told(one: Effect) -> str:
    told = one.blocks or one.verdict in ("regressed", "improved")
    return _TONES[shown.TONES[one.verdict]] if told else "dim"


def _cases(console: Console, held: Comparison, signs: Glyphs, everything: bool) -> None:
    changed = shown.cases_of(held)
    groups = [
        ("Broken", "bold red", changed.broken),
        ("Worse", "red", changed.worse),
        ("Better", "green", changed.better),
    ]
    rows = [(title, style, cases) for title, style, cases in groups if cases]
    if not rows:
        return
    console.print()
    grid = Table.grid(padding=(0, 2))
    for ratio in (None, None, 1):
        grid.add_column(overflow="fold", ratio=ratio)
    for title, style, cases in rows:
        few = cases if everything or title == "Broken" else cases[:_FIRST]
        for place, one in enumerate(few):
            head = Text(f"  {title}", style) if place == 0 else Text("")
            grid.add_row(head, _counts(one, signs), _named(one))
        if more := len(cases) - len(few):
            grid.add_row("", "", Text(f"and {more} more", "dim"))
    console.print(grid)


def _counts(one: CaseChange, signs: Glyphs) -> Text:
    before, after = shown.counts(one)
    return Text(f"{before} {signs.arrow} {after}")


def _named(one: CaseChange) -> Text:
    name = Text(line(one.case, 120), "bold")
    if one.flaky and not one.broken:
        name.append(" flaky", "yellow")
    if one.broken:
        name.append(f"  {shown.p_value(one.p)}", "dim")
    return name


def _behaviour(console: Console, held: Comparison, everything: bool) -> None:
    every = shown.behaviour_of(held)
    few = every[: None if everything else _FIRST]
    if not few:
        return
    console.print()
    grid = Table.grid(padding=(0, 2))
    for ratio in (None, 1):
        grid.add_column(overflow="fold", ratio=ratio)
    for one in few:
        said = Text(_plain(shown.told(one)))
        said.append("" if one.certain else "  seen, not proved", "dim")
        if one.cases:
            said.append(f"  {shown.some(one.cases)}", "dim")
        grid.add_row(Text(f"  {shown.kind_of(one)}", "magenta"), said)
    if more := len(every) - len(few):
        grid.add_row("", Text(f"and {more} more", "dim"))
    console.print(grid)


def _rest(console: Console, held: Comparison, everything: bool, brief: bool) -> None:
    differ = held.differences[: None if everything else _FIRST]
    power = "" if held.verdict == "inconclusive" else shown.power_of(held)
    rows = [("To decide", shown.to_decide(held)), ("Power", [power] if power else [])]
    if not brief:  # a summary names the flaky cases of its run itself
        rows.append(("Flaky", _listed(shown.flaky_of(held), everything)))
    rows.append(("Left out", _listed(held.left_out, everything)))
    rows.append(("Differ in", [*differ, *_more(held.differences, differ)]))
    filled = [(title, lines) for title, lines in rows if lines]
    if not filled:
        return
    console.print()
    grid = Table.grid(padding=(0, 2))
    for ratio in (None, 1):
        grid.add_column(overflow="fold", ratio=ratio)
    for title, lines in filled:
        for place, text in enumerate(lines):
            grid.add_row(Text(f"  {title}" if place == 0 else "", "dim"), _plain(line(text, 300)))
    console.print(grid)


def _listed(names: Sequence[str], everything: bool) -> list[str]:
    return [shown.some(names, len(names) if everything else _FIRST)] if names else []


def _more(every: Sequence[str], few: Sequence[str]) -> Iterable[str]:
    return [f"and {len(every) - len(few)} more"] if len(every) > len(few) else []


def _plain(text: str) -> str:
    """Without the minus that ASCII does not have."""
    return clean(text).replace("−", "-")
