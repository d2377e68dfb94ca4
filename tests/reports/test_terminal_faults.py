"""What a person reads of faults at the end of a run, and in a trace."""

from __future__ import annotations

import io
from pathlib import Path

from fault_report_runs import a_struck_run, met
from proofrig.reports.console import make_console
from proofrig.reports.report import RunReport
from proofrig.reports.terminal_faults import print_faults
from proofrig.reports.terminal_trace import print_trial
from report_runs import MS, Recorder, a_run


def printed(report: RunReport, trial: str = "", **more: bool) -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n")
    console = make_console(file, width=100)
    if trial:
        print_trial(console, report, trial)
    else:
        print_faults(console, report, **more)
    file.seek(0)
    return [" ".join(line.split()) for line in file.read().splitlines()]


def test_a_run_without_faults_prints_nothing(tmp_path: Path) -> None:
    assert printed(a_run(tmp_path, cases=2).report(0)) == []


def test_what_never_fired_comes_first_and_then_the_worst(tmp_path: Path) -> None:
    lines = printed(a_struck_run(tmp_path).report(0))
    assert lines[1].startswith("Faults 4 of 5 faults struck, ")
    assert lines[2].startswith("stall never fired whatever it can, 0.1 % of calls")
    names = [line.split()[0] for line in lines[3:]]
    assert sorted(names) == ["drop_terminal", "rate_limit", "reset", "slow-model"]
    assert names[0] in ("drop_terminal", "reset"), "the two under which agents fail"


def test_a_trace_shows_the_fault_on_the_action_that_it_struck(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    with run.trial("a", 1, "agent") as trial:
        fault = met(1, lasts_ns=20 * MS, how="reset")
        trial.tool("refund", {}, "", fault=fault, undelivered=True, is_error=True)
        trial.llm("done", fault=met(0))
    said = printed(run.report(), "a:1")
    place = said.index("▲ fault reset call 1, lasts 20.0 ms, how reset")
    assert said[place - 1].startswith("tool refund error")
    assert said[place + 1] == "it was carried out, and its agent did not get to know"
    assert "▲ fault slow-model (latency) call 1" in said


def test_where_a_replay_left_its_recording_both_sides_are_shown(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    with run.trial("a", 1, "diverged") as trial:
        told = {"turn": 2, "path": "messages[1].content", "recorded": "order 7", "asked": "order 8"}
        trial.write("note", "miss", says="turn 2 asks something else", **told)
    said = printed(run.report(), "a:1")
    assert any(line.split() == ["recorded", "asked", "now"] for line in said)
    assert any("order 7" in line and "order 8" in line for line in said)
    assert "turn 2, at messages[1].content" in said
