"""What reports say of runs that were recorded, and of replays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from proofrig.places import run_name, shortest
from proofrig.reports import reading, taping
from report_runs import MANIFEST, Recorder


def a_replay(cassette: Path, **more: Any) -> dict[str, Any]:
    usual = {"provider": "recorded", "mode": "strict", "timing": "instant", "tools": "remote"}
    return usual | {"cassette": str(cassette)} | more


def test_a_run_that_was_neither_says_nothing(tmp_path: Path) -> None:
    report = Recorder(tmp_path).report()
    assert (taping.said(report), taping.again(report), taping.commands(report, "s")) == ("", [], [])


def test_a_recorded_run_says_where_its_recording_is_and_how_it_replays(tmp_path: Path) -> None:
    run = Recorder(tmp_path / "runs" / "r-1", record=True)
    (run.dir / "cassette").mkdir(parents=True)
    report = run.report()
    assert taping.said(report) == "recorded"
    assert taping.commands(report, "desk") == [
        ("Recording", shortest(run.dir / "cassette")),
        ("Replay", f"proofrig run desk --replay {run_name(run.dir)}"),
    ]


def test_a_replay_names_its_recording_and_is_reproduced_as_one(tmp_path: Path) -> None:
    recorded = tmp_path / "runs" / "r-1"
    report = Recorder(tmp_path / "a", replay=a_replay(recorded / "cassette")).report()
    assert taping.said(report) == f"replay of {run_name(recorded)}, strict"
    assert f" --replay {run_name(recorded)} --seed 7" in reading.reproduce(report)
    loose = a_replay(tmp_path / "tape", mode="record_missing", timing="0.5", tools="all")
    report = Recorder(tmp_path / "b", replay=loose).report()
    assert taping.again(report) == [
        f"--replay {shortest(tmp_path / 'tape')}",
        "--mode record-missing",
        "--timing 0.5",
        "--replay-tools all",
    ]


def test_a_suite_that_names_its_recording_needs_no_option(tmp_path: Path) -> None:
    what = {**MANIFEST["what"], "model": a_replay(Path("tape"))}  # type: ignore[dict-item]
    report = Recorder(tmp_path, what=what).report()
    assert (taping.said(report), taping.again(report)) == ("replay of tape, strict", [])


def test_the_faults_of_the_command_line_are_part_of_what_is_reproduced(tmp_path: Path) -> None:
    report = Recorder(tmp_path, packs=["flaky-network", "hostile-data"], faultless=True).report()
    words = reading.reproduce(report, "a")
    assert " --faults flaky-network,hostile-data --no-faults --case a --seed 7" in words


def test_trials_that_left_the_recording_are_a_caution(tmp_path: Path) -> None:
    run = Recorder(tmp_path, replay=a_replay(tmp_path / "tape"))
    for repeat, failure in ((1, "agent"), (2, "diverged")):
        with run.trial("a", repeat, failure):
            pass
    (said,) = [text for text in reading.cautions(run.report()) if "recording" in text]
    assert said.startswith("1 trial asked what the recording does not hold")
