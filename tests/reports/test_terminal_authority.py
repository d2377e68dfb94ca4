"""What a person reads of the authority at the end of a run."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from authority_report_runs import a_ruled_run
from proofrig.reports.console import make_console
from proofrig.reports.report import RunReport
from proofrig.reports.terminal_authority import print_authority
from proofrig.reports.terminal_trace import print_trial
from proofrig.rulings import Mode
from report_runs import a_run


def printed(report: RunReport, trial: str = "", **more: bool) -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n")
    console = make_console(file, width=100)
    if trial:
        print_trial(console, report, trial)
    else:
        print_authority(console, report, **more)
    file.seek(0)
    return [" ".join(line.split()) for line in file.read().splitlines()]


def test_a_run_of_which_nothing_is_to_tell_prints_nothing(tmp_path: Path) -> None:
    assert printed(a_run(tmp_path, cases=0).report(0)) == []


def test_every_refusal_has_who_decided_and_what_to_do(tmp_path: Path) -> None:
    lines = printed(a_ruled_run(tmp_path).report(0))
    said = "denied 9 of 93 actions, 3 asked (1 approved, 1 refused, 1 not answered in time)"
    assert lines[1] == f"Authority {said}"
    assert "change the code, not the tests" in " ".join(lines)
    assert "denied 3 rule tests-are-read-only tool.write_file 3" in " ".join(lines)
    assert "asked 3 rule refunds-ask tool.refund 3 1 approved, 1 refused" in " ".join(lines)
    assert "the watch stopped: repeat, 3 trials" in lines
    assert "@writes 4 calls" not in lines


def test_shadow_mode_says_would_and_what_it_cost(tmp_path: Path) -> None:
    said = " ".join(printed(a_ruled_run(tmp_path, "shadow").report(0)))
    assert "Authority (shadow) would have blocked 12 of 96 actions, $0.0018" in said
    assert "would be denied 9 budget of 6 scopes like acme/desk/subject/" in said
    assert "they cost $0.0018" in said


def test_the_ledger_is_printed_when_all_is_asked_for(tmp_path: Path) -> None:
    lines = printed(a_ruled_run(tmp_path).report(0), everything=True)
    assert "acme $0.0287, 34 calls of $1.00 money" in lines
    assert "@writes 4 calls" in lines


@pytest.mark.parametrize(
    ("mode", "trial", "said"),
    [
        (
            "enforce",
            "coding:1",
            "denied: forbidden by rule tests-are-read-only; change the code, not the tests",
        ),
        ("enforce", "research:1", "what remains there: 0 calls; asked 1 calls where 0 remain"),
        ("enforce", "refund:2", "denied: approval_timeout by rule refunds-ask; rule refunds-ask"),
        ("enforce", "refund:2", "approval by rule refunds-ask: timeout"),
        ("enforce", "refund:3", "asked for approval by rule refunds-ask"),
        ("enforce", "research:2", "the watch, stop: search was called 12 times"),
        ("shadow", "coding:1", "would be denied: forbidden by rule tests-are-read-only"),
        ("shadow", "refund:1", "would ask for approval by rule refunds-ask"),
    ],
)
def test_a_trace_says_what_was_decided_of_each_action(
    tmp_path: Path, mode: Mode, trial: str, said: str
) -> None:
    assert said in " ".join(printed(a_ruled_run(tmp_path, mode).report(0), trial))
