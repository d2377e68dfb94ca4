"""A run in, JUnit XML out."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from proofrig.reports.junit import render
from report_runs import Recorder

VERDICT = {"verifier": "exact", "passed": False, "expected": "4", "got": "5 \x00\x1b[31m"}


@pytest.fixture
def suite(tmp_path: Path) -> ET.Element:
    run = Recorder(tmp_path, repeats=2)
    for case, failures in {
        "good": ["", "infra"],
        "flaky": ["", "agent"],
        "slow": ["timeout", "limit"],
        "gone": ["infra", "harness"],
    }.items():
        for repeat, failure in enumerate(failures, 1):
            end = {"verdicts": [VERDICT] if failure == "agent" else [], "error": failure}
            with run.trial(case, repeat, failure, **end) as trial:
                trial.llm("x", ms=499)
    report = run.report(1, fail_under=50.0)
    return ET.fromstring(render(report)).find("testsuite")  # type: ignore[return-value]


def test_one_testcase_per_case_counted_by_outcome(suite: ET.Element) -> None:
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "0",
    }
    found = {
        test.get("name"): [
            (part.tag, part.get("type")) for part in test if part.tag != "properties"
        ]
        for test in suite.iter("testcase")
    }
    assert found == {
        "good": [],
        "flaky": [("flakyFailure", "agent")],
        "slow": [("failure", "limit")],
        "gone": [("error", "harness")],
    }


def test_messages_say_how_many_repeats_passed(suite: ET.Element) -> None:
    messages = [part.get("message", "") for part in suite.iter() if part.get("message")]
    assert messages[0].startswith("1 of 2 repeats passed: agent; exact: expected 4; got 5")
    assert messages[1].startswith("0 of 2 repeats passed: timeout")
    assert messages[2].startswith("none of 2 repeats was measured: infra")


def test_the_text_has_expected_got_and_the_command_without_control_characters(
    suite: ET.Element,
) -> None:
    text = suite.find("testcase[@name='flaky']/flakyFailure/stackTrace").text or ""  # type: ignore[union-attr]
    assert "repeat 2 (flaky:2): agent\n" in text
    assert "    expected: 4\n    got: 5 ��[31m\n" in text
    assert text.endswith("--case flaky --seed 7")


def test_properties_carry_repeats_flakiness_and_cost(suite: ET.Element) -> None:
    test = suite.find("testcase[@name='flaky']")
    assert test is not None
    found = {part.get("name"): part.get("value") for part in test.iter("property")}
    assert found["repeats"] == "2" and found["passed"] == "1"
    assert (found["flaky"], found["pass^2"]) == ("true", "0.0000")
    assert test.get("time") == "1.000"
    assert test.get("classname") == "support desk"


def test_a_flaky_case_has_an_entry_for_each_repeat_that_failed(tmp_path: Path) -> None:
    run = Recorder(tmp_path, repeats=16)
    for repeat in range(1, 17):
        with run.trial("now and then", repeat, "" if repeat == 1 else "timeout"):
            pass
    root = ET.fromstring(render(run.report(0)))
    entries = root.findall("testsuite/testcase/flakyFailure")
    assert len(entries) == 10
    assert {(one.get("type"), one.get("message", "")[:23]) for one in entries} == {
        ("timeout", "1 of 16 repeats passed:")
    }
    assert (root.get("failures"), root.get("tests")) == ("0", "1")
    named = root.find("testsuite/properties/property[@name='flaky']")
    assert named is not None and named.get("value") == "now and then"


def test_gates_are_properties_of_the_suite(suite: ET.Element) -> None:
    found = {part.get("name"): part.get("value") for part in suite.findall("properties/property")}
    assert found["gate: pass rate >= 50 %"].startswith("inconclusive: 40.0 %")  # type: ignore[union-attr]
    assert found["run"] == "20260301-120000-desk-ab12"
