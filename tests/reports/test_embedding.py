"""A run in, the data of a page out, under a budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from contention_report_runs import a_contended_run
from proofrig.reports.embedding import MOST, allowance, embed, to_json
from proofrig.reports.report import RunReport
from report_runs import Recorder, a_run


def data_of(report: RunReport, taken: int = 50_000) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(embed(report, taken).json)
    return found


def test_the_allowance_is_a_megabyte_per_thousand_trials_with_an_end() -> None:
    sizes = [allowance(trials) for trials in (1, 1_000, 2_500, 10**6)]
    assert sizes == [1_000_000, 1_000_000, 2_500_000, MOST]


def test_everything_of_a_small_run_is_in(tmp_path: Path) -> None:
    report = a_run(tmp_path, cases=4, repeats=2).report()
    embedded = embed(report, 50_000)
    data = json.loads(embedded.json)
    assert embedded.left_out == []
    assert len(data["trials"]) == len(data["lanes"]) == len(data["traces"]) == 4 * 2 + 8
    assert {case["difficulty"] for case in data["cases"]} == {"easy", "medium", "hard"}
    assert data["command"] == "proofrig run 'suites/support desk.yaml'"


def test_a_trial_carries_its_outcome_and_its_numbers(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    with run.trial("a", 3, "timeout", error="too slow") as trial:
        trial.llm("x", ms=99)
        trial.tool("f", {}, "", deny="cap")
    (trial_row,) = data_of(run.report())["trials"]
    cost, tokens = trial_row[6:8]
    assert trial_row == [
        *("a:3", 0, 3, "", 1, "timeout", cost, tokens),
        *(1_000, 1, 0, 1, 0, "timeout: too slow"),
    ]
    assert (cost, tokens) == (595, 475)


def test_bars_are_in_ticks_from_their_lane(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    with run.trial("a", 1, at=2_000_000) as trial:
        trial.llm("x", ms=30, queue_ms=10)
    assert data_of(run.report())["lanes"] == [["a:1", 20, 410, 0, [0, 100, 300, 400, 0], []]]


def test_when_room_is_short_failed_trials_of_every_case_keep_their_traces(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    for case in ("a", "b"):
        for repeat in range(1, 40):
            with run.trial(case, repeat, "agent" if repeat > 37 else "") as trial:
                trial.llm("w" * 900, asked="q" * 900)
    report = run.report()
    embedded = embed(report, 980_000 - 45_000)
    kept = list(json.loads(embedded.json)["traces"])
    assert kept[:4] == ["a:38", "b:38", "a:39", "b:39"]
    assert 4 < len(kept) < 78
    assert len(embedded.json.encode()) <= 45_000
    assert f"Traces: {len(kept)} of 78 trials" in embedded.left_out[-1]


def test_the_json_cannot_end_its_script_element() -> None:
    evil = "</script><!--<script>&amp;\u2028"
    text = to_json({"a": evil})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": evil}


def test_what_is_said_again_in_later_turns_is_in_once(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    with run.trial("a", 1) as trial:
        trial.llm("", asked="the task")
        trial.tool("f", {}, "the result")
        trial.llm("", asked="the result")
    steps = data_of(run.report())["traces"]["a:1"]["steps"]
    heard = [[said["text"] for said in step.get("heard", [])] for step in steps]
    assert heard == [["You are a support agent.", "the task"], [], []]


def test_scenarios_have_their_time_phases_marks_and_command(tmp_path: Path) -> None:
    data = data_of(a_contended_run(tmp_path).report())
    names = [scene[0] for scene in data["scenes"]]
    assert names == ["sequential", "tenant_probe", "interleaved", "burst", "long_stream"]
    _, begin, end, verdict, command, phases, marks = data["scenes"][3]
    assert begin < end and verdict == "invalid" and "--scenario burst" in command
    assert [phase[0] for phase in phases] == ["launch", "drain"] and marks == []
    kinds = [mark[2:] for mark in data["scenes"][2][6]]
    assert ["kill", "killed after write"] in kinds
    assert ["lock_expired", "its lock stock/12 expired and was freed"] in kinds


def test_trials_in_findings_keep_their_traces_before_failed_ones(tmp_path: Path) -> None:
    report = a_contended_run(tmp_path).report()
    embedded = embed(report, 980_000 - 60_000)
    data = json.loads(embedded.json)
    evident = {flag[0] for flag in data["flags"]}
    kept = list(data["traces"])
    assert 4 < len(kept) < len(report.rows)
    assert set(kept[: len(evident)]) <= evident
    assert "those in findings and failed ones first" in embedded.left_out[-1]
