"""A run's directory in, files out."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest

from contention_report_runs import a_contended_run
from proofrig.errors import InfraError, UsageError
from proofrig.reports.console import make_console
from proofrig.reports.report import MEMBERS, gather_report, write_report
from proofrig.reports.terminal import print_summary
from report_runs import Recorder, a_run, a_trend


def test_a_report_gathers_rows_manifest_and_duration_from_the_run(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    with run.trial("a", 1) as trial:
        trial.llm("hi", ms=250)
    report = run.report(trend=a_trend([0.5]))
    assert [row.trial for row in report.rows] == ["a:1"]
    assert report.suite == "support desk"
    assert report.duration_ns == 251_000_000
    assert report.trend[0]["rate"] == 0.5


def test_judging_a_run_again_takes_no_part_in_its_duration(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    with run.trial("a", 1) as trial:
        trial.llm("hi", ms=250)
    judged = {"passed": False, "failure": "agent"}
    run.write(86_400 * 10**9, "note", "segment", attrs={})
    run.write(86_400 * 10**9, "note", "rescored", trial="a:1", attrs=judged)
    report = run.report()
    assert (report.rows[0].failure, report.duration_ns) == ("agent", 251_000_000)


def test_every_form_for_people_says_what_was_cut_and_what_else_to_know(tmp_path: Path) -> None:
    cut, note = "cut: 3 of 9 trials, the money budget was reached", "settled after 2 repeats"
    torn = [f"torn line {number}" for number in range(9)]
    report = replace(
        a_run(tmp_path / "run", cases=3, repeats=2).report(problems=[*torn, cut]),
        cuts=[cut],
        notes=[note],
    )
    assert report.troubles == torn
    out = StringIO()
    print_summary(make_console(out, width=120), report)
    said = {"terminal": out.getvalue()}
    for suffix in (".html", ".md", ".json"):
        write_report(report, tmp_path / f"out{suffix}")
        said[suffix] = (tmp_path / f"out{suffix}").read_text()
    assert {form: (cut in text, note in text) for form, text in said.items()} == dict.fromkeys(
        said, (True, True)
    )


def test_the_suffix_chooses_the_form(tmp_path: Path) -> None:
    report = a_run(tmp_path / "run", cases=3, repeats=2).report()
    begins = {}
    for suffix in MEMBERS:
        write_report(report, tmp_path / "new" / f"out{suffix.upper()}")
        begins[suffix] = (tmp_path / "new" / f"out{suffix.upper()}").read_text()[:15]
    assert begins == {
        ".html": "<!doctype html>",
        ".json": '{\n  "schema": "p',
        ".xml": "<?xml version='",
        ".md": "## ☑️ Finished:",
        ".sarif": '{\n  "$schema": ',
        ".annotations": "::warning file=",
    } | {".json": '{\n  "schema": "'}
    assert len(list((tmp_path / "new").iterdir())) == 6


def test_an_unknown_suffix_is_refused_with_those_that_exist(tmp_path: Path) -> None:
    report = Recorder(tmp_path).report()
    with pytest.raises(
        UsageError, match=r"\.html \.json \.xml \.md \.sarif \.annotations, got 'out\.pdf'"
    ):
        write_report(report, tmp_path / "out.pdf")


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    report = Recorder(tmp_path / "run").report()
    (tmp_path / "file").write_text("")
    with pytest.raises(InfraError, match="cannot write the report"):
        write_report(report, tmp_path / "file" / "out.md")


def test_a_directory_that_is_no_run_is_said(tmp_path: Path) -> None:
    concluded = Recorder(tmp_path / "run").report()
    with pytest.raises(InfraError, match=r"manifest\.json"):
        gather_report(tmp_path / "other", concluded)


def test_the_times_of_the_scenarios_are_gathered(tmp_path: Path) -> None:
    scenes = a_contended_run(tmp_path).report().scenes
    assert [scene.name for scene in scenes][:2] == ["sequential", "tenant_probe"]
    assert all(one.end_ns < two.begin_ns for one, two in pairwise(scenes))
