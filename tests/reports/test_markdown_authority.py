"""The authority as Markdown."""

from __future__ import annotations

from pathlib import Path

from authority_report_runs import a_ruled_run
from proofrig.reports.junit import render as junit
from proofrig.reports.markdown import render
from proofrig.reports.markdown_authority import ROWS, authority
from report_runs import Recorder, a_run

SAID = "9 of 93 actions, 3 asked (1 approved, 1 refused, 1 not answered in time)"


def test_a_run_of_which_nothing_is_to_tell_has_no_section(tmp_path: Path) -> None:
    report = a_run(tmp_path, cases=0).report(0)
    assert authority(report) == []
    assert "Authority" not in render(report).decode()


def test_every_row_says_who_decided(tmp_path: Path) -> None:
    text = render(a_ruled_run(tmp_path).report(0)).decode()
    assert f"Denied {SAID}." in text
    assert "| denied | rule tests-are-read-only | 3 | 3 | `tool.write_file 3` |" in text
    assert "- Charged partial: $0.0018 over 3 actions" in text


def test_shadow_mode_has_what_it_cost(tmp_path: Path) -> None:
    text = render(a_ruled_run(tmp_path, "shadow").report(0)).decode()
    assert "(shadow mode: nothing was refused)" in text
    row = next(line for line in text.splitlines() if line.startswith("| would be denied | budget"))
    assert row.endswith("| $0.0018 |")


def test_of_many_rows_the_first_are_shown_and_names_cannot_end_their_code(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    with run.trial("a") as trial:
        for n in range(ROWS + 4):
            reserve = {"decision": "deny", "rule": f"r{n}", "code": "forbidden", "fix": "x"}
            trial.tool("a`|b\n## c", {}, "", reserve=reserve)
    text = render(run.report(0)).decode()
    assert "and 4 more rows" in text
    assert "\n## c" not in text


def test_junit_says_it_among_the_properties_of_the_suite(tmp_path: Path) -> None:
    xml = junit(a_ruled_run(tmp_path).report(0)).decode()
    assert f'<property name="authority" value="denied {SAID}" />' in xml
    assert '<property name="anomaly: repeat_stopped" value="3" />' in xml
