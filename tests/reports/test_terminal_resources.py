"""What a person reads of resources at the end of a run, and in a trace."""

from __future__ import annotations

import io
from pathlib import Path

from proofrig.reports.console import make_console
from proofrig.reports.report import RunReport
from proofrig.reports.terminal_resources import print_resources
from proofrig.reports.terminal_trace import print_trial
from report_runs import a_run
from reports.test_resources import a_limited_run


def printed(report: RunReport, trial: str = "", *, everything: bool = False) -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n")
    console = make_console(file, width=100)
    if trial:
        print_trial(console, report, trial)
    else:
        print_resources(console, report, everything=everything)
    file.seek(0)
    return [" ".join(line.split()) for line in file.read().splitlines()]


def test_a_run_without_limits_prints_nothing(tmp_path: Path) -> None:
    assert printed(a_run(tmp_path, cases=2).report(0), everything=True) == []


def test_what_is_limited_or_was_met_is_printed(tmp_path: Path) -> None:
    report = a_limited_run(tmp_path)
    assert printed(report)[1:] == [
        "Resources namespace, limits enforced",
        "Memory p50 200.0 MB most 512.0 MB limit 512.0 MB 1 trial met it",
        "Retries p50 0 most 0 limit 3",
        "Tools not allowed 1 trial met it",
    ]
    names = [line.rpartition(" p50 ")[0] for line in printed(report, everything=True)]
    assert "Processor time" in names


def test_a_trace_says_what_its_trial_used(tmp_path: Path) -> None:
    lines = printed(a_limited_run(tmp_path), "a:3")
    assert lines[2].startswith("used: namespace, memory 512.0 MB, processor time 1.50 s")
