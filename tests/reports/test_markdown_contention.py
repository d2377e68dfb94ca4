"""Scenarios in, Markdown lines out."""

from __future__ import annotations

from pathlib import Path

import pytest

from contention_report_runs import a_contended_run
from proofrig.checkers.checker import Evidence, Finding
from proofrig.reports import markdown
from proofrig.reports.markdown_contention import MOST, scenarios
from proofrig.reports.report import RunReport
from report_runs import a_run


@pytest.fixture
def report(tmp_path: Path) -> RunReport:
    return a_contended_run(tmp_path / "runs" / "r").report(0)


def test_a_run_without_scenarios_has_no_lines(tmp_path: Path) -> None:
    assert scenarios(a_run(tmp_path).report(0)) == []


def test_scenarios_are_a_table_and_kinds_a_list_with_evidence(report: RunReport) -> None:
    lines = scenarios(report)
    assert (
        "| ❌ interleaved failed | 24 | 3 | 75.0 % (25.6 % to 96.3 %) | −16.7 points | 14 "
        "| Lost updates: 14 |"
    ) in lines
    place = lines.index("- **Lost update**: 14 found in interleaved")
    assert lines[place + 1] == (
        "  - What to do: Use compare-and-set, an atomic increment, or a lock that is held from the "
        "read to the write."
    )
    assert lines[place + 3] == (
        "  - +103 ms `stock_count@interleaved:2` `corp` `kv.put` "
        "`read version 8, writes 51, acknowledged`"
    )
    assert lines[place + 5].endswith("--scenario interleaved --agents 24 --tenants 3 --seed 7`")


def test_the_baseline_has_no_tick_and_a_pass_says_what_was_looked_at(report: RunReport) -> None:
    checked = report.summary.scenarios[4]
    checked.verdict = "valid"
    lines = scenarios(report)
    assert lines[4].startswith("| sequential baseline | 1 | 1 | 91.7 % (")
    assert lines[8].startswith("| ✅ long\\_stream passed |")
    assert lines[8].endswith("| p95 of the wait 1.78 s, 98 % of the latency |")


def test_the_first_line_of_the_summary_counts_the_findings(report: RunReport) -> None:
    first = markdown.render(report).decode().splitlines()[0]
    assert first.startswith("## ❌ 19 findings: in 4 of 5 scenarios, the worst: cross tenant leak")


def test_a_flood_of_kinds_is_cut_and_counted(report: RunReport) -> None:
    seen = tuple(Evidence(n, "kv.put", "é" * 400) for n in range(40))
    held = report.summary.scenarios[3].checked[0]
    held.findings = [Finding(f"kind_{n:02}", "é" * 400, seen) for n in range(40)]
    held.found = 40
    lines = scenarios(report)
    shown = sum(line.startswith("- **Kind") for line in lines)
    assert 4 < shown < 40
    assert f"- and {40 - shown} more kinds" in lines
    assert sum(len(line.encode()) for line in lines) < MOST + 2_000
    assert len(markdown.render(report)) < markdown.MOST
