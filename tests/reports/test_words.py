"""Numbers and quoted text as people read them."""

from __future__ import annotations

import math

import pytest

from proofrig.reports import words


@pytest.mark.parametrize(
    ("ns", "said"),
    [
        (None, "not measured"),
        (0, "0.0 ms"),
        (1_240_000, "1.2 ms"),
        (99_400_000, "99.4 ms"),
        (99_960_000, "100 ms"),
        (999_600_000, "1.00 s"),
        (9_994_000_000, "9.99 s"),
        (9_996_000_000, "10.0 s"),
        (125_000_000_000, "2 min 05 s"),
        (3_599_600_000_000, "1 h 00 min"),
    ],
)
def test_durations(ns: float | None, said: str) -> None:
    assert words.duration(ns) == said


@pytest.mark.parametrize(
    ("micro", "said"), [(0, "$0"), (122, "$0.0001"), (1_230_000, "$1.23"), (4.567e9, "$4,567")]
)
def test_money(micro: float, said: str) -> None:
    assert words.money(micro) == said


def test_counts_and_shares() -> None:
    assert [words.big(n) for n in (812, 9_120, 48_140, 999_990)] == [
        "812",
        "9,120",
        "48.1k",
        "1.0M",
    ]
    assert words.percent(None) == "not measured"
    assert words.percent(0.7291) == "72.9 %"
    assert words.plural(1, "case") == "1 case"


def test_cleaned_text_cannot_command_a_terminal_or_break_a_file() -> None:
    assert words.clean("a\x1b[31mred\x00\ud800\r\nb\t\u202e") == "a�[31mred��\nb\t�"


def test_cut_text_says_how_much_there_was() -> None:
    assert words.cut("x" * 3_000, 5) == "xxxxx… (3,000 characters)"
    assert words.cut("short", 5) == "short"
    assert words.line("a\n  b " + "c" * 30, 10) == "a b ccccc…"


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (None, "share", "not measured"),
        (math.inf, "ns", "unbounded"),
        (0.5, "share", "50.0 %"),
        (652.0, "usd_micro", "$0.000652"),
        (0.000652, "USD", "$0.000652"),
        (0.0, "USD", "$0"),
        (1.5, "USD", "$1.50"),
        (2.5e8, "ns", "250 ms"),
        (1.234, "ratio", "1.23×"),
        (12_345.0, "bytes", "12.3 kB"),
        (48_140.0, "tokens", "48.1k"),
        (2_541.4, "tokens", "2,541"),
        (12.34, "calls", "12.3"),
        (3.414, "calls", "3.41"),
        (7.0, "", "7"),
    ],
)
def test_amounts_are_written_in_their_unit(value: float | None, unit: str, said: str) -> None:
    assert words.amount(value, unit) == said


@pytest.mark.parametrize(
    ("value", "said", "signed"),
    [(2.0, "2.0", "+2.0"), (-0.5, "0.5", "−0.5"), (0.0, "0.0", "0"), (-1e-9, "$0.0", "0")],
)
def test_a_sign_stands_where_there_is_something_to_sign(
    value: float, said: str, signed: str
) -> None:
    assert words.signed(value, said) == signed
