"""Reports without their clocks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from proofrig.reports import canonical
from report_runs import a_run, a_trend


def read(folder: Path, cases: int = 4, **changes: Any) -> dict[str, Any]:
    run = a_run(folder, cases=cases, repeats=2)
    report = replace(run.report(0, trend=a_trend([0.5])), **changes)
    found: dict[str, Any] = json.loads(canonical.render(report))
    return found


def test_runs_that_came_to_the_same_are_the_same_text(tmp_path: Path) -> None:
    one = read(tmp_path / "one")
    two = read(tmp_path / "two", run="20990101-000000-desk-ffff", duration_ns=99, trend=[])
    assert one == two
    assert read(tmp_path / "other", cases=3) != one


def test_what_is_no_clock_is_kept(tmp_path: Path) -> None:
    said = read(tmp_path)
    assert {"verdict", "gates", "summary", "trials", "manifest", "problems"} <= said.keys()
    assert [row["trial"] for row in said["trials"]] == sorted(
        row["trial"] for row in said["trials"]
    )
    overall = said["summary"]["overall"]
    assert overall["trials"] == 8 and "rate" in overall and "usd_micro" in overall


def _names(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(_names, value.values()))
    return set().union(*map(_names, value)) if isinstance(value, list) else set()


def test_no_clock_is_left(tmp_path: Path) -> None:
    names = _names(read(tmp_path))
    assert {name for name in names if name.endswith("_ns")} == set()
    assert names & canonical.RUN_FIELDS == set()
