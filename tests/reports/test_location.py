"""Where what a report points at stands."""

from __future__ import annotations

from pathlib import Path

from proofrig.reports.location import Location, of_case, of_suite
from proofrig.results import CaseFacts
from report_runs import Recorder


def test_a_case_stands_where_it_was_written_else_where_its_suite_begins(tmp_path: Path) -> None:
    run = Recorder(tmp_path, suite_path="suites/desk.py")
    for case, facts in (("a", CaseFacts("a", file="desk/a.yaml", line=7)), ("b", CaseFacts("b"))):
        with run.trial(case, 1, facts=facts):
            pass
    report = run.report()
    assert of_case(report, "a") == Location("desk/a.yaml", 7)
    assert of_case(report, "b") == of_case(report, "of no case") == of_suite(report)
    assert of_suite(report) == ("suites/desk.py", 1)
    assert of_suite(Recorder(tmp_path / "other", suite_path="").report()) == ("", 1)
