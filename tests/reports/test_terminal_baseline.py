"""What a person reads of baselines."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from proofrig.comparisons.sample import Sample, TrialSample
from proofrig.reports.console import make_console
from proofrig.reports.terminal_baseline import print_baseline, print_baselines
from proofrig.store import BaselineRecord

SHA = "1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d"
EVIL = "\x1b[31m\u202ered"


def printed(function: Callable[..., None], given: object, width: int = 100) -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n")
    function(make_console(file, width=width), given)
    file.seek(0)
    return [line.rstrip() for line in file.read().splitlines()]


def words(lines: list[str]) -> list[str]:
    return [" ".join(line.split()) for line in lines]


def record(run: str, **more: Any) -> BaselineRecord:
    told: dict[str, Any] = {"suite": "desk", "suite_digest": "d", "branch": "main", "cases": 2}
    told |= {"saved_ns": 1, "measured": 4, "passed": 3}
    return BaselineRecord(run=run, **told | more)


def test_each_baseline_says_where_it_is_from_and_who_kept_it() -> None:
    staged = {"scenarios": ("", "burst"), "conditions": "agents 32"}
    records = [
        record("20260301-120000-desk-ab12", commit=f"{SHA}-dirty", pinned=True),
        record("20260228-desk-cd34", branch="release", measured=0, passed=0, **staged),
    ]
    head, rule, first, *second = words(printed(print_baselines, records))
    assert head == "Branch Run Commit Of Pass rate Kept"
    assert set(rule) == {"─"}
    assert first == "main 20260301-120000-desk-ab12 1a2b3c4d-dirty 2 cases 75.0 % pinned"
    said = " ".join(second)
    for part in ("release", "2 cases, the plain", "plan, burst,", "agents 32", "not measured"):
        assert part in said
    assert "auto" in said


def test_without_a_baseline_the_next_step_is_said() -> None:
    assert "proofrig baseline set RUN" in printed(print_baselines, [])[0]


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_tables_fit_the_width(width: int) -> None:
    long = record("20260301-120000-" + "desk" * 12, branch="fix/" + "x" * 80, commit=SHA)
    lines = printed(print_baselines, [long], width)
    lines += printed(print_baseline, sample(branch="fix/" + "x" * 80), width)
    assert max(len(line) for line in lines) <= min(width, 100)


def sample(**more: Any) -> Sample:
    trials = [
        TrialSample(case=case, passed=passed)
        for case, outcomes in {"good": [True, True], "bad": [False, True, None]}.items()
        for passed in outcomes
    ]
    told: dict[str, Any] = {"suite": "desk", "suite_digest": "d" * 64, "runs": ["r-1", "r-2"]}
    told |= {"branch": "main", "commit": SHA, "cases": {"good": "1", "bad": "2"}, "trials": trials}
    return Sample(**told | more)


def test_a_baseline_shows_its_runs_and_its_worst_cases_first() -> None:
    lines = words(printed(print_baseline, sample()))
    assert set(lines.pop(8)) == {"─"}
    assert lines == [
        "Baseline of desk 75.0 % (3 of 4 measured trials)",
        "Runs r-1",
        "r-2",
        "Code main at 1a2b3c4d",
        "Suite 2 cases, digest dddddddddddd",
        "Trials 5, 1 not measured",
        "",
        "Case Passed Not measured",
        "bad 1 of 2 1",
        "good 2 of 2 -",
    ]


def test_many_runs_are_counted_and_the_latest_named() -> None:
    lines = words(printed(print_baseline, sample(runs=[f"r-{n}" for n in range(20)])))
    assert lines[1:8] == [
        *("Runs r-14", "r-15", "r-16", "r-17", "r-18", "r-19"),
        "and 14 earlier runs",
    ]


def test_scenarios_stand_beside_their_cases() -> None:
    trials = [TrialSample(case="a", scenario=name, passed=True) for name in ("", "burst")]
    lines = words(printed(print_baseline, sample(trials=trials)))
    assert lines[-4] == "Scenario Case Passed Not measured"
    assert lines[-2:] == ["- a 1 of 1 -", "burst a 1 of 1 -"]


def test_what_is_not_known_is_said() -> None:
    lines = words(printed(print_baseline, sample(branch="", commit="", trials=[])))
    assert lines[0] == "Baseline of desk not measured"
    assert "Code not known" in lines


def test_text_from_elsewhere_cannot_move_the_cursor() -> None:
    trials = [TrialSample(case=EVIL, passed=True)]
    evil = sample(suite=EVIL, runs=[EVIL], branch=EVIL, commit=EVIL, trials=trials)
    lines = printed(print_baseline, evil)
    lines += printed(print_baselines, [record(EVIL, branch=EVIL, commit=EVIL, conditions=EVIL)])
    assert "\x1b" not in "".join(lines) and "\u202e" not in "".join(lines)
