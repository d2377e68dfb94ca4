"""Gates and broken cases in, a suite of their own out."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from compared_report_runs import EVIL, a_compared_run, no_worse, regressed, vile
from proofrig.comparisons.gate import GateResult
from proofrig.reports.junit import render
from proofrig.reports.junit_gates import add_gates
from proofrig.reports.report import RunReport

GATES = [
    GateResult("accuracy >= 70 %", "pass", "72.9 %"),
    GateResult("leak_rate == 0", "fail", "3.1 %", scenario="burst", evidence=["refund:3", "x"]),
    GateResult("p99(pool_wait) < 250ms", "inconclusive", "the rig ran late"),
    GateResult("accuracy >= 70 %", "pass", "72.9 %"),
]


def suites(report: RunReport) -> tuple[ET.Element, ET.Element | None]:
    root = ET.fromstring(render(report))
    assert [suite.get("name") for suite in root][:1] == ["support desk"]
    return root, root.find("testsuite[@name='support desk.gates']")


def test_a_gate_is_a_testcase_and_what_cannot_be_told_is_skipped(tmp_path: Path) -> None:
    root, suite = suites(a_compared_run(tmp_path, no_worse(), gates=list(GATES)))
    assert suite is not None
    assert [(test.get("name"), [part.tag for part in test]) for test in suite] == [
        ("accuracy >= 70 %", []),
        ("leak_rate == 0 (burst)", ["failure"]),
        ("p99(pool_wait) < 250ms", ["skipped"]),
        ("accuracy >= 70 % #2", []),
    ]
    failure = suite.find("testcase/failure")
    assert failure is not None and failure.text == "3.1 %\nrefund:3\nx"
    counted = {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert counted == {"tests": "4", "failures": "1", "errors": "0", "skipped": "1"}
    for key, count in counted.items():
        own = root[0].get(key)
        assert own is not None and count is not None
        assert root.get(key) == str(int(own) + int(count))


def test_a_case_that_broke_says_since_when_and_how_to_run_it(tmp_path: Path) -> None:
    _, suite = suites(a_compared_run(tmp_path, regressed()))
    assert suite is not None and suite.get("tests") == "2"
    test = suite[0]
    assert (test.get("classname"), test.get("name")) == ("support desk.gates.broken", "refund_07")
    failure = test.find("failure")
    assert failure is not None and failure.text is not None
    assert failure.get("message") == "19/20 passed in main, 0/4 now (p < 0.001)"
    assert failure.text.endswith("--case refund_07 --seed 7")


def test_without_a_gate_there_is_no_suite_of_them(tmp_path: Path) -> None:
    report = a_compared_run(tmp_path, no_worse())
    root = ET.Element("testsuites")
    assert add_gates(root, "s", report)["tests"] == 0
    assert list(root) == []


def test_names_of_others_are_valid_xml(tmp_path: Path) -> None:
    gate = GateResult(EVIL, "fail", EVIL, evidence=[EVIL])
    _, suite = suites(a_compared_run(tmp_path, vile(), gates=[gate]))
    assert suite is not None
    assert [test.get("name") for test in suite] == [
        EVIL.replace("\x1b", "�").replace("\u202e", "�")
    ] * 2
