"""What a person reads of scenarios at the end of a run."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from contention_report_runs import a_contended_run, a_sound_run
from proofrig.reports.console import make_console
from proofrig.reports.report import RunReport
from proofrig.reports.terminal import print_run, print_summary
from proofrig.reports.terminal_contention import print_contention
from report_runs import a_run


def printed(report: RunReport, width: int = 100, encoding: str = "utf-8", **more: bool) -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    print_contention(make_console(file, width=width), report, **more)
    file.seek(0)
    return file.read()


@pytest.fixture
def report(tmp_path: Path) -> RunReport:
    return a_contended_run(tmp_path / "runs" / "r").report(0)


def lines_of(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_run_without_scenarios_prints_nothing(tmp_path: Path) -> None:
    assert printed(a_run(tmp_path).report(0)) == ""


def test_a_line_per_scenario_has_its_verdict_accuracy_and_figure(report: RunReport) -> None:
    lines = lines_of(printed(report))
    assert lines[1] == "sequential baseline 91.7 %"
    assert "✗ interleaved failed 75.0 % -16.7 points 14 findings; Lost updates: 14" in lines


def test_each_kind_has_its_first_witness_and_the_command(report: RunReport) -> None:
    lines = lines_of(printed(report))
    place = lines.index("Lost update 14 found in interleaved")
    assert lines[place + 1 : place + 6] == [
        "What to do Use compare-and-set, an atomic increment, or a lock that is held "
        "from the read to",
        "the write.",
        "4. 2 acknowledged writes of stock/12 began from version 8",
        "+103 ms stock_count@interleaved:2 kv.put read version 8, writes 51, acknowledged",
        "+110 ms refund@interleaved:3 kv.put read version 8, writes 51, acknowledged",
    ]
    again = lines[place + 6]
    assert again.startswith("Reproduce proofrig run 'suites/support desk.yaml'")
    assert again.endswith("--scenario interleaved --agents 24 --tenants 3 --seed 7")
    assert "5. 2 acknowledged" not in "\n".join(lines)


def test_advice_stands_once_under_its_kind_and_only_where_there_is_some(report: RunReport) -> None:
    lines = lines_of(printed(report, everything=True))
    begins = [line for line in lines if line.startswith("What to do ")]
    assert [line[:32] for line in begins] == [
        "What to do Put the tenant into t",
        "What to do Use compare-and-set, ",
    ]


def test_a_scenario_that_passed_says_what_was_looked_at(report: RunReport) -> None:
    report.summary.scenarios[3].verdict = "valid"
    report.summary.scenarios[3].checked[0].findings = []
    report.summary.scenarios[3].checked[0].found = 0
    text = " ".join(printed(report, 80).split())
    assert "✓ burst passed 66.7 % -25.0 points amplification 2.33, 61 % of retries" in text


def test_a_sequential_scenario_with_findings_has_failed(report: RunReport) -> None:
    report.summary.scenarios[0].verdict = "invalid"
    report.summary.scenarios[0].checked[0].found = 2
    assert lines_of(printed(report))[1].startswith("✗ sequential failed 91.7 % 2 findings")


def test_everything_is_each_finding_that_was_kept(report: RunReport) -> None:
    text = printed(report, everything=True)
    assert [f"    {number}. " in text for number in (4, 5, 14)] == [True] * 3
    assert "and 3 more, of which no evidence was kept" in text


@pytest.mark.parametrize("width", [60, 80, 200])
def test_nothing_but_a_command_is_wider_than_the_console(report: RunReport, width: int) -> None:
    text = printed(report, width, everything=True)
    lines = [line for line in text.splitlines() if "    Reproduce" not in line]
    assert max(map(len, lines)) <= min(width, 100)


def test_an_ascii_log_gets_ascii_signs(report: RunReport) -> None:
    lines = printed(report, encoding="ascii").splitlines()
    assert lines[1].startswith("    sequential") and lines[2].startswith("  x tenant_probe")


def test_a_scenario_that_could_not_be_told_says_why(tmp_path: Path) -> None:
    lines = lines_of(printed(a_sound_run(tmp_path).report(0)))
    assert lines[2].startswith("? drain unknown 100.0 % +8.3 points no retries were seen")


def test_text_of_a_checker_cannot_move_the_cursor(report: RunReport) -> None:
    held = report.summary.scenarios[3].checked[0]
    held.findings = [type(held.findings[0])("retry_storm", "\x1b[2J[red]gone")]
    assert "\x1b" not in printed(report)
    assert "�[2J[red]gone" in printed(report)


def test_the_summary_begins_with_the_findings_and_show_lists_them_all(report: RunReport) -> None:
    def whole(function: object) -> str:
        file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n")
        function(make_console(file, width=100), report)  # type: ignore[operator]
        file.seek(0)
        return file.read()

    assert whole(print_summary).startswith("✗ 19 findings  in 4 of 5 scenarios, the worst: cross")
    assert "    14. 2 acknowledged" in whole(print_run)
    assert "    14. 2 acknowledged" not in whole(print_summary)
