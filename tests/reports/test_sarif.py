"""A run in, what code scanning reads out: SARIF 2.1.0 (OASIS 2020), as far as GitHub needs it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from authority_report_runs import a_ruled_run
from contention_report_runs import a_contended_run
from proofrig.checkers.checker import Checked, Evidence, Finding
from proofrig.reports.report import RunReport
from proofrig.reports.sarif import render
from proofrig.reports.security_rules import RULES
from proofrig.results import CaseFacts
from report_runs import Recorder, a_run

_TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"minLength": 1}}}
_PLACE = {
    "type": "object",
    "required": ["artifactLocation", "region"],
    "properties": {
        "artifactLocation": {
            "required": ["uri"],
            "properties": {
                "uri": {"type": "string", "pattern": "^[^ \\\\]+$"},
                "uriBaseId": {"const": "%SRCROOT%"},
            },
        },
        "region": {"required": ["startLine"], "properties": {"startLine": {"minimum": 1}}},
    },
}
_RESULT = {
    "type": "object",
    "required": ["ruleId", "message", "locations", "partialFingerprints"],
    "properties": {
        "ruleId": {"enum": [rule.id for rule in RULES]},
        "ruleIndex": {"type": "integer", "minimum": 0},
        "level": {"enum": ["error", "warning", "note"]},
        "kind": {"const": "fail"},
        "message": _TEXT,
        "occurrenceCount": {"type": "integer", "minimum": 1},
        "locations": {
            "type": "array",
            "minItems": 1,
            "items": {"required": ["physicalLocation"], "properties": {"physicalLocation": _PLACE}},
        },
        "relatedLocations": {
            "type": "array",
            "uniqueItems": True,
            "items": {
                "required": ["id", "message", "physicalLocation"],
                "properties": {"message": _TEXT, "physicalLocation": _PLACE},
            },
        },
        "partialFingerprints": {"minProperties": 1, "additionalProperties": {"type": "string"}},
    },
}
_RULE = {
    "required": ["id", "name", "shortDescription", "fullDescription", "help", "properties"],
    "properties": {
        "shortDescription": _TEXT,
        "fullDescription": _TEXT,
        "help": {"required": ["text", "markdown"]},
        "defaultConfiguration": {"properties": {"level": {"enum": ["error", "warning", "note"]}}},
        "properties": {
            "required": ["tags", "precision", "security-severity"],
            "properties": {
                "tags": {"contains": {"const": "security"}},
                "security-severity": {"type": "string", "pattern": r"^\d+\.\d$"},
            },
        },
    },
}
_RUN = {
    "type": "object",
    "required": ["tool", "results"],
    "properties": {
        "tool": {
            "required": ["driver"],
            "properties": {
                "driver": {
                    "required": ["name", "rules"],
                    "properties": {"rules": {"type": "array", "items": _RULE}},
                }
            },
        },
        "automationDetails": {"required": ["id"]},
        "invocations": {"type": "array", "items": {"required": ["executionSuccessful"]}},
        "results": {"type": "array", "items": _RESULT},
    },
}
WRITTEN = jsonschema.Draft7Validator(
    {
        "type": "object",
        "required": ["$schema", "version", "runs"],
        "properties": {
            "version": {"const": "2.1.0"},
            "runs": {"type": "array", "minItems": 1, "maxItems": 1, "items": _RUN},
        },
    }
)


def read(report: RunReport) -> dict[str, Any]:
    """The one run of the document, which is as the standard has it."""
    document = json.loads(render(report))
    WRITTEN.validate(document)
    run: dict[str, Any] = document["runs"][0]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert all(rules[one["ruleIndex"]] == one["ruleId"] for one in run["results"])
    return run


def leaky(path: Path, says: str = "acme's token reached blue", cases: Any = ("a",)) -> RunReport:
    """A run with a leak in each trial of these cases, and a deadlock."""
    run, found = Recorder(path, where={"versions": {"proofrig": "1.2.3"}}), []
    for number, case in enumerate(cases, 1):
        facts = CaseFacts(case, file=f"desk/{case}.yaml", line=10 * number)
        with run.trial(case, number, facts=facts, tenant="blue"):
            pass
        step = Evidence(number * 10**6, "kv.get", says, f"x{number}", f"{case}:{number}", "blue")
        put = Evidence(0, "kv.put", "acme wrote it", "x0", f"{cases[0]}:1", "acme")
        found.append(Finding("cross_tenant_leak", says, (put, step)))
    found.append(Finding("deadlock", "two waited"))
    report = run.report(1)
    report.summary.checked = [Checked("all", "invalid", found=len(found), findings=found)]
    return report


def test_a_run_without_security_findings_has_rules_and_no_results(tmp_path: Path) -> None:
    run = read(a_run(tmp_path, cases=4, repeats=2).report(1, fail_under=99))
    assert run["results"] == [] and len(run["tool"]["driver"]["rules"]) == len(RULES)
    assert run["automationDetails"]["id"] == "proofrig/support desk/20260301-120000-desk-ab12"


def test_a_finding_stands_at_its_case_with_its_witness(tmp_path: Path) -> None:
    [one] = read(leaky(tmp_path))["results"]
    assert (one["ruleId"], one["level"]) == ("proofrig/cross-tenant-leak", "error")
    assert one["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "desk/a.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 10},
    }
    assert one["locations"][0]["logicalLocations"] == [{"name": "a", "kind": "member"}]
    assert one["message"]["text"].splitlines()[0] == "acme's token reached blue"
    assert "Reproduce: proofrig run" in one["message"]["text"]
    assert [step["message"]["text"] for step in one["relatedLocations"]] == [
        "+0.0 ms a:1 acme kv.put: acme wrote it",
        "+1.0 ms a:1 blue kv.get: acme's token reached blue",
    ]


def test_each_case_has_one_result_of_a_rule_and_they_are_counted(tmp_path: Path) -> None:
    results = read(leaky(tmp_path, cases=("b", "a", "b")))["results"]
    assert [
        (one["occurrenceCount"], one["locations"][0]["logicalLocations"]) for one in results
    ] == [
        (1, [{"name": "a", "kind": "member"}]),
        (2, [{"name": "b", "kind": "member"}]),
    ]
    assert "Seen 2 times in this run." in results[1]["message"]["text"]


def test_fingerprints_stay_the_same_whatever_the_run_said(tmp_path: Path) -> None:
    runs = [("1", "one text"), ("2", "another text"), ("3", "a third, after more")]
    found = [read(leaky(tmp_path / name, says))["results"] for name, says in runs]
    prints = [one["partialFingerprints"] for results in found for one in results]
    assert len(prints) == 3 and prints[0] == prints[1] == prints[2]
    other = read(leaky(tmp_path / "4", cases=("c",)))["results"][0]
    assert other["partialFingerprints"] != prints[0]
    assert "primaryLocationLineHash" not in prints[0]


def test_brackets_in_other_peoples_text_are_no_links(tmp_path: Path) -> None:
    [one] = read(leaky(tmp_path, "see [this](http://evil) \\ \x1b[31m"))["results"]
    assert one["message"]["text"].splitlines()[0] == "see \\[this\\](http://evil) \\\\ �\\[31m"


def test_a_suite_outside_of_any_repository_is_named_whole(tmp_path: Path) -> None:
    report = leaky(tmp_path)
    away = replace(report, facts={}, manifest=report.manifest | {"suite_path": "/x y/suite.py"})
    [one] = read(away)["results"]
    place = one["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "file:///x%20y/suite.py"}
    assert place["region"] == {"startLine": 1}


def test_a_contended_run_reports_its_leaks_and_not_its_queues(tmp_path: Path) -> None:
    run = read(a_contended_run(tmp_path).report(1))
    assert {one["ruleId"] for one in run["results"]} == {"proofrig/cross-tenant-leak"}
    assert all(one["properties"] == {"scenarios": ["tenant_probe"]} for one in run["results"])
    assert "--scenario tenant_probe" in run["results"][0]["message"]["text"]


@pytest.mark.parametrize(
    ("mode", "rule", "level", "did"),
    [
        ("enforce", "proofrig/denied-action", "note", "was denied"),
        ("shadow", "proofrig/undenied-action", "warning", "would be denied"),
    ],
)
def test_what_the_policy_forbids_is_told_by_what_became_of_it(
    tmp_path: Path, mode: Any, rule: str, level: str, did: str
) -> None:
    [one] = read(a_ruled_run(tmp_path, mode).report(1))["results"]
    assert (one["ruleId"], one["level"], one["occurrenceCount"]) == (rule, level, 3)
    said = one["message"]["text"]
    assert said.startswith(f"tool.write_file {did} by rule tests-are-read-only: change the code")


def test_times_and_version_are_those_of_the_run(tmp_path: Path) -> None:
    run = read(leaky(tmp_path, cases=("a", "b")))
    assert run["tool"]["driver"]["semanticVersion"] == "1.2.3"
    [ended] = run["invocations"]
    assert ended["startTimeUtc"] == "2026-03-01T12:00:00.000Z" <= ended["endTimeUtc"]
    assert (ended["exitCode"], ended["executionSuccessful"]) == (1, True)
