"""The checkers of the scenarios as JUnit testcases.

Rules:
1. classname is the suite and the scenario, name the checker: stable from run to run.
2. A checker that found something is a `<failure>` with its evidence and the command. One that the
   scenario is about and that could not tell is an `<error>`; one in doubt with the launch is
   `<skipped>`. One that was not exercised is no testcase.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from proofrig.checkers.checker import Checked
from proofrig.reports.contention import exposure, kinds_of, title_of, told_by
from proofrig.reports.reading import reproduce
from proofrig.reports.report import RunReport
from proofrig.reports.words import clean, duration, line
from proofrig.results import ScenarioResult

_FINDINGS, _WITNESS = 10, 12


def counts(report: RunReport) -> dict[str, int]:
    """How many testcases there are, by outcome."""
    found = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for scenario in report.summary.scenarios:
        by = told_by(scenario)
        told = by.told
        found["tests"] += len(told) + len(by.doubted)
        found["failures"] += sum(one.verdict == "invalid" for one in told)
        found["errors"] += sum(one.verdict == "unknown" for one in told)
        found["skipped"] += len(by.doubted)
    return found


def add_checkers(suite: ET.Element, name: str, report: RunReport) -> None:
    """Add a testcase per scenario and checker that was exercised in it."""
    texts = _texts(report)
    for scenario in report.summary.scenarios:
        by = told_by(scenario)
        for one in scenario.checked:
            if one in by.idle:
                continue
            test = ET.SubElement(
                suite,
                "testcase",
                classname=f"{name}.{clean(scenario.name)}",
                name=clean(one.checker),
                time="0.000",
            )
            _properties(test, one)
            if one.verdict == "valid":
                continue
            tag = (
                "failure" if one.verdict == "invalid" else "error" if one in by.told else "skipped"
            )
            problem = ET.SubElement(test, tag, message=line(one.says, 300))
            if tag != "skipped":
                kinds = [finding.kind for finding in one.findings]
                problem.set("type", clean(kinds[0]) if kinds else "unknown")
                parts = texts.get((scenario.name, one.checker), [])
                problem.text = _text(report, scenario, one, parts)


def _text(report: RunReport, scenario: ScenarioResult, one: Checked, parts: list[str]) -> str:
    more = max(one.found, len(parts)) - min(_FINDINGS, len(parts))
    shown = [*parts[:_FINDINGS], *([f"and {more:,} more"] if more else [])]
    again = f"reproduce: {clean(reproduce(report, scenario=scenario))}"
    return "\n\n".join([*(shown or [line(one.says, 1_000)]), again])


def _texts(report: RunReport) -> dict[tuple[str, str], list[str]]:
    """The findings as text by scenario and checker."""
    found: dict[tuple[str, str], list[str]] = {}
    for kind in kinds_of(report):
        for shown in kind.shown:
            lines = [f"{shown.number}. {title_of(kind.name)}: {line(shown.finding.says, 1_000)}"]
            for one in shown.witness(_WITNESS):
                if one is None:
                    lines.append(f"   {len(shown.finding.witness) - _WITNESS:,} more between")
                    continue
                who = " ".join(part for part in (one.trial, one.tenant, one.name) if part)
                at = duration(one.t - shown.began_ns)
                lines.append(f"   +{at}  {clean(who)}: {line(one.says, 400)}")
            found.setdefault((shown.scenario, shown.checker), []).append("\n".join(lines))
    return found


def _properties(test: ET.Element, one: Checked) -> None:
    if not one.exposure and not one.measures:
        return
    holder = ET.SubElement(test, "properties")
    if one.exposure:
        ET.SubElement(holder, "property", name="looked at", value=clean(exposure(one)))
    for name, value in one.measures.items():
        ET.SubElement(holder, "property", name=clean(name), value=f"{value:g}")
