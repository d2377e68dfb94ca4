"""The faults as Markdown."""

from __future__ import annotations

from pathlib import Path

from fault_report_runs import a_struck_run
from proofrig.reports.markdown import render
from proofrig.reports.markdown_faults import ROWS, faults
from report_runs import MANIFEST, Recorder, a_run


def test_a_run_without_faults_has_no_section(tmp_path: Path) -> None:
    report = a_run(tmp_path, cases=2).report(0)
    assert faults(report) == []
    assert "Faults" not in render(report).decode()


def test_every_fault_has_its_row(tmp_path: Path) -> None:
    lines = faults(a_struck_run(tmp_path).report(0))
    rows = [line for line in lines if line.startswith("| `")]
    assert len(rows) == 5
    assert "| `slow-model (latency)` | calls to models; 30.0 % of calls" in rows[0]
    assert rows[4].startswith("| `stall` | whatever it can; 0.1 % of calls | ⚠️ never fired | – |")


def test_of_many_faults_the_first_are_shown_and_names_cannot_end_their_code(
    tmp_path: Path,
) -> None:
    declared = [{"kind": "reset", "name": f"a`|b{n}"} for n in range(ROWS + 3)]
    run = Recorder(tmp_path, what=MANIFEST["what"] | {"faults": declared})
    with run.trial("a") as trial:
        trial.llm("done")
    text = "\n".join(faults(run.report()))
    assert "and 3 more faults" in text
    assert "`a`|b" not in text
