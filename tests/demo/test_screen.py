"""What the demo draws, as text."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from builders import action, entry
from proofrig.authority.transition import Transition
from proofrig.demo.accounts import Account
from proofrig.demo.counters import Counters
from proofrig.demo.promises import Played, Promise
from proofrig.demo.screen import Screen, decisions, plain_amount, unit_name
from proofrig.demo.telling import Line
from proofrig.reports.console import make_console


def drawn(draw: Callable[[Screen], object], width: int = 80, encoding: str = "utf-8") -> list[str]:
    """What was printed, line by line."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding)
    draw(Screen(make_console(file, width=width)))
    file.flush()
    return raw.getvalue().decode(encoding).splitlines()


def side(usd_micro: int = 133_300) -> Counters:
    counters = Counters()
    counters.step(entry("reserve", "llm.messages", t=0, decision="allow"))
    actual = {"calls:llm": 123, "calls:tool": 119, "tokens": 104_837, "usd_micro": usd_micro}
    counters.step(entry("commit", "llm.messages", t=1, actual=actual))
    return counters


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_line_is_cut_at_the_width(encoding: str) -> None:
    [line] = drawn(
        lambda screen: screen.print(screen.line(Line(1_200_000_000, "deny", "x" * 200))),
        encoding=encoding,
    )
    assert len(line) <= 80
    assert line.startswith("    1.2 s  refused  xxx")
    assert line.endswith("…" if encoding == "utf-8" else "...")


def test_a_second_of_the_race_is_one_line() -> None:
    now = 12_000_000_000
    lines = drawn(lambda screen: screen.print(screen.second(side(5_568_600), side(), (now, now))))
    assert len(lines) == 1
    assert "without $5.57 242 calls $40,094/day" in lines[0]


@pytest.mark.parametrize("width", [76, 80, 100])
def test_both_panels_stand_side_by_side(width: int) -> None:
    def draw(screen: Screen) -> None:
        panels = [(side(556_600), 10**10, None), (side(), 10**10, 150_000)]
        screen.print(screen.race(panels, [Line(5, "cap", "less")]))

    lines = drawn(draw, width)
    assert "Without authority  running" in lines[0]
    assert "With authority  running" in lines[0]
    [spent] = [line for line in lines if "spent" in line]
    assert "$0.5566" in spent and "$0.1333" in spent
    assert all(len(line) <= width for line in lines)
    assert "less" in lines[-1]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_ledger_fits_into_80_columns(encoding: str) -> None:
    accounts = [
        Account("acme/demo-fleet", "calls:tool.read_page", 22, 0, 22, 0),
        Account("acme/demo-fleet/reader-2/sports:1", "calls:tool.read_page", None, 0, 8, None),
        Account("acme/demo-with/refiner/parcel:1", "usd_micro", 150_000, 0, 133_300, 16_700),
    ]
    lines = drawn(lambda screen: screen.ledger(accounts), encoding=encoding)
    assert lines[0].split() == ["scope", "unit", "allocated", "reserved", "spent", "remaining"]
    assert lines[2].split()[-4:] == ["-", "0", "8", "-"]
    assert lines[3].strip() == "acme/demo-with"
    assert lines[4].split()[-4:] == ["0.1500", "0.0000", "0.1333", "0.0167"]


def test_moves_name_the_rule_and_where_prices_come_from() -> None:
    moves = [
        Transition(9, 0, "deny", "a", "denied", "s", "tool.refund", {"calls": 1}, rule="above"),
        Transition(
            *(13, 0, "commit", "b", "committed", "s", "", {"usd_micro": 1_100}),
            source="measured",
            price="sim-large: invented, 2026",
        ),
        Transition(21, 0, "approve", "c", "reserved", "s", reason="Robin"),
    ]
    lines = drawn(lambda screen: screen.moves(moves))
    assert lines[1].split() == ["9", "deny", "refund", "1", "call", "rule", "above"]
    assert lines[2].split() == ["13", "commit", "$0.0011", "measured,", "sim-large"]
    assert lines[3].split() == ["21", "approve", "by", "Robin"]
    assert lines[-1].strip() == "price: sim-large: invented, 2026"


def test_a_card_shows_what_was_tried_and_what_came_true() -> None:
    refused = action(
        "tool.refund",
        denied=True,
        rule="above-tier",
        code="forbidden",
        at="acme/x",
        remaining={"calls": 3},
        arguments="a",
    )
    asked = action("tool.refund", id="a2", rule="asks", arguments="a")
    assert asked.reserve is not None
    asked.reserve.attrs["decision"] = "ask"
    note = entry("note", "approval", id="a2", answer="approve", waited_ns=10**9)
    played = Played([note], [refused, asked], {"a": {"amount": 400}}.get)
    assert decisions(played) == [
        ("tried", "refund(400)"),
        ("refused", "forbidden by rule above-tier"),
        ("at", "acme/x"),
        ("remaining", "3 calls"),
        ("tried", "refund(400)"),
        ("asks", "rule asks; approved by a simulated person after 1.00 s"),
    ]
    kept = [Promise("it goes", True), Promise("it stays", False, "it went")]
    text = "\n".join(drawn(lambda screen: screen.card(played, kept)))
    assert "✓ it goes" in text
    assert "✗ it stays: got it went" in text


def test_only_a_terminal_that_redraws_gets_panels() -> None:
    def redraws(**options: object) -> bool:
        return Screen(Console(file=io.StringIO(), **options)).redraws  # type: ignore[arg-type]

    terminal = {"force_terminal": True, "_environ": {"TERM": "xterm"}}
    assert redraws(width=80, **terminal)
    assert not redraws(width=60, **terminal)
    assert not redraws(width=80)
    assert not redraws(width=80, force_terminal=True, _environ={"TERM": "dumb"})


def test_units_and_amounts_of_the_table() -> None:
    assert unit_name("usd_micro") == "dollars"
    assert unit_name("calls:tool.search") == "search calls"
    assert unit_name("tokens") == "tokens"
    assert plain_amount("usd_micro", 16_700) == "0.0167"
    assert plain_amount("tokens", 104_837) == "104,837"
