"""What a person reads at the end of a run."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from proofrig.errors import UsageError
from proofrig.places import run_name
from proofrig.reports import terminal
from proofrig.reports.console import make_console
from proofrig.reports.report import RunReport
from proofrig.store import RunRecord
from report_runs import Recorder, a_run


@pytest.fixture
def report(tmp_path: Path) -> RunReport:
    return a_run(tmp_path).report(1, fail_under=85)


def printed(function: Callable[..., None], *given: object, width: int = 80) -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n")
    function(make_console(file, width=width), *given)
    file.seek(0)
    return file.read()


def test_the_summary_begins_with_the_verdict_and_ends_with_where_to_read_on(
    report: RunReport,
) -> None:
    lines = printed(terminal.print_summary, report, [Path("out/report.html")]).splitlines()
    assert lines[0] == "✗ Failed  pass rate >= 85 %: 72.9 % (35 of 48 measured trials)"
    assert [line.split() for line in lines[-2:]] == [
        ["Report", "out/report.html"],
        ["Look", "into", "proofrig", "show", run_name(report.run_dir)],
    ]


def test_the_summary_has_the_score_the_baselines_and_the_worst_cases(report: RunReport) -> None:
    text = printed(terminal.print_summary, report)
    for said in (
        "─────────────━━━━●━━━───  72.9 %  (54.5 % to 85.8 %)",
        "pass@1 72.9 %   pass^4 41.7 %   pass@4 100.0 %",
        "null 1 of 12 (8.3 %), reference 12 of 12 (100.0 %)",
        "10 agent, 3 timeout",
        "! Doing nothing passes 1 case (order_status_03)",
        "✗  1/4  angry_customer_12 flaky  timeout: the agent was stopped after 30 s",
        "and 2 more",
    ):
        assert said in text


def test_what_retried_attempts_cost_is_said_where_there_were_any(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    assert "Wasted" not in printed(terminal.print_summary, run.report())
    run = Recorder(tmp_path / "retried")
    with run.trial("a", 1, "infra", retried=True) as trial:
        trial.llm("hi", actual={"usd_micro": 4_200})
    with run.trial("a", 1, attempt=2):
        pass
    text = printed(terminal.print_summary, run.report())
    assert "Wasted      1 attempt retried or cut off, $0.0042" in text


def test_without_a_measurement_nothing_is_zero(tmp_path: Path) -> None:
    text = printed(terminal.print_summary, Recorder(tmp_path).report(5))
    assert text.startswith("! Nothing ran")
    assert "Pass rate   not measured" in text
    assert "0.0 %" not in text


@pytest.mark.parametrize("width", [40, 60, 200])
def test_every_table_fits_the_width(report: RunReport, width: int) -> None:
    text = printed(terminal.print_run, report, width=width)
    commands = ("proofrig", "Look into")
    lines = [line for line in text.splitlines() if not any(word in line for word in commands)]
    assert max(map(len, lines)) <= min(width, 100)


def test_an_ascii_log_gets_ascii(report: RunReport) -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="\n")
    terminal.print_run(make_console(file, width=80), report)
    file.seek(0)
    assert file.read().startswith("x Failed")


def test_a_stored_run_shows_its_groups_and_all_its_cases(report: RunReport) -> None:
    text = printed(terminal.print_run, report, width=100)
    assert "hard          16/16   37.5 % (18.5 % to 61.4 %)     0.0 %" in text
    assert "order_status_09 flaky     ✗✓✗✗" in text


def test_a_case_shows_each_repeat_its_baselines_and_its_command(report: RunReport) -> None:
    text = printed(terminal.print_case, report, "order_status_09", width=100)
    assert text.startswith("✗ order_status_09  1 of 4 measured repeats passed, flaky\n")
    assert text.count("sql_state: expected orders.status") == 3
    assert "as it should be" in text
    assert "proofrig run 'suites/support desk.yaml' --case order_status_09 --seed 7\n" in text
    with pytest.raises(UsageError, match="did you mean"):
        printed(terminal.print_case, report, "order_status")


def test_text_of_an_agent_cannot_move_the_cursor(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    evil = {"verifier": "exact", "passed": False, "message": "\x1b[2J\x07[red]gone"}
    with run.trial("a", 1, "agent", verdicts=[evil]):
        pass
    text = printed(terminal.print_summary, run.report(1))
    assert "\x1b" not in text and "\x07" not in text
    assert "�[2J�[red]gone" in text


def test_runs_are_listed_with_their_verdicts() -> None:
    facts = {"suite_digest": "d", "path": "/r", "started_ns": 1_772_366_400_000_000_000}
    record = RunRecord(run="r-1", suite="desk", status="finished", verdict="fail", **facts)
    lines = printed(terminal.print_runs, [record], width=100).splitlines()
    assert lines[-1].split() == ["r-1", "desk", "2026-03-01", "12:00", "finished", "fail"]
    lines = printed(terminal.print_runs, [record], {"r-1": None}).splitlines()
    assert lines[-1].split() == ["r-1", "finished", "not", "measured", "fail"]
    assert "proofrig run SUITE" in printed(terminal.print_runs, [])
    facts["path"] = "/kept/runs/r-2"
    left = RunRecord(run="r-2", suite="desk", status="cut off", **facts)
    lines = printed(terminal.print_runs, [left, record], width=100).splitlines()
    assert lines[-1].split() == ["Go", "on", "proofrig", "resume", "/kept/runs/r-2"]


def test_a_case_of_very_many_trials_shows_how_many_ended_how(tmp_path: Path) -> None:
    run = Recorder(tmp_path, repeats=1_200)
    for repeat in range(1_200):
        with run.trial("a", repeat, "agent" if repeat % 100 == 0 else ""):
            pass
    text = printed(terminal.print_run, run.report(), width=100)
    assert "12 ✗  1,188 ✓" in text
