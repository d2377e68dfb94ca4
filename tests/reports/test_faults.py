"""Declared faults and what they struck in, words out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fault_report_runs import FAULTS, a_struck_run
from proofrig.checkers.injected import declared_of
from proofrig.reports import faults
from proofrig.reports.html import render as html
from proofrig.reports.junit import render as junit
from proofrig.reports.reading import cautions
from proofrig.results import FaultResult
from report_runs import a_run


def declared(**written: Any) -> FaultResult:
    return FaultResult(declared_of([{"kind": "reset"} | written])[0])


@pytest.mark.parametrize(
    ("on", "said"),
    [
        ({}, "whatever it can"),
        ({"at": "llm"}, "calls to models"),
        ({"at": ["llm", "egress"], "model": "gpt*"}, "calls to models and calls to other hosts"),
        ({"tool": ["refund", "send*"], "nth": 2}, "tool refund or send*, call 2"),
        ({"nth": [1, 3]}, "calls 1, 3"),
        ({"nth": {"from": 2, "to": 9, "every": 3}}, "calls from 2 to 9, one of 3"),
        ({"nth": {"from": 4}, "tenant": "acme"}, "tenant acme, calls from 4 on"),
    ],
)
def test_where_a_fault_strikes(on: dict[str, Any], said: str) -> None:
    assert faults.where(declared(on=on)).startswith(said)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, ""),
        ({"probability": 0.25, "times": 3}, "25.0 % of calls, at most 3 times a trial"),
        ({"when": {"after_s": 5}}, "from 5 s on of the trial"),
        (
            {"when": {"after_s": 5, "for_s": 10, "every_s": 30, "since": "run"}},
            "from 5 s on for 10 s every 30 s of the run",
        ),
    ],
)
def test_how_often_a_fault_strikes(written: dict[str, Any], said: str) -> None:
    assert faults.how_often(declared(**written)) == said


def test_a_name_of_its_own_stands_before_the_kind_and_only_its_own_settings_are_told() -> None:
    one = declared(name="cut", after_bytes=64, probability=0.5, on={"tool": "x"})
    assert (faults.title_of(one), faults.settings(one)) == ("cut (reset)", "after_bytes 64")
    assert faults.title_of(declared()) == "reset"


@pytest.mark.parametrize(
    ("attrs", "said"),
    [
        ({"fault": "x", "number": 0, "at": "llm", "nth": 2}, "call 2"),
        ({"lasts_ns": 800_000_000, "status": 429}, "lasts 800 ms, status 429"),
        ({"retry_after_s": 1.5, "wait_ns": 20_000_000}, "retry after 1.50 s, wait 20.0 ms"),
        ({"expired": True, "how": "", "rest": None}, "expired"),
        ({"text": "a\x1b[31mb\n" + "c" * 400}, "text a�[31mb c"),
    ],
)
def test_the_facts_of_a_strike_in_words(attrs: dict[str, Any], said: str) -> None:
    assert faults.facts(attrs).startswith(said)
    assert len(faults.facts(attrs)) <= 300


def test_a_run_without_faults_says_nothing(tmp_path: Path) -> None:
    report = a_run(tmp_path).report(0)
    assert faults.headline(report) == faults.caution(report) == ""
    assert 'class="faults"' not in html(report).decode()


def test_a_fault_that_never_fired_is_a_warning_in_every_form(tmp_path: Path) -> None:
    report = a_struck_run(tmp_path).report(0)
    said = faults.headline(report)
    assert said.startswith("4 of 5 faults struck, ") and said.endswith("; stall never fired")
    [caution] = [text for text in cautions(report) if "never fired" in text]
    assert "A fault never fired (stall): what is expected under it was not tested" in caution
    page = html(report).decode()
    assert '<span class="tag flaky">never fired</span>' in page and caution in page
    assert 'name="fault: stall" value="never fired"' in junit(report).decode()


def test_struck_trials_stand_beside_the_others(tmp_path: Path) -> None:
    report = a_struck_run(tmp_path).report(0)
    by_name = {one.fault.label: one for one in report.summary.faults}
    assert list(by_name) == [one.get("name", one["kind"]) for one in FAULTS]
    reset = by_name["reset"]
    assert reset.struck is not None and reset.spared is not None
    assert reset.struck.trials + reset.spared.trials == report.summary.overall.trials
    assert reset.strikes == reset.trials == reset.struck.trials == reset.at["tool"]
    assert f"reset: {reset.strikes}" not in junit(report).decode()
    assert faults.outcome(reset.struck) in junit(report).decode()
    assert faults.outcome(None) == "–"


def test_scheduled_times_are_handed_to_the_timeline(tmp_path: Path) -> None:
    report = a_struck_run(tmp_path).report(0)
    assert faults.windows(report) == [("slow-model", "trial", 0.3, 1.0, 2.0)]
    page = html(report).decode()
    assert '"windows":[["slow-model",0,3000,10000,20000]]' in page
