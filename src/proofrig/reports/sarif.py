"""The SARIF 2.1.0 report, for code scanning: what of a run is about security, and nothing else.

Rules:
1. What is about security stands in `security_rules.py`. A failing case is a test result, no alert.
2. One result for each rule and case, at the line of the case: the first is told, all that are kept
   are counted. So an alert stays the same alert from run to run.
3. The witness is told in `relatedLocations`, in the order of time.
4. `primaryLocationLineHash` is left to who uploads: GitHub computes its own, and warns of others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from proofrig.checkers.checker import Evidence
from proofrig.reports import contention, location
from proofrig.reports.authority import shown, who
from proofrig.reports.location import Location
from proofrig.reports.reading import reproduce, scenario_of
from proofrig.reports.report import RunReport
from proofrig.reports.security_rules import OF_FINDINGS, RULES, SecurityRule, of_ruling
from proofrig.reports.words import clean, duration, line
from proofrig.results import case_of

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
WITNESS = 12  # locations of a result
_SAYS, _SECOND_NS = 500, 1e9


@dataclass(slots=True)
class _Alert:
    """A result in the making. `began_ns`: what the times of its witness count from."""

    rule: SecurityRule
    case: str
    scenario: str
    says: str
    witness: list[Evidence]
    began_ns: int = 0
    count: int = 1
    scenarios: dict[str, None] = field(default_factory=dict)


def render(report: RunReport) -> bytes:
    """The report as JSON, UTF-8."""
    run = {
        "tool": {"driver": _driver(report)},
        "automationDetails": {"id": f"proofrig/{clean(report.suite)}/{clean(report.run)}"},
        "invocations": [_invocation(report)],
        "results": [_result(alert, report) for alert in _alerts(report)],
    }
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"


def _alerts(report: RunReport) -> list[_Alert]:
    """What is about security, the worst rule first; one of each rule and case."""
    held: dict[tuple[str, str], _Alert] = {}
    for alert in (*_findings(report), *_rulings(report)):
        first = held.setdefault((alert.rule.id, alert.case), alert)
        first.count += 0 if first is alert else alert.count
        first.scenarios[alert.scenario] = None
    order = {rule.id: place for place, rule in enumerate(RULES)}
    return sorted(held.values(), key=lambda alert: (order[alert.rule.id], alert.case))


def _findings(report: RunReport) -> Iterator[_Alert]:
    """The findings: each is the case's whose trial its witness ends with."""
    for kind in contention.kinds_of(report):
        rule = OF_FINDINGS.get(kind.name)
        for one in kind.shown if rule else ():
            trials = one.finding.trials
            witness = [step for step in one.witness(WITNESS) if step is not None]
            case = case_of(trials[-1]) if trials else ""
            says = one.finding.says
            assert rule is not None
            yield _Alert(rule, case, one.scenario, says, witness, one.began_ns)


def _rulings(report: RunReport) -> Iterator[_Alert]:
    """What the authority denied, or would have: the examples that are kept of it."""
    rulings = report.summary.authority
    for ruled, would in shown(rulings) if rulings else ():
        rule = of_ruling(ruled.code, shadow=would) if ruled.effect == "deny" else None
        for one in ruled.first if rule else ():
            did = "would be denied" if would else "was denied"
            step = Evidence(one.t, one.name, one.says or did, one.id, one.trial, one.tenant)
            says = f"{one.name} {did} by {who(ruled)}: {one.says}"
            assert rule is not None
            yield _Alert(rule, case_of(one.trial), "", says, [step])


def _result(alert: _Alert, report: RunReport) -> dict[str, Any]:
    place = location.of_case(report, alert.case)
    told = [_text(alert.says)]
    if alert.count > 1:
        told.append(f"Seen {alert.count:,} times in this run.")
    scenario = scenario_of(report, alert.scenario)
    again = reproduce(report, "" if scenario else alert.case, scenario)
    told.append(f"Reproduce: {_text(again)}")
    result: dict[str, Any] = {
        "ruleId": alert.rule.id,
        "ruleIndex": RULES.index(alert.rule),
        "level": alert.rule.level,
        "kind": "fail",
        "message": {"text": "\n".join(told)},
        "locations": [{"physicalLocation": _physical(place)}],
        "occurrenceCount": alert.count,
        "partialFingerprints": {"proofrig/v1": _fingerprint(alert, report)},
    }
    if alert.case:
        logical = {"name": clean(alert.case), "kind": "member"}
        result["locations"][0]["logicalLocations"] = [logical]
    if alert.witness:
        result["relatedLocations"] = [
            _related(number, one, alert, report) for number, one in enumerate(alert.witness)
        ]
    named = [clean(name) for name in alert.scenarios if name]
    if named:
        result["properties"] = {"scenarios": named}
    return result


def _related(number: int, one: Evidence, alert: _Alert, report: RunReport) -> dict[str, Any]:
    at = f"+{duration(max(0, one.t - alert.began_ns))}"
    who = " ".join(part for part in (one.trial, one.tenant, one.name) if part)
    place = location.of_case(report, case_of(one.trial) if one.trial else alert.case)
    return {
        "id": number,
        "message": {"text": f"{at} {_text(who)}: {_text(one.says)}"},
        "physicalLocation": _physical(place),
    }


def _physical(place: Location) -> dict[str, Any]:
    return {
        "artifactLocation": _artifact(place.file),
        "region": {"startLine": max(1, place.line)},
    }


def _artifact(file: str) -> dict[str, str]:
    if PurePath(file).is_absolute():
        return {"uri": PurePath(file).as_uri()}
    return {"uri": quote(file), "uriBaseId": "%SRCROOT%"}


def _fingerprint(alert: _Alert, report: RunReport) -> str:
    """What stays the same from run to run of the same trouble."""
    same = [report.suite, alert.rule.id, alert.case]
    return hashlib.sha256(json.dumps(same).encode()).hexdigest()[:32]


def _driver(report: RunReport) -> dict[str, Any]:
    versions = report.manifest.get("where", {}).get("versions") or {}
    driver: dict[str, Any] = {"name": "proofrig", "rules": [_rule(rule) for rule in RULES]}
    if version := versions.get("proofrig"):
        driver["semanticVersion"] = str(version)
    return driver


def _rule(rule: SecurityRule) -> dict[str, Any]:
    weaknesses = [f"external/cwe/cwe-{number:03}" for number in rule.cwe]
    return {
        "id": rule.id,
        "name": rule.name,
        "shortDescription": {"text": rule.short},
        "fullDescription": {"text": rule.full},
        "help": {"text": f"{rule.full}\n\n{rule.help}", "markdown": f"{rule.full}\n\n{rule.help}"},
        "defaultConfiguration": {"level": rule.level},
        "properties": {
            "tags": ["security", *weaknesses],
            "precision": "very-high",
            "security-severity": rule.severity,
        },
    }


def _invocation(report: RunReport) -> dict[str, Any]:
    made: dict[str, Any] = {
        "executionSuccessful": report.status == "finished",
        "exitCode": report.exit_code,
    }
    if started := report.manifest.get("started_ns"):
        ended = started + report.duration_ns
        made["startTimeUtc"], made["endTimeUtc"] = _utc(started), _utc(ended)
    return made


def _utc(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns / _SECOND_NS, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def _text(text: str) -> str:
    """Other people's text in a message: brackets would be read as a link to a location."""
    said = line(text, _SAYS).replace("\\", "\\\\")
    return said.replace("[", "\\[").replace("]", "\\]")
