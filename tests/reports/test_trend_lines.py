"""What a store keeps in, the lines of a trend out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from proofrig.comparisons.gate import GateResult
from proofrig.errors import UsageError
from proofrig.reports.trend_lines import Stored, lines_of
from proofrig.store import Point as Kept
from proofrig.store import RunRecord

Figures = Mapping[tuple[str, str], list[float]]


def kept(figures: Figures) -> dict[tuple[str, str], list[Kept]]:
    return {
        (scenario, name): [
            Kept(
                run=f"r{n}", scenario=scenario, name=name, value=value, started_ns=n, branch="main"
            )
            for n, value in enumerate(values)
        ]
        for (scenario, name), values in figures.items()
    }


def stored(figures: Figures, **more: Any) -> Stored:
    return Stored(measured=kept(figures), run_again="proofrig run desk", **more)


def test_the_four_lines_are_there_even_when_nothing_was_measured() -> None:
    lines = lines_of(stored({}))
    assert [(one.called, one.todo, len(one.points)) for one in lines] == [
        ("Accuracy", "proofrig run desk", 0),
        ("429 rate under burst", "proofrig run desk --scenario burst", 0),
        ("Leak rate", "proofrig run desk --scenario tenant_probe", 0),
        ("Pool wait p99", "proofrig run desk --scenario long_stream", 0),
    ]


def test_a_figure_comes_from_the_scenario_that_is_about_it_else_from_where_it_is() -> None:
    figures = {
        ("", "accuracy"): [0.8, 0.9],
        ("drain", "tool_429_rate"): [0.1, 0.2, 0.3],
        ("burst", "tool_429_rate"): [0.5],
        ("interleaved", "leak_rate"): [0.0],
        ("burst", "leak_rate"): [0.0, 0.0],
    }
    lines = lines_of(stored(figures))
    assert [(one.called, one.scenario, len(one.points)) for one in lines] == [
        ("Accuracy", "", 2),
        ("429 rate under burst", "burst", 1),
        ("Leak rate (burst)", "burst", 2),
        ("Pool wait p99", "long_stream", 0),
    ]


def test_models_stand_for_tools_where_only_they_answered_429() -> None:
    lines = lines_of(stored({("burst", "llm_429_rate"): [0.2]}))
    assert (lines[1].name, lines[1].called) == ("llm_429_rate", "429 rate under burst")


def test_the_pass_rate_has_its_interval_and_runs_from_before_figures_were_kept() -> None:
    rates = [
        {"run": "old", "started_ns": -5, "rate": 0.7, "low": 0.5, "high": 0.8},
        {"run": "unmeasured", "started_ns": -4, "rate": None, "low": None, "high": None},
        {"run": "r0", "started_ns": 0, "rate": 0.8, "low": 0.6, "high": 0.9},
    ]
    record = RunRecord(
        run="old",
        suite="desk",
        suite_digest="d1",
        path="",
        started_ns=-5,
        manifest={"branch": "main", "commit": "cafe"},
    )
    given = stored({("", "accuracy"): [0.8, 0.9]}, rates=rates, runs=[record])
    old, first, second = lines_of(given)[0].points
    assert (old.run, old.value, old.branch, old.commit, old.digest) == (
        "old",
        0.7,
        "main",
        "cafe",
        "d1",
    )
    assert (old.low, old.high, first.low, first.high) == (0.5, 0.8, 0.6, 0.9)
    assert (second.low, second.high) == (None, None)


def test_gated_figures_have_a_line_with_their_bound_and_the_baseline() -> None:
    gates = [
        GateResult("accuracy >= 80 %", "pass", "", figure="accuracy", bound=0.8),
        GateResult("cost <= 2 * baseline", "pass", "", figure="cost", bound=4.0, baseline=2.0),
        GateResult("cost < $9", "pass", "", figure="cost", bound=9.0),
        GateResult("regression: accuracy", "pass", "", figure="accuracy"),
        GateResult("failures < 1", "fail", "", figure="failures", scenario="burst", bound=1.0),
        GateResult("as recorded", "pass", ""),
    ]
    figures = {("", "accuracy"): [0.8], ("", "cost"): [3.0], ("burst", "failures"): [2.0]}
    given = stored(figures, gates=gates, baseline={"": {"accuracy": 0.85}})
    lines = {(one.name, one.scenario): one for one in lines_of(given)}
    assert list(lines)[4:] == [("cost", ""), ("failures", "burst")]
    accuracy, cost = lines["accuracy", ""], lines["cost", ""]
    assert [(bound.text, bound.value) for bound in accuracy.bounds] == [("accuracy >= 80 %", 0.8)]
    assert (accuracy.baseline, cost.baseline) == (0.85, 2.0)
    assert [bound.op for bound in cost.bounds] == ["<=", "<"]
    assert lines["failures", "burst"].bounds[0].state(2.0) == "fail"


def test_a_total_that_may_not_regress_is_drawn_by_the_trial() -> None:
    gates = [
        GateResult("no regression of tokens", "pass", "", figure="tokens", baseline=400.0),
        GateResult("no regression of p95(duration)", "pass", "", figure="p95(duration)"),
        GateResult("cost <= $2", "pass", "", figure="cost", bound=2.0),
    ]
    lines = lines_of(stored({("", "tokens_per_trial"): [408.0, 403.0]}, gates=gates))[4:]
    assert [(one.name, len(one.points)) for one in lines] == [
        ("tokens_per_trial", 2),
        ("p95(duration)", 0),
        ("cost", 0),
    ]


def test_what_is_asked_for_stands_alone() -> None:
    figures = {("burst", "tool_429_rate"): [0.1], ("drain", "tool_429_rate"): [0.2, 0.3]}
    given = stored(figures)
    asked = ["drain:tool_429_rate", "tool_429_rate", "burst:tool_429_rate", "accuracy"]
    found = lines_of(given, asked)
    assert [(one.name, one.scenario) for one in found] == [
        ("tool_429_rate", "drain"),
        ("tool_429_rate", "drain"),
        ("tool_429_rate", "burst"),
        ("accuracy", ""),
    ]
    assert lines_of(replace(given, measured={}), ["accuracy"])[0].points == []


def test_a_figure_that_nobody_measured_is_refused_with_what_there_is() -> None:
    given = stored({("burst", "tool_429_rate"): [0.1], ("", "cost"): [1.0]})
    with pytest.raises(UsageError, match="'tool_429_rat': did you mean 'burst:tool_429_rate'"):
        lines_of(given, ["tool_429_rat"])
    with pytest.raises(UsageError, match="there are burst:tool_429_rate, cost"):
        lines_of(given, ["zzz"])
