"""What the demo draws: two panels, lines, cards, the ledger.

Rules:
1. Only a terminal that can redraw gets panels that change; everything else gets lines, one a second
   for what is counted. Nothing waits for a key.
2. It fits into 80 columns. A line is cut rather than broken; what an agent read is shown
   whole, and paths are never broken.
3. Text from agents is cleaned before it comes here, and nothing is interpreted as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from proofrig.authority.transition import Transition
from proofrig.demo.accounts import Account
from proofrig.demo.counters import Counters
from proofrig.demo.promises import Played, Promise
from proofrig.demo.telling import Line, Mark, call_text, remaining
from proofrig.history.action import Action
from proofrig.reports.console import glyphs_of
from proofrig.reports.words import clean, duration, money, plural

NARROWEST = 76  # columns of a terminal that gets two panels side by side
LEDGER = ("allocated", "reserved", "spent", "remaining")
LEDGER_WIDTH = 76  # columns of a terminal that gets these whole
STYLE: dict[Mark, str] = {
    "ok": "green",
    "deny": "red",
    "ask": "yellow",
    "cap": "yellow",
    "warn": "yellow",
    "stop": "bold red",
    "done": "cyan",
}
WORD: dict[Mark, str] = {
    "ok": "allowed",
    "deny": "refused",
    "ask": "asks",
    "cap": "capped",
    "warn": "warned",
    "stop": "stopped",
    "done": "answers",
}
_SECOND_NS = 1_000_000_000


class Screen:
    """Draws on a console."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.glyphs = glyphs_of(console)
        self._dots = "…" if console.encoding.lower().startswith("utf") else "..."

    @property
    def redraws(self) -> bool:
        """Whether panels can change in place."""
        console = self.console
        return console.is_terminal and not console.is_dumb_terminal and console.width >= NARROWEST

    @property
    def room(self) -> int:
        """How many lines fit below panels that change in place."""
        return max(3, self.console.height - 18)

    def print(self, what: RenderableType = "") -> None:
        self.console.print(what)

    def whole(self, text: str) -> None:
        """What is there to be copied: never broken, however long."""
        self.console.print(Text(text), soft_wrap=True)

    def title(self, number: int, title: str, says: str) -> None:
        """The head of a scene."""
        self.print()
        self.print(Rule(Text(f"{number}  {title}", "bold"), align="left", style="dim"))
        self.print(Text(f"   {says}", "dim"))
        self.print()

    # ---- lines

    def line(self, line: Line) -> Text:
        """One thing that happened."""
        text = Text("  ")
        text.append(f"{line.t / _SECOND_NS:>5.1f} s  ", "dim")
        text.append(f"{WORD[line.mark]:<9}", STYLE[line.mark])
        text.append(self._cut(line.text, self.console.width - len(text) - 1))
        return text

    def second(self, left: Counters, right: Counters, now: tuple[int, int]) -> Text:
        """Both sides of the race, as one line."""
        text = Text(f"  {left.elapsed_ns(now[0]) / _SECOND_NS:>5.1f} s  ", "dim")
        for name, side, at in (("without", left, now[0]), ("with", right, now[1])):
            calls = side.model_calls + side.tool_calls
            pace = "stopped" if side.stopped else f"{money(round(side.an_hour(at) * 24))}/day"
            text.append(f"{name} ", "bold")
            text.append(f"${side.usd_micro / 1e6:.2f} {calls:>3} calls {pace:>10}  ")
        text.rstrip()
        return text

    def _cut(self, text: str, width: int) -> str:
        text = " ".join(clean(text).split())
        if len(text) <= width:
            return text
        return text[: max(0, width - len(self._dots))].rstrip() + self._dots

    # ---- the race

    def race(
        self, sides: Sequence[tuple[Counters, int, int | None]], lines: Sequence[Line]
    ) -> RenderableType:
        """Both panels: counters, the time now, and the budget in micro-dollars; then what happened
        on the right."""
        grid = Table.grid(expand=True, padding=(0, 1))
        for _ in sides:
            grid.add_column(ratio=1)
        grid.add_row(*(self._panel(*side) for side in sides))
        return Group(grid, *map(self.line, lines))

    def _panel(self, side: Counters, now: int, budget: int | None) -> Panel:
        calm = budget is not None
        rows = Table.grid(expand=True)
        rows.add_column(style="dim")
        rows.add_column(justify="right")
        hour = side.an_hour(now)
        rows.add_row("elapsed", f"{side.elapsed_ns(now) / _SECOND_NS:.1f} s")
        rows.add_row("model calls", f"{side.model_calls:,}")
        rows.add_row("tool calls", f"{side.tool_calls:,}")
        rows.add_row("refused", f"{side.refused:,}")
        rows.add_row("tokens", f"{side.tokens:,}")
        rows.add_row("spent", Text(f"${side.usd_micro / 1e6:.4f}", "bold"))
        rows.add_row("budget", f"${budget / 1e6:.4f}" if budget is not None else "none")
        rows.add_row("an hour at this pace", money(round(hour)))
        rows.add_row("a day at this pace", Text(money(round(hour * 24)), "" if calm else "bold"))
        state, style = self._state(side, calm)
        name = "With authority" if calm else "Without authority"
        title = Text.assemble((name, "bold"), "  ", (state, style))
        border = "green" if calm else "red"
        return Panel(rows, title=title, title_align="left", border_style=border, padding=(0, 1))

    def _state(self, side: Counters, calm: bool) -> tuple[str, str]:
        if side.stopped:
            return "stopped", "bold green"
        if side.state == "ended":
            return ("ended", "dim") if calm else ("cut off", "red")
        return ("running", "yellow" if calm else "red") if side.began_ns >= 0 else ("starting", "")

    # ---- cards

    def card(self, played: Played, promises: Sequence[Promise]) -> None:
        """What was decided, as it stands on the history, what the agent read, and what was
        promised."""
        rows = Table.grid(padding=(0, 2, 0, 0))
        rows.add_column(style="dim", no_wrap=True)
        rows.add_column(overflow="fold")
        for name, text in decisions(played):
            rows.add_row(name, text)
        for read in played.read()[:1]:
            rows.add_row("it read", Text(f'"{clean(read)}"', "italic"))
        panel = Panel(Group(rows, "", *self.promises(promises)), border_style="dim")
        self.print()
        self.print(Padding(panel, (0, 0, 0, 2)))

    def promises(self, promises: Sequence[Promise]) -> list[Text]:
        """A list with what came true."""
        lines = []
        for one in promises:
            sign = self.glyphs.passed if one.kept else self.glyphs.failed
            text = Text.assemble((f"{sign} ", "green" if one.kept else "bold red"), one.says)
            if not one.kept:
                text.append(f": got {clean(one.got)}", "red")
            lines.append(text)
        return lines

    # ---- the ledger

    def ledger(self, accounts: Iterable[Account]) -> None:
        """A table of what each scope was given, holds, spent and has left."""
        narrow = self.console.width < LEDGER_WIDTH
        table = Table(
            box=None, padding=(0, 1 if narrow else 2, 0, 0), header_style="dim", pad_edge=False
        )
        table.add_column("  scope", no_wrap=not narrow, overflow="fold")
        table.add_column(
            "unit",
            style="dim",
            no_wrap=not narrow,
            overflow="fold",
            max_width=10 if narrow else None,
        )
        for name in ("given", "held", "spent", "left") if narrow else LEDGER:
            table.add_column(name, justify="right", no_wrap=True, min_width=6)
        workflow = ""
        for one in accounts:
            levels = one.scope.split("/")
            if levels[1:2] != [workflow] and len(levels) > 2:
                table.add_row(f"  {'/'.join(levels[:2])}")
            workflow = levels[1] if len(levels) > 1 else ""
            name = "/".join(levels[2:]) if len(levels) > 2 else one.scope
            amounts = (one.allocated, one.reserved, one.spent, one.remaining)
            table.add_row(
                f"    {name}" if len(levels) > 2 else f"  {name}",
                unit_name(one.unit),
                *(("-" if n is None else plain_amount(one.unit, n)) for n in amounts),
            )
        self.print(table)

    def moves(self, moves: Iterable[Transition]) -> None:
        """Moves of a ledger, with the rule that decided and where prices come from."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
        table.add_column("", justify="right", style="dim", min_width=5)
        for name in ("move", "action"):
            table.add_column(name, no_wrap=True, overflow="crop")
        table.add_column("amount", no_wrap=True, overflow="crop", justify="right")
        table.add_column("rule, or source and price", no_wrap=True, overflow="crop", style="dim")
        prices: list[str] = []
        for made in moves:
            says = f"rule {made.rule}" if made.rule else ""
            if made.event == "commit":
                says = (
                    f"{made.source}, {made.price.partition(':')[0]}" if made.price else made.source
                )
            elif made.event == "approve":
                says = f"by {made.reason}"
            if made.price and made.price not in prices:
                prices.append(made.price)
            style = {"deny": "red", "ask": "yellow", "approve": "green"}.get(made.event, "")
            name = "model call" if made.name.startswith("llm.") else made.name[len("tool.") :]
            room = self.console.width - 46
            row = Text(made.event, style), name, _moved(made), self._cut(says, room)
            table.add_row(str(made.seq), *row)
        self.print(table)
        for price in prices:
            self.print()
            self.print(Padding(Text(f"price: {price}", "dim"), (0, 0, 0, 3)))


def _moved(made: Transition) -> str:
    amounts = made.amounts or {}
    unit = "usd_micro" if "usd_micro" in amounts else "calls"
    if unit not in amounts:
        return ""
    return money(amounts[unit]) if unit == "usd_micro" else plural(amounts[unit], "call")


def decisions(played: Played) -> list[tuple[str, str]]:
    """What was refused or asked, each kind once, as rows of a card."""
    seen: dict[tuple[str, ...], list[Action]] = {}
    for action in played.actions:
        decision = action.attr("decision", "")
        if decision in ("deny", "ask"):
            key = decision, action.attr("rule", ""), action.attr("code", ""), action.name
            seen.setdefault(key, []).append(action)
    rows = []
    for (decision, rule, code, _), same in seen.items():
        reserves = [one.reserve for one in same if one.reserve is not None]
        rows.append(("tried", ", ".join(call_text(one, played.payload) for one in reserves)))
        by = f"{code} by rule {rule}" if rule and code else code or f"rule {rule}"
        if decision == "ask":
            rows.append(("asks", f"{by}; {_answered(played, same)}"))
            continue
        rows.append(("refused", by))
        told = reserves[0].attrs
        rows.append(("at", str(told.get("at", ""))))
        if told.get("remaining"):
            rows.append(("remaining", remaining(told["remaining"])))
    return rows


def _answered(played: Played, asked: Sequence[Action]) -> str:
    """What simulated people answered."""
    ids = {action.id for action in asked}
    notes = [one for one in played.entries if one.name == "approval" and one.id in ids]
    said = {"approve": "approved", "refuse": "refused", "timeout": "nobody answered"}
    return ", ".join(
        f"{said[one.attrs['answer']]} by a simulated person after "
        f"{duration(one.attrs['waited_ns'])}"
        for one in notes
    )


def unit_name(unit: str) -> str:
    """A unit in a table."""
    if unit == "usd_micro":
        return "dollars"
    tool = unit.removeprefix("calls:tool.")
    return f"{tool} calls" if tool != unit else unit


def plain_amount(unit: str, value: int) -> str:
    """An amount in a table: dollars with four digits, everything else as it is."""
    return f"{value / 1e6:.4f}" if unit == "usd_micro" else f"{value:,}"
