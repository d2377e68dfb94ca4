"""A run in, workflow commands out, as GitHub's runner reads them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contention_report_runs import a_contended_run
from proofrig.comparisons.comparison import CaseChange, Comparison
from proofrig.comparisons.gate import GateResult
from proofrig.reports.annotations import MOST, escaped, escaped_property, render
from proofrig.reports.report import RunReport
from proofrig.results import CaseFacts
from report_runs import Recorder, a_run

COMMAND = re.compile(r"::(error|warning) ((?:[a-z]+=[^,:\r\n]*,?)+)::([^\r\n]*)")


def read(report: RunReport) -> list[dict[str, str]]:
    """What the runner makes of each line."""
    found = []
    for line in render(report).decode().splitlines():
        match = COMMAND.fullmatch(line)
        assert match, line
        given = dict(part.split("=", 1) for part in match[2].split(","))
        values = given | {"level": match[1], "text": match[3]}
        found.append({name: unescaped(value) for name, value in values.items()})
    return found


def unescaped(text: str) -> str:
    for code, character in (("%2C", ","), ("%3A", ":"), ("%0A", "\n"), ("%0D", "\r")):
        text = text.replace(code, character)
    return text.replace("%25", "%")


def failing(path: Path, cases: int, says: str = "expected 4; got 5") -> Recorder:
    run = Recorder(path)
    verdict = {"verifier": "exact", "passed": False, "message": says}
    for number in range(cases):
        facts = CaseFacts(f"c{number:02}", file="desk/cases.yaml", line=number + 3)
        with run.trial(facts.id, 1, "agent", verdicts=[verdict], facts=facts):
            pass
    return run


@pytest.mark.parametrize("text", ["50 %", "a: b, c", "two\nlines\r\n", "100%25", "::error::x", ""])
def test_what_is_escaped_comes_back_as_it_was(text: str) -> None:
    assert unescaped(escaped(text)) == unescaped(escaped_property(text)) == text
    assert not set("\r\n") & set(escaped(text))
    assert not set("\r\n:,") & set(escaped_property(text))


def test_a_case_is_marked_where_it_was_written(tmp_path: Path) -> None:
    [one] = read(failing(tmp_path, 1).report(1))
    assert {name: one[name] for name in ("level", "file", "line", "title")} == {
        "level": "error",
        "file": "desk/cases.yaml",
        "line": "3",
        "title": "c00: 0 of 1 passed",
    }
    first, again = one["text"].split("\n")
    assert first == "exact: expected 4; got 5"
    assert again.startswith("proofrig run ") and "--case c00 --seed 7" in again


def test_a_case_of_a_run_that_passed_is_a_warning(tmp_path: Path) -> None:
    report = failing(tmp_path, 1).report(0, gates=[GateResult("leak_rate == 0", "pass", "0")])
    assert [one["level"] for one in read(report)] == ["warning"]


def test_a_run_of_which_there_is_nothing_to_say_writes_nothing(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    with run.trial("a", 1):
        pass
    assert render(run.report(0, fail_under=50)) == b""


def test_what_decides_comes_first(tmp_path: Path) -> None:
    counts = {"base_passed": 20, "base_measured": 20, "now_passed": 0, "now_measured": 1}
    broken = [CaseChange(case="c01", p=0.0002, broken=True, **counts)]
    held = Comparison(run="r", base="main", verdict="regressed", says="it fell", broken=broken)
    gates = [
        GateResult("accuracy >= 90 %", "fail", "0.0 %"),
        GateResult("p99(pool_wait) < 250ms", "inconclusive", "not measured"),
    ]
    report = replace(failing(tmp_path, 3).report(1, gates=gates), comparison=held)
    found = read(report)
    assert [(one["level"], one["title"], one["line"]) for one in found] == [
        ("error", "Gate failed: accuracy >= 90 %", "1"),
        ("error", "Broken: c01", "4"),
        ("error", "c00: 0 of 1 passed", "3"),
        ("error", "c02: 0 of 1 passed", "5"),
        ("warning", "Gate could not be told: p99(pool_wait) < 250ms", "1"),
    ]
    assert found[1]["text"].startswith("20/20 passed in main, 0/1 now (p < 0.001)\nproofrig run ")


@pytest.mark.parametrize(("cases", "last"), [(MOST, ""), (MOST + 1, "2 more"), (300, "291 more")])
def test_what_github_would_drop_is_counted_in_the_last(
    tmp_path: Path, cases: int, last: str
) -> None:
    found = read(failing(tmp_path, cases).report(1))
    assert len(found) == MOST
    assert found[-1]["title"] == (f"{last} errors of this run" if last else "c09: 0 of 1 passed")


def test_unmeasured_cases_are_warnings(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    with run.trial("a", 1, "infra", error="the model's server was down"):
        pass
    [one] = read(run.report(6))
    assert (one["level"], one["title"]) == ("warning", "a: not measured")
    assert one["text"].startswith("infra: the model's server was down\n")


def test_findings_of_scenarios_are_marked_once_a_kind(tmp_path: Path) -> None:
    found = read(a_contended_run(tmp_path).report(1))
    assert [one["title"] for one in found][:2] == [
        "Cross tenant leak: 3 found in tenant_probe",
        "Lost update: 14 found in interleaved",
    ]
    assert "Put the tenant into the key" in found[0]["text"]


@pytest.mark.parametrize(
    "evil", ["x\n::error::y", "x\r\n::stop-commands::z", "%0A::error::y", "\x1b[31m\u202e::y"]
)
def test_no_text_begins_a_command_of_its_own(tmp_path: Path, evil: str) -> None:
    gates: list[Any] = [GateResult(evil, "fail", evil)]
    found = read(failing(tmp_path, 1, evil).report(1, gates=gates))
    assert len(found) == 2 and [one["level"] for one in found] == ["error", "error"]


def test_every_repeat_of_a_flaky_case_is_one_annotation(tmp_path: Path) -> None:
    found = read(a_run(tmp_path).report(1, fail_under=85))
    titles = [one["title"] for one in found]
    assert "order_status_09: 1 of 4 passed, flaky" in titles and len(titles) == len(set(titles))
