"""Lines in, bars of a terminal out."""

from __future__ import annotations

import io

import pytest

from html_page import EVIL
from proofrig.reports.console import make_console
from proofrig.reports.terminal_trend import bars, print_trend
from proofrig.reports.trend import Bound, Line
from trend_lines import fallen, missing, points

BARS = "▁▂▃▄▅▆▇█"


def printed(*lines: Line, width: int = 100, encoding: str = "utf-8") -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    print_trend(make_console(file, width=width), "desk", lines)
    file.seek(0)
    return [line.rstrip() for line in file.read().splitlines()]


@pytest.mark.parametrize(
    ("values", "said"),
    [([0.0, 1.0], "▁█"), ([3.0, 1.0, 2.0], "█▁▅"), ([5.0, 5.0], "▄▄"), ([], "")],
)
def test_bars_go_from_the_least_to_the_greatest(values: list[float], said: str) -> None:
    assert bars(values, BARS) == said


def test_a_line_shows_its_course_its_latest_value_and_where_it_changed() -> None:
    lines = [" ".join(line.split()) for line in printed(fallen(), missing())]
    assert lines[0] == "desk 24 runs, the bars are main"
    assert lines[2] == "Gate Latest Against baseline"
    assert lines[3] == "✗ Accuracy ▇█▇█▇█▇█▇█▇█▂▂▁▂▁▂▂▂▁▂▁▂ 75.6 % -9.4 points"
    assert lines[4] == "429 rate under burst not measured yet"
    assert lines[5] == "Accuracy: ✗ accuracy >= 80 %"
    assert lines[6].startswith("Accuracy: 85.0 % → 75.1 % on average since run-12, main, 0000000c")
    assert lines[7] == "429 rate under burst: proofrig run desk --scenario burst"


def test_other_branches_are_no_bars_unless_there_is_nothing_else() -> None:
    mixed = Line(name="x", points=points([1.0, 9.0, 2.0], branches=["main", "dev", "main"]))
    assert "▁█  " in printed(mixed)[3]
    file_lines = printed(Line(name="x", points=points([1.0, 2.0, 3.0], branches=["a", "b", "c"])))
    assert "not measured" not in file_lines[3]


def test_without_gates_there_is_no_column_for_them() -> None:
    assert "Gate" not in "".join(printed(missing()))


def test_a_bound_that_is_not_known_is_said() -> None:
    bound = Bound(text="x <= 2 * baseline", op="<=", value=None)
    lines = printed(Line(name="x", points=points([1.0]), bounds=[bound]))
    assert lines[3].startswith("  ?     X")
    assert lines[4] == "  X: ? x <= 2 * baseline, whose bound is not known"


@pytest.mark.parametrize("width", [40, 60, 100])
def test_every_line_fits_but_commands(width: int) -> None:
    lines = printed(fallen(), Line(name="amplification", points=points([1.5, 2.5])), width=width)
    assert max(map(len, lines)) <= width


def test_a_log_gets_ascii_and_no_control_characters() -> None:
    line = Line(name="amplification", points=points([1.5, 2.5]), baseline=2.0)
    assert any("2.50x" in said for said in printed(line, encoding="ascii"))
    evil = Line(name=EVIL, title="\x1b[31m" + EVIL, points=points([1.0]), todo="\x1b")
    assert "\x1b" not in "".join(printed(evil))
