"""Scenarios in, testcases out."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from contention_report_runs import a_contended_run, a_sound_run
from proofrig.checkers.checker import Checked
from proofrig.reports.junit import render
from proofrig.reports.report import RunReport


def suite_of(report: RunReport) -> ET.Element:
    found = ET.fromstring(render(report)).find("testsuite")
    assert found is not None
    return found


def case(suite: ET.Element, scenario: str, checker: str) -> ET.Element:
    found = suite.find(f"testcase[@classname='support desk.{scenario}'][@name='{checker}']")
    assert found is not None
    return found


def outcome(test: ET.Element) -> list[str]:
    return [part.tag for part in test if part.tag != "properties"]


def test_each_checker_that_was_exercised_in_a_scenario_is_a_testcase(tmp_path: Path) -> None:
    report = a_contended_run(tmp_path / "runs" / "r").report(0)
    suite = suite_of(report)
    checked = sum(len(one.checked) for one in report.summary.scenarios) - 4  # saw nothing
    assert len(suite.findall("testcase")) == 3 + checked
    assert suite.get("tests") == str(3 + checked)
    assert len(suite.findall("testcase[flakyFailure]")) == 3  # alone they pass
    assert suite.get("failures") == str(4)
    assert suite.get("skipped") == "0"
    assert outcome(case(suite, "burst", "retry_amplification")) == ["failure"]
    assert outcome(case(suite, "burst", "launch")) == []
    names = [test.get("name") for test in suite.iterfind("testcase")]
    assert "lock_order" in names and "stale_result" not in names


def test_a_failure_has_its_evidence_and_its_command(tmp_path: Path) -> None:
    suite = suite_of(a_contended_run(tmp_path / "runs" / "r").report(0))
    failure = case(suite, "interleaved", "lost_update").find("failure")
    assert failure is not None and failure.text is not None
    assert (failure.get("type"), failure.get("message")) == ("lost_update", "11 found")
    assert (
        "4. Lost update: 2 acknowledged writes of stock/12 began from version 8\n" in failure.text
    )
    assert "   +103 ms  stock_count@interleaved:2 corp kv.put: read version 8" in failure.text
    assert "and 4 more\n" in failure.text
    assert failure.text.endswith("--scenario interleaved --agents 24 --tenants 3 --seed 7")


def test_a_pass_carries_what_was_looked_at(tmp_path: Path) -> None:
    suite = suite_of(a_contended_run(tmp_path / "runs" / "r").report(0))
    test = case(suite, "interleaved", "deadlock")
    found = {part.get("name"): part.get("value") for part in test.iter("property")}
    assert found == {"looked at": "24 waits", "deadlocks": "0"}


def test_a_checker_that_is_needed_and_cannot_tell_is_an_error(tmp_path: Path) -> None:
    suite = suite_of(a_sound_run(tmp_path / "runs" / "r").report(0))
    assert outcome(case(suite, "drain", "retry_amplification")) == ["error"]
    assert suite.find("testcase[@name='lost_update']") is None
    assert suite.get("errors") == "1"


def test_a_checker_in_doubt_with_the_launch_is_skipped(tmp_path: Path) -> None:
    report = a_sound_run(tmp_path / "runs" / "r").report(0)
    checked = report.summary.scenarios[1].checked
    checked[1].says = "none in 9 updates; but the spread was missed"
    checked.append(Checked("launch", "unknown", "the spread was missed"))
    suite = suite_of(report)
    assert outcome(case(suite, "drain", "lost_update")) == ["skipped"]
    assert suite.get("skipped") == "1"
    assert suite.get("tests") == str(len(suite.findall("testcase")))
