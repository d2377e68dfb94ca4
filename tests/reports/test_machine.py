"""A run in, a JSON document out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compared_report_runs import a_compared_run, regressed
from contention_report_runs import a_contended_run
from proofrig.reports import machine
from report_runs import Recorder, a_run, a_trend


def test_every_key_is_documented_and_there(tmp_path: Path) -> None:
    report = a_run(tmp_path, cases=3, repeats=2).report(1, fail_under=99, trend=a_trend([0.5]))
    document = json.loads(machine.render(report))
    assert document["schema"] == "proofrig.report/1"
    for key in document:
        assert f"    {key}" in machine.__doc__ or f", {key}" in machine.__doc__, key
    assert document["gates"][0]["rule"] == "pass rate >= 99 %"
    assert document["verdict"]["word"] == "Failed"
    assert document["trend"][0]["rate"] == 0.5
    assert document["facts"]["refund_01"] == {"difficulty": "easy", "tags": ["refund", "orders"]}


def test_defaults_are_written_and_what_was_not_measured_is_null(tmp_path: Path) -> None:
    run = Recorder(tmp_path, repeats=1)
    with run.trial("a", 1, "infra", error="no route"):
        pass
    document = json.loads(machine.render(run.report(6)))
    overall, trial = document["summary"]["overall"], document["trials"][0]
    assert (overall["rate"], overall["measured"], overall["null_passed"]) == (None, 0, None)
    assert overall["pass_hat"] == {}
    assert (trial["passed"], trial["failure"], trial["usd_micro"]) == (None, "infra", 0)


def test_a_run_in_which_nothing_ran_is_a_document(tmp_path: Path) -> None:
    document = json.loads(machine.render(Recorder(tmp_path).report(5)))
    assert (document["trials"], document["exit_code"]) == ([], 5)


def test_scenarios_are_whole_and_can_be_run_again(tmp_path: Path) -> None:
    found = machine.document(a_contended_run(tmp_path / "runs" / "r").report())
    scenario = found["summary"]["scenarios"][2]
    assert scenario["checked"][0]["found"] == 14 and len(scenario["checked"][0]["findings"]) == 11
    witness = scenario["checked"][0]["findings"][0]["witness"]
    assert [one["trial"] for one in witness] == [
        "stock_count@interleaved:2",
        "refund@interleaved:3",
    ]
    assert found["reproduce"]["burst"].endswith("--scenario burst --agents 24 --tenants 3 --seed 7")
    assert found["verdict"]["why"].startswith("in 4 of 5 scenarios")


def test_a_comparison_is_whole_and_null_without_a_baseline(tmp_path: Path) -> None:
    report = a_compared_run(tmp_path / "a", regressed())
    found = json.loads(machine.render(report))
    held = found["comparison"]
    assert (held["verdict"], held["base"], held["repeats_needed"]) == ("regressed", "main", None)
    first, *_, last = held["effects"]
    assert (first["change"]["estimate"], first["blocks"]) == (pytest.approx(-0.121), True)
    assert (last["now"], last["change"], last["p"]) == (0.031, None, None)
    wide = next(one for one in held["effects"] if one["metric"] == "p95(duration)")
    assert wide["change"]["high"] is None  # unbounded
    assert held["terms"]["margin"] == 0.05 and held["broken"][0]["broken"] is True
    assert len(found["flaky"]) == 7
    assert json.loads(machine.render(a_run(tmp_path / "b").report(0)))["comparison"] is None


def test_gates_have_all_their_numbers(tmp_path: Path) -> None:
    report = a_run(tmp_path, cases=3, repeats=2).report(1, fail_under=99)
    gate = json.loads(machine.render(report))["gates"][0]
    assert (gate["figure"], gate["bound"], gate["evidence"]) == ("accuracy", 0.99, [])
    assert gate["low"] < gate["value"] < gate["high"] and gate["baseline"] is None
