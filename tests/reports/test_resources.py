"""What trials used, in words and rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proofrig.reports import resources
from proofrig.reports.html import render as html
from proofrig.reports.report import RunReport
from proofrig.reports.resources import Line
from proofrig.resources import Used
from report_runs import Recorder, a_run

MB = 1_000_000
LIMITS = {"timeout_s": 60.0, "memory_mb": 512.0, "retries": 3, "allowed_tools": [["search"]]}


def a_limited_run(run_dir: Path, **limits: Any) -> RunReport:
    """Three trials in boxes: 100, 200 and 512 MB, of which the last was killed and one called what
    it may not."""
    run = Recorder(run_dir)
    run.manifest["what"] = {**run.manifest["what"], "limits": LIMITS | limits}
    for number, size in enumerate((100, 200, 512), start=1):
        usage = {"memory_peak_bytes": size * MB, "cpu_ms": 500 * number}
        box: dict[str, Any] = {"level": "namespace", "held": "enforced", "usage": usage}
        if size == 512:
            box |= {"broke": ["memory"], "usage": usage | {"oom_kills": 2}}
        with run.trial("a", number, failure="limit" if size == 512 else "", box=box) as trial:
            trial.llm("hello")
            if number == 1:
                denied = {"decision": "deny", "code": "limit_tools"}
                trial.write("reserve", "tool.refund", "x1", **denied)
    return run.report(0)


def test_each_figure_has_its_spread_its_limit_and_who_met_it(tmp_path: Path) -> None:
    lines = {line.name: line for line in resources.lines(a_limited_run(tmp_path))}
    assert lines["Memory"] == Line("Memory", 3, "200.0 MB", "480.8 MB", "512.0 MB", "512.0 MB", 1)
    assert lines["Processor time"] == Line("Processor time", 3, "1.00 s", "1.45 s", "1.50 s", "", 0)
    assert lines["Tools not allowed"] == Line("Tools not allowed", 0, "", "", "", "", 1)
    assert (lines["Retries"].limit, lines["Retries"].most) == ("3", "0")
    assert lines["Longest context"].most.endswith(" tokens")
    assert "Files at its end" not in lines and "Wall time" not in lines


def test_a_run_in_which_nothing_was_counted_or_limited_has_no_rows(tmp_path: Path) -> None:
    report = a_run(tmp_path, cases=2).report(0)
    assert resources.lines(report) == [] and resources.levels(report) == ""
    assert "h-resources" not in html(report).decode()


def test_a_limit_without_boxes_is_shown_too(tmp_path: Path) -> None:
    run = a_run(tmp_path, cases=2)
    run.manifest["what"] = {**run.manifest["what"], "limits": {"context_tokens": 8000}}
    lines = resources.lines(run.report(0))
    assert {line.name: line.limit for line in lines}["Longest context"] == "8,000 tokens"


@pytest.mark.parametrize("held", ["enforced", "advisory", "none"])
def test_what_the_sandbox_does_about_limits_is_said(tmp_path: Path, held: str) -> None:
    run = Recorder(tmp_path)
    with run.trial("a", box={"level": "process", "held": held}):
        pass
    said = {"enforced": "enforced", "advisory": "advisory", "none": "not held"}[held]
    assert resources.levels(run.report(0)) == f"process, limits {said}"


def test_the_page_has_a_table_and_each_trace_its_own_line(tmp_path: Path) -> None:
    page = html(a_limited_run(tmp_path)).decode()
    assert '<h2 id="h-resources">' in page and "namespace, limits enforced" in page
    assert "memory 512.0 MB, processor time 1.50 s" in page
    assert "2 processes killed for want of memory, met memory_mb" in page


@pytest.mark.parametrize(
    ("used", "says"),
    [
        (None, ""),
        (Used(context_tokens=5, retries=2), ""),  # its steps say so
        (
            Used(level="vm", emulated=True, cpu_time=2_000_000_000, context_tokens=1234),
            "vm (emulated), processor time 2.00 s, longest context 1,234 tokens",
        ),
        (Used(level="process", egress=0, retries=0), "process, sent 0 B"),
        (Used(retries=3, met=("retries",)), "retries 3, met retries"),
    ],
)
def test_what_one_trial_used(used: Used | None, says: str) -> None:
    assert resources.said(used) == says
