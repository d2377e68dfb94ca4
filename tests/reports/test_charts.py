"""Numbers in, SVG places out."""

from __future__ import annotations

from pathlib import Path

from contention_report_runs import a_contended_run
from proofrig.comparisons.gate import GateResult
from proofrig.reports.charts import HEIGHT, MARGIN, MOST_POINTS, accuracy, markers, trends
from proofrig.results import Score
from report_runs import a_trend


def test_baselines_and_gates_stand_on_the_scale_of_the_pass_rate() -> None:
    score = Score("all", null_passed=1, null_trials=4, reference_passed=4, reference_trials=4)
    gates = [
        GateResult("pass rate >= 82.5 %", "fail", "", figure="accuracy", bound=0.825),
        GateResult("accuracy >= 5 %", "fail", "", figure="accuracy", bound=0.05, scenario="burst"),
        GateResult("cost <= $1", "pass", "", figure="cost", bound=1.0),
        GateResult("regression: accuracy", "pass", "", figure="accuracy"),
    ]
    assert [(m.kind, m.at) for m in markers(score, gates)] == [
        ("null", 25),
        ("reference", 100),
        ("gate", 82.5),
    ]
    assert markers(Score("all"), []) == []


def test_a_line_runs_from_the_first_run_to_the_last() -> None:
    trend = accuracy(a_trend([0.0, 0.5, 1.0], last="r"), "r")
    assert trend.line == f"10,{HEIGHT - MARGIN} 150,48 290,{MARGIN}"
    assert (trend.latest, trend.since, len(trend.dots)) == ("100.0 %", "3 runs", 3)
    assert len(trend.band.split()) == 6


def test_one_run_is_a_dot_without_a_band() -> None:
    trend = accuracy(a_trend([0.5]), "other")
    assert (trend.since, trend.band, trend.second) == (
        "first run, this run not among them",
        "",
        "",
    )


def test_runs_that_were_not_measured_are_no_points() -> None:
    unmeasured = {"run": "r", "rate": None, "low": None, "high": None, "k": 1}
    assert accuracy([unmeasured], "r").missing == "no stored run of this suite was measured"
    assert len(accuracy([unmeasured, *a_trend([0.5, 0.6])], "r").dots) == 2


def test_only_the_latest_runs_are_drawn() -> None:
    assert len(accuracy(a_trend([0.5] * 100), "r").dots) == MOST_POINTS


def test_lines_that_no_scenario_measured_say_so() -> None:
    lines = trends(a_trend([0.5]), "r")
    assert [line.title for line in lines] == [
        "Accuracy",
        "429 rate under burst",
        "Leak rate",
        "Pool wait p99",
    ]
    assert [bool(line.missing) for line in lines] == [False, True, True, True]
    assert not any(line.line or line.latest for line in lines[1:])


def test_contention_is_drawn_by_scenario_with_its_worst_figure(tmp_path: Path) -> None:
    scenarios = a_contended_run(tmp_path).report().summary.scenarios
    _, limited, leak, wait = trends([], "r", scenarios)
    assert (limited.latest, leak.latest, wait.latest) == ("57.1 %", "3.1 %", "1.88 s")
    assert [label for *_, label in limited.dots] == ["sequential: 0.0 %", "burst: 57.1 %"]
    assert (wait.top, wait.bottom) == ("1.88 s", "0")
    assert wait.since.startswith("at most, in long_stream")
    nothing = trends([], "r", scenarios[2:3])[1]
    assert nothing.missing == "not measured in this run: nothing in its scenarios measures it"
