"""What a person reads of gates and comparisons at the end of a run."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from compared_report_runs import (
    EVERY,
    a_compared_run,
    effect,
    inconclusive,
    no_worse,
    regressed,
    vast,
)
from proofrig.comparisons.gate import GateResult
from proofrig.reports.console import make_console
from proofrig.reports.terminal import print_summary
from proofrig.reports.terminal_comparison import print_comparison, print_gates

GATES = [
    GateResult("accuracy >= 70 %", "pass", "72.9 % against 70 %"),
    GateResult("leak_rate == 0", "fail", "3.1 % −"),
    GateResult("p99(latency) < 1s", "inconclusive", "the rig\nran late"),
]


def printed(
    function: Callable[..., None],
    *given: object,
    width: int = 100,
    encoding: str = "utf-8",
    **more: bool,
) -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    function(make_console(file, width=width), *given, **more)
    file.seek(0)
    return file.read().splitlines()


def flat(lines: list[str]) -> list[str]:
    return [" ".join(line.split()) for line in lines]


def test_every_gate_has_its_sign_and_its_evidence() -> None:
    assert flat(printed(print_gates, GATES)) == [
        "✓ accuracy >= 70 % 72.9 % against 70 %",
        "✗ leak_rate == 0 3.1 % -",
        "? p99(latency) < 1s the rig ran late",
    ]


def test_the_verdict_comes_first_then_what_decides_and_what_changed() -> None:
    lines = flat(printed(print_comparison, regressed()))
    assert lines[0].startswith("✗ Regressed pass rate 72.9 %, was 85.0 %: 12.1 points less")
    assert lines[1] == "20260301-120000-desk-ab12 against main, 10 cases"
    table = lines[lines.index("Base Now Change 90 % interval") + 1 :][:4]
    assert table == [
        "✗ Pass rate 85.0 % 72.9 % -12.1 points -18.9 to -5.2 regressed, p < 0.001",
        "✗ Cost $0.000652 $0.000730 +12.0 % +3.2 to +21.3 regressed, p 0.012",
        "✓ Duration, median 440 ms 390 ms -11.4 % -20.5 to -3.4 improved",
        "9 more metrics without a change that is proved",
    ]
    for said in (
        "Broken 19/20 → 0/4 refund_07 p < 0.001",
        "Worse 16/20 → 1/4 order_status_09",
        "15/20 → 2/4 exchange_10 flaky",
        "Better 9/20 → 4/4 two_orders_05",
        "Tool dropped lookup_policy is called no more seen, not proved",
        "Power With this many cases and repeats, a drop of 8.1 points is seen 80 % of the time.",
        "Flaky exchange_10, two_orders_11",
        "Left out angry_customer_06, a_case_that_is_gone",
        "Differ in what.model.script: 'models.py:desk' | 'models.py:desk2'",
    ):
        assert said in lines, said


def test_names_wrap_before_figures_do() -> None:
    ends = {"p95(duration)": (-7.1e7, 2.1e8), "tool_calls": (0.69, 0.976)}
    held = regressed()
    held.effects += [
        effect("tool_calls", "calls", (1.2, 2.2), ends["tool_calls"], "regressed"),
        effect("p95(duration)", "ns", (1.57e8, 3.03e8), ends["p95(duration)"], "regressed"),
    ]
    lines = flat(printed(print_comparison, held, width=80))
    assert "✗ Duration, 157 ms 303 ms +93.0 % -45.2 to +134 regressed" in lines
    assert "✗ Pass rate 85.0 % 72.9 % -12.1 points -18.9 to -5.2 regressed" in lines


@pytest.mark.parametrize("width", range(60, 84))
def test_no_name_is_broken_within_a_word(width: int) -> None:
    lines = flat(printed(print_comparison, regressed(), width=width))
    assert any("Pass rate" in line for line in lines)
    assert any("Duration," in line for line in lines)


def test_a_metric_takes_two_lines_where_a_figure_would_be_cut() -> None:
    lines = flat(printed(print_comparison, regressed(), width=60))
    assert lines[lines.index("✗ Pass rate regressed") + 1] == (
        "85.0 % → 72.9 %, -12.1 points (-18.9 to -5.2)"
    )


def test_what_broke_is_called_flaky_no_longer() -> None:
    held = regressed()
    held.broken[0] = msgspec.structs.replace(held.broken[0], flaky=True)
    assert "Broken 19/20 → 0/4 refund_07 p < 0.001" in flat(printed(print_comparison, held))


def test_what_it_would_take_is_said_when_it_is_open() -> None:
    lines = flat(printed(print_comparison, inconclusive()))
    assert lines[0].startswith("? Inconclusive pass rate")
    assert "To decide 8 more repeats of each case would decide it." in lines
    assert not any(line.startswith("Power") for line in lines)


def test_everything_shows_each_metric_and_each_case() -> None:
    few, every = (
        printed(print_comparison, vast()),
        printed(print_comparison, vast(), everything=True),
    )
    assert sum("Measure" in line for line in few) < sum("Measure" in line for line in every) == 200
    assert "and 45 more" in flat(few) and "and 45 more" not in flat(every)
    assert sum(" → " in line for line in every) > 100 > sum(" → " in line for line in few)


def test_inside_a_summary_it_follows_the_gates_and_its_verdict_is_said_once(tmp_path: Path) -> None:
    report = a_compared_run(tmp_path, regressed(), gates=list(GATES))
    lines = flat(printed(print_summary, report))
    said = " ".join(lines[:2])
    assert said.startswith("✗ Regressed pass rate 72.9 %, was 85.0 %: 12.1 points less")
    assert said.endswith("failed: leak_rate == 0")
    order = ("✓ accuracy >= 70 % 72.9 % against 70 %", "Against main ✗ Regressed")
    places = [lines.index(one) for one in order]
    rate = next(place for place, line in enumerate(lines) if line.startswith("Pass rate ──"))
    assert places == sorted(places) and places[-1] < rate
    assert sum("was 85.0 %" in line for line in lines) == 1


def test_one_gate_is_in_the_first_line_already(tmp_path: Path) -> None:
    report = a_compared_run(tmp_path, no_worse(), gates=GATES[:1])
    assert sum("accuracy >= 70 %" in line for line in printed(print_summary, report)) == 1


@pytest.mark.parametrize("name", sorted(EVERY))
@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_every_line_fits_and_nothing_moves_the_cursor(name: str, width: int) -> None:
    lines = printed(print_comparison, EVERY[name](), width=width, everything=True)
    assert max(map(len, lines)) <= width
    assert not any("\x1b" in line or "\u202e" in line for line in lines)


@pytest.mark.parametrize("name", sorted(EVERY))
def test_an_ascii_log_gets_ascii(name: str) -> None:
    assert printed(print_comparison, EVERY[name](), encoding="ascii", everything=True)
    assert printed(print_gates, GATES, encoding="ascii")[1].split()[-1] == "-"
