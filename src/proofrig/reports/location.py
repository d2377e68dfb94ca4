"""Where the thing stands that a report points at: a case in its file, all else in the suite's.

Rules:
1. A file is named as its repository names it, because those who read it (annotations, code
   scanning) know nothing else.
2. A case of which the line is not known, as one built in Python, stands where its suite begins.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from proofrig.places import in_repository
from proofrig.reports.report import RunReport


class Location(NamedTuple):
    """A line of a file, from 1. `file` is "" where none is known."""

    file: str
    line: int


def of_case(report: RunReport, case: str) -> Location:
    """Where a case was written."""
    fact = report.facts.get(case)
    return Location(fact.file, fact.line) if fact and fact.file else of_suite(report)


def of_suite(report: RunReport) -> Location:
    """Where the suite begins."""
    path = str(report.manifest.get("suite_path", ""))
    return Location(in_repository(Path(path)) if path else "", 1)
