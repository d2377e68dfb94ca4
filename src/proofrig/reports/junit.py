"""The JUnit XML report: one testcase per case, its repeats inside it, then one
per checker of each scenario; the gates are a suite of their own.

Rules:
1. A case passes when all its measured repeats passed, fails (`<failure>`: agent, timeout, limit)
   when none did, and is an `<error>` (infra, harness) when none was measured. One of which some
   passed and some did not is flaky, in Maven Surefire's form: a `<flakyFailure>` for each repeat
   that failed, which counts as passed and is named apart; whether that is enough, a gate says.
2. Names are stable from run to run: classname is the suite, name the case id. Repeats, pass counts,
   pass^k, cost and flakiness are properties.
3. Gates are properties of the suite too; the exit code decides, not this file.
4. The XML is valid whatever the agent wrote: characters that XML does not allow are replaced.
"""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from proofrig.reports import junit_contention, taping
from proofrig.reports.authority import headline
from proofrig.reports.contention import kinds_of
from proofrig.reports.faults import faults_of, outcome, strikes
from proofrig.reports.junit_gates import add_gates
from proofrig.reports.reading import (
    CaseResult,
    cases_of,
    failing_verdict,
    flaky_of,
    reproduce,
    some,
    verdict_of,
    why,
)
from proofrig.reports.report import RunReport
from proofrig.reports.words import clean, cut
from proofrig.results import Row

_SECOND_NS = 1e9
_TEXT = 1_000


def render(report: RunReport) -> bytes:
    """The report as XML, UTF-8 with its declaration."""
    cases = cases_of(report)
    counts = {
        "tests": len(cases),
        "failures": sum(case.state == "failed" and not case.flaky for case in cases),
        "errors": sum(case.state == "unmeasured" for case in cases),
        "skipped": 0,
    }
    counts = {key: count + junit_contention.counts(report)[key] for key, count in counts.items()}
    given = {name: str(count) for name, count in counts.items()}
    given["time"] = f"{report.duration_ns / _SECOND_NS:.3f}"
    name = clean(report.suite) or "proofrig"
    root = ET.Element("testsuites", {"name": "proofrig"} | given)
    suite = ET.SubElement(root, "testsuite", {"name": name} | given)
    if started := report.manifest.get("started_ns"):
        suite.set("timestamp", f"{datetime.fromtimestamp(started / 1e9, UTC):%Y-%m-%dT%H:%M:%S}")
    _properties(suite, _suite_properties(report))
    for case in cases:
        _testcase(suite, name, case, report)
    junit_contention.add_checkers(suite, name, report)
    for key, count in add_gates(root, name, report).items():
        root.set(key, str(int(root.get(key, "0")) + count))
    ET.indent(root)
    xml: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return xml + b"\n"


def _suite_properties(report: RunReport) -> dict[str, object]:
    verdict, overall = verdict_of(report), report.summary.overall
    found: dict[str, object] = {
        "run": report.run,
        "verdict": f"{verdict.word}: {verdict.says}",
        "exit_code": report.exit_code,
        "seed": report.manifest.get("seed", ""),
        "trials": overall.trials,
        "measured": overall.measured,
        "passed": overall.passed,
        "cost_usd": f"{overall.usd_micro / 1e6:.6f}",
    }
    if flaky := flaky_of(report):
        found["flaky"] = some([case.id for case in flaky], 20)
    if said := headline(report):
        found["authority"] = said
    if said := taping.said(report):
        found["recording"] = said
    for one in faults_of(report):
        struck = f": {outcome(one.struck)}" if one.struck is not None else ""
        found[f"fault: {one.fault.label}"] = f"{strikes(one)}{struck}"
    for kind in kinds_of(report):
        if "" in kind.scenarios:  # of no scenario: no testcase stands for it, and no gate
            found[f"anomaly: {kind.name}"] = kind.count
    for gate in report.gates:
        found[f"gate: {gate.rule}"] = f"{gate.state}: {gate.message}"
    return found


def _testcase(suite: ET.Element, name: str, case: CaseResult, report: RunReport) -> None:
    score = case.score
    seconds = sum(row.duration_ns for row in case.rows) / _SECOND_NS
    test = ET.SubElement(
        suite, "testcase", classname=name, name=clean(case.id), time=f"{seconds:.3f}"
    )
    hat = score.pass_hat.get(str(score.k))
    _properties(
        test,
        {
            "repeats": score.trials,
            "measured": score.measured,
            "passed": score.passed,
            f"pass^{score.k}": "not measured" if hat is None else f"{hat:.4f}",
            "flaky": str(case.flaky).lower(),
            "cost_usd": f"{score.usd_micro / 1e6:.6f}",
            "tokens": score.tokens,
        },
    )
    if case.state == "passed":
        return
    if case.flaky:
        _flaky(test, case, report)
        return
    failed = case.state == "failed"
    missed = [row for row in case.rows if row.passed is (False if failed else None)]
    kinds = [row.failure for row in missed if row.failure]
    message = f"{score.passed} of {score.measured} repeats passed"
    if not failed:
        message = f"none of {score.trials} repeats was measured"
    problem = ET.SubElement(
        test,
        "failure" if failed else "error",
        message=f"{message}: {why(missed[0])}",
        type=max(sorted(set(kinds)), key=kinds.count, default="agent" if failed else "infra"),
    )
    told = "\n\n".join(_told(row) for row in missed[:10])
    more = f"\n\nand {len(missed) - 10} more" if len(missed) > 10 else ""
    problem.text = f"{told}{more}\n\nreproduce: {clean(reproduce(report, case.id))}"


def _flaky(test: ET.Element, case: CaseResult, report: RunReport) -> None:
    """A `<flakyFailure>` for each repeat that failed."""
    said = f"{case.score.passed} of {case.score.measured} repeats passed"
    for row in [row for row in case.rows if row.passed is False][:10]:
        kind, message = row.failure or "agent", f"{said}: {why(row)}"
        one = ET.SubElement(test, "flakyFailure", message=message, type=kind)
        again = f"reproduce: {clean(reproduce(report, case.id))}"
        ET.SubElement(one, "stackTrace").text = f"{_told(row)}\n\n{again}"


def _told(row: Row) -> str:
    """A repeat that did not pass: class, reason, expected and got."""
    lines = [f"repeat {row.repeat} ({clean(row.trial)}): {row.failure or 'failed'}"]
    lines += [f"  error: {cut(row.error, _TEXT)}"] if row.error else []
    if verdict := failing_verdict(row):
        lines.append(f"  {clean(verdict['verifier'])}")
        sides = [side for side in ("expected", "got", "why") if verdict[side]]
        lines += [f"    {side}: {cut(verdict[side], _TEXT)}" for side in sides]
    return "\n".join(lines)


def _properties(parent: ET.Element, values: dict[str, object]) -> None:
    holder = ET.SubElement(parent, "properties")
    for name, value in values.items():
        ET.SubElement(holder, "property", name=clean(name), value=clean(str(value)))
