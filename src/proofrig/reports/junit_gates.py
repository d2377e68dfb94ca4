"""The gates as JUnit: a suite of their own, and in it the cases that broke since the baseline.

Rules:
1. classname is the suite's with `.gates`, name the gate as written: stable from run to run. A case
   that broke has the classname `.gates.broken`.
2. A gate that failed is a `<failure>`, one that is inconclusive is `<skipped>`: it neither passed
   nor failed. Its evidence is the text.
"""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree as ET

from proofrig.comparisons.comparison import CaseChange
from proofrig.comparisons.gate import GateResult
from proofrig.reports import comparison as shown
from proofrig.reports import gates
from proofrig.reports.reading import reproduce
from proofrig.reports.report import RunReport
from proofrig.reports.words import clean, line

MOST = 200  # broken cases


def add_gates(root: ET.Element, name: str, report: RunReport) -> dict[str, int]:
    """Add the suite of the gates below `root`; how many testcases it has, by outcome. Nothing is
    added without any."""
    broken = shown.cases_of(report.comparison).broken if report.comparison else []
    counts = _counts(report.gates, broken[:MOST])
    if not counts["tests"]:
        return counts
    given = {key: str(count) for key, count in counts.items()}
    suite = ET.SubElement(root, "testsuite", {"name": f"{name}.gates"} | given | {"time": "0.000"})
    seen: Counter[str] = Counter()
    for gate in report.gates:
        _gate(suite, name, gate, seen)
    for one in broken[:MOST]:
        _broken(suite, name, one, report)
    return counts


def _counts(found: list[GateResult], broken: list[CaseChange]) -> dict[str, int]:
    states = Counter(gate.state for gate in found)
    return {
        "tests": len(found) + len(broken),
        "failures": states["fail"] + len(broken),
        "errors": 0,
        "skipped": states["inconclusive"],
    }


def _gate(suite: ET.Element, name: str, gate: GateResult, seen: Counter[str]) -> None:
    rule = clean(gates.rule(gate))
    seen[rule] += 1
    rule += f" #{seen[rule]}" if seen[rule] > 1 else ""
    test = ET.SubElement(suite, "testcase", classname=f"{name}.gates", name=rule, time="0.000")
    if gate.state == "pass":
        return
    message = line(gate.message, 400)
    if gate.state == "inconclusive":
        ET.SubElement(test, "skipped", message=f"inconclusive: {message}")
        return
    problem = ET.SubElement(test, "failure", message=message, type="gate")
    problem.text = "\n".join([message, *(line(text, 400) for text in gate.evidence)])


def _broken(suite: ET.Element, name: str, one: CaseChange, report: RunReport) -> None:
    classname = f"{name}.gates.broken"
    test = ET.SubElement(suite, "testcase", classname=classname, name=clean(one.case), time="0.000")
    before, after = shown.counts(one)
    base = shown.base_of(report.comparison) if report.comparison else ""
    said = f"{before} passed in {base}, {after} now ({shown.p_value(one.p)})"
    problem = ET.SubElement(test, "failure", message=clean(said), type="broken")
    problem.text = (
        f"{clean(said)}\n\nreproduce: {clean(reproduce(report, shown.case_id(one.case)))}"
    )
