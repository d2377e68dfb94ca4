"""What a reviewer should see beside the code: workflow commands for GitHub's log, as `::error ...`.

    ::error file=suites/shop.yaml,line=41,title=refund/late: 1 of 4 passed::contains: expected ...

Rules:
1. GitHub shows ten annotations of a level and a step, and drops the others without a word: so at
   most `MOST` of a level are written, and the last of them says how many there are besides.
2. What decides comes first: failed gates, then cases that a comparison shows broken, then findings,
   then cases that did not pass.
3. A case that did not pass is an error where the run failed, else a warning.
4. Text of agents never begins a command or ends one: it is cleaned, and escaped as the runner reads
   it (`%`, CR and LF; in properties `:` and `,` too).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from proofrig.reports import comparison, contention, location
from proofrig.reports.location import Location
from proofrig.reports.reading import CaseResult, cases_of, reproduce, why, worst_first
from proofrig.reports.report import RunReport
from proofrig.reports.words import line, plural
from proofrig.results import case_of

Level = Literal["error", "warning"]
MOST = 10
_TITLE, _TEXT = 160, 500
_FAILED = 1  # the exit code of a run that did not pass


class _Annotation(NamedTuple):
    level: Level
    place: Location
    title: str
    text: str


def render(report: RunReport) -> bytes:
    """The annotations, one a line, UTF-8; nothing for a run of which there is nothing to say."""
    found = list(_all(report))
    lines: list[str] = []
    for level in ("error", "warning"):
        mine = [one for one in found if one.level == level]
        shown = mine if len(mine) <= MOST else mine[: MOST - 1]
        lines += [_command(one.level, one.place, one.title, one.text) for one in shown]
        if more := len(mine) - len(shown):
            title = f"{plural(more, 'more ' + level)} of this run"
            text = "The report has all of them; GitHub shows ten."
            lines.append(_command(level, location.of_suite(report), title, text))
    return "".join(f"{text}\n" for text in lines).encode()


def escaped(text: str) -> str:
    """Text as the message of a command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escaped_property(text: str) -> str:
    """Text as a property of a command."""
    return escaped(text).replace(":", "%3A").replace(",", "%2C")


def _command(level: str, place: Location, title: str, text: str) -> str:
    given = {"file": place.file, "line": str(max(1, place.line))} if place.file else {}
    given["title"] = line(title, _TITLE)
    said = ",".join(f"{name}={escaped_property(value)}" for name, value in given.items())
    return f"::{level} {said}::{escaped(text)}"


def _all(report: RunReport) -> Iterator[_Annotation]:
    levels: dict[str, Level] = {"fail": "error", "inconclusive": "warning"}
    for gate in report.gates:
        if level := levels.get(gate.state):
            verb = "failed" if level == "error" else "could not be told"
            title = f"Gate {verb}: {gate.rule}"
            yield _Annotation(level, location.of_suite(report), title, line(gate.message, _TEXT))
    broken = list(_broken(report))
    yield from (one for _, one in broken)
    yield from _findings(report)
    named = {case for case, _ in broken}
    for case in worst_first(cases_of(report)):
        if case.id not in named:
            yield _missed(case, report)


def _broken(report: RunReport) -> Iterator[tuple[str, _Annotation]]:
    held = report.comparison
    if held is None:
        return
    for one in comparison.cases_of(held).broken:
        before, after = comparison.counts(one)
        text = f"{before} passed in {comparison.base_of(held)}, {after} now"
        text += f" ({comparison.p_value(one.p)})\n{reproduce(report, one.case)}"
        place = location.of_case(report, one.case)
        yield one.case, _Annotation("error", place, f"Broken: {one.case}", text)


def _findings(report: RunReport) -> Iterator[_Annotation]:
    """One of each kind; those of a run without scenarios decide nothing, and only warn."""
    for kind in contention.kinds_of(report):
        first = kind.shown[0]
        trials = first.finding.trials
        place = location.of_case(report, case_of(trials[-1]) if trials else "")
        text = line(first.finding.says, _TEXT) + (f"\n{kind.advice}" if kind.advice else "")
        level: Level = "error" if first.scenario and report.exit_code == _FAILED else "warning"
        yield _Annotation(level, place, f"{kind.title}: {kind.found_in}", text)


def _missed(case: CaseResult, report: RunReport) -> _Annotation:
    failed = case.state == "failed"
    score = case.score
    passed = f"{score.passed} of {score.measured} passed{', flaky' if case.flaky else ''}"
    title = f"{case.id}: {passed if failed else 'not measured'}"
    said = why(case.first, _TEXT) if case.first else ""
    text = "\n".join(part for part in (said, reproduce(report, case.id)) if part)
    level: Level = "error" if failed and report.exit_code == _FAILED else "warning"
    return _Annotation(level, location.of_case(report, case.id), title, text)
