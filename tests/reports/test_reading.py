"""What a report says: verdicts, cautions, cases, reasons."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contention_report_runs import a_contended_run, a_sound_run
from proofrig.comparisons.comparison import Comparison
from proofrig.comparisons.gate import GateResult
from proofrig.errors import UsageError
from proofrig.places import root_option, run_name
from proofrig.reports import reading
from proofrig.reports.report import RunReport
from proofrig.results import Row
from report_runs import Recorder

EXACT = {"verifier": "exact", "passed": False, "message": "expected 4; got 5"}


def run_of(tmp_path: Path, *trials: tuple[str, int, str]) -> Recorder:
    run = Recorder(tmp_path, repeats=2)
    for case, repeat, failure in trials:
        verdicts = [EXACT] if failure == "agent" else []
        with run.trial(case, repeat, failure, verdicts=verdicts):
            pass
    return run


GATES = [GateResult("pass rate >= 80 %", "pass", "100 %"), GateResult("cost", "fail", "$9")]


@pytest.mark.parametrize(
    ("code", "gates", "word", "tone", "why"),
    [
        (0, GATES[:1], "Passed", "good", "pass rate >= 80 %: 100 %"),
        (0, [], "Finished", "plain", "1 of 1 measured trials passed; no gate was set"),
        (0, [GATES[0]] * 2, "Passed", "good", "2 of 2 gates; 1 of 1 measured trials passed"),
        (1, GATES, "Failed", "bad", "cost: $9"),
        (1, [*GATES, GATES[1]], "Failed", "bad", "2 of 3 gates: cost, cost"),
        (4, [], "Inconclusive", "unsure", "1 of 1 measured"),
        (5, [], "Nothing ran", "unsure", "no trial was started"),
        (6, [], "Stopped", "unsure", "none of 1 trial could be measured"),
        (130, [], "Interrupted", "unsure", "Go on: proofrig resume "),
        (3, [], "Error", "bad", "exit code 3"),
    ],
)
def test_a_verdict_for_every_exit_code(
    tmp_path: Path, code: int, gates: list[GateResult], word: str, tone: str, why: str
) -> None:
    report = run_of(tmp_path, ("a", 1, "")).report(code, gates=list(gates))
    verdict = reading.verdict_of(report)
    assert (verdict.word, verdict.tone) == (word, tone)
    assert why in verdict.why


def test_cautions_name_what_makes_the_score_doubtful(tmp_path: Path) -> None:
    run = run_of(tmp_path, ("a", 1, ""), ("a", 2, ""), ("b", 1, ""), ("b", 2, "infra"))
    with run.trial("a", 1, role="null"):
        pass
    with run.trial("b", 1, "agent", role="reference"):
        pass
    run.write(run.cursor, "note", "unattributed")
    said = " ".join(reading.cautions(run.report()))
    assert "Doing nothing passes 1 case (a)" in said
    assert "reference solution fails 1 case (b)" in said
    assert "1 of 4 trials were not measured" in said
    assert "1 request could not be attributed" in said
    assert "1 of 2 cases have 2 measured repeats" in said


def test_cautions_say_when_scenarios_can_show_little(tmp_path: Path) -> None:
    agent = {"type": "python", "mode": "isolated"}
    report = a_sound_run(tmp_path / "a", what={"agent": agent}).report(0)
    assert any("`mode: isolated`" in said for said in reading.cautions(report))
    shared = a_sound_run(tmp_path / "b", what={"agent": agent | {"mode": "shared"}}).report(0)
    assert not any("isolated" in said or "alone" in said for said in reading.cautions(shared))
    alone = next(one for one in shared.summary.scenarios if one.name == "sequential")
    alone.score.passed = 0
    assert any("No case passes alone" in said for said in reading.cautions(shared))


def mixed(tmp_path: Path) -> RunReport:
    return run_of(
        tmp_path,
        *(("good", 1, ""), ("good", 2, "infra")),
        *(("flaky", 1, ""), ("flaky", 2, "agent")),
        *(("bad", 1, "infra"), ("bad", 2, "timeout")),
        *(("gone", 1, "harness"), ("gone", 2, "infra")),
    ).report()


def test_cases_pass_fail_or_are_unmeasured_and_flaky_ones_are_named(tmp_path: Path) -> None:
    cases = {case.id: case for case in reading.cases_of(mixed(tmp_path))}
    states = {name: (case.state, case.flaky) for name, case in cases.items()}
    assert states == {
        "good": ("passed", False),
        "flaky": ("failed", True),
        "bad": ("failed", False),
        "gone": ("unmeasured", False),
    }
    firsts = {name: case.first.trial if case.first else "" for name, case in cases.items()}
    assert firsts == {"good": "good:2", "flaky": "flaky:2", "bad": "bad:2", "gone": "gone:1"}


def test_the_worst_cases_come_first(tmp_path: Path) -> None:
    worst = reading.worst_first(reading.cases_of(mixed(tmp_path)))
    assert [case.id for case in worst] == ["bad", "flaky", "gone"]


def test_the_reason_is_the_failing_verdict_the_error_or_the_class(tmp_path: Path) -> None:
    rows = {row.trial: row for row in mixed(tmp_path).rows}
    assert reading.why(rows["flaky:2"]) == "exact: expected 4; got 5"
    assert reading.why(rows["bad:2"]) == "timeout: the agent ran out of time"
    assert reading.why(rows["good:1"]) == ""
    rows["bad:2"].error = "stopped\nafter 30 s"
    assert reading.why(rows["bad:2"]) == "timeout: stopped after 30 s"


@pytest.mark.parametrize(
    ("failure", "error", "why"),
    [
        ("agent", "exit code 3", "exit code 3; exact: expected 4; got 5"),
        ("agent", "ValueError: no order", "ValueError: no order; exact: expected 4; got 5"),
        ("timeout", "timed out after 60 s", "timed out after 60 s; exact: expected 4; got 5"),
        ("limit", "limit: cpu (4 s)", "limit: cpu (4 s); exact: expected 4; got 5"),
        ("limit", "exit code 1", "limit: exit code 1; exact: expected 4; got 5"),
        ("harness", "no price for 'm'", "harness: no price for 'm'; exact: expected 4; got 5"),
    ],
)
def test_the_reason_leads_with_how_the_agent_ended(failure: Any, error: str, why: str) -> None:
    row = Row("a:1", "a", failure=failure, error=error, verdicts=[EXACT])
    assert reading.why(row) == why
    row.error = "long " * 100
    both = reading.why(row).endswith("…; exact: expected 4; got 5")
    assert both == (failure in ("agent", "timeout"))
    assert len(reading.why(row)) <= 160


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("expected 4; got 5 (off by (1))", "off by (1)"),
        ("expected 4; got 5", ""),
        ("not measured, it raised", "not measured, it raised"),
    ],
)
def test_a_verdict_tells_what_its_message_adds(message: str, why: str) -> None:
    told = reading.told({"expected": "4", "got": "5", "message": message})
    assert told == {"expected": "4", "got": "5", "why": why}


def test_a_case_is_reproduced_by_a_command_that_a_shell_reads(tmp_path: Path) -> None:
    report = run_of(tmp_path, ("a b", 1, "")).report()
    command = "proofrig run 'suites/support desk.yaml' --case 'a b' --seed 7"
    assert reading.reproduce(report, "a b") == command


def test_a_case_is_reproduced_at_the_level_it_ran_at(tmp_path: Path) -> None:
    report = run_of(tmp_path, ("a", 1, "")).report()
    report.manifest["what"] = {"isolation": "vm"}
    assert reading.reproduce(report, "a").endswith(" --case a --isolation vm --seed 7")
    report.manifest["what"] = {"isolation": "process"}
    assert reading.reproduce(report, "a").endswith(" --case a --seed 7")


def test_a_run_that_is_kept_elsewhere_is_shown_and_run_again_there(tmp_path: Path) -> None:
    run_dir = tmp_path / "kept" / "runs" / "r-1"
    report = run_of(run_dir, ("a", 1, "")).report(130)
    assert reading.reproduce(report, "a").startswith(
        f"proofrig run 'suites/support desk.yaml'{root_option(run_dir)} --case a"
    )
    assert reading.verdict_of(report).why.endswith(f"proofrig resume {run_name(run_dir)}")


def test_names_are_found_and_near_ones_are_offered(tmp_path: Path) -> None:
    run = run_of(tmp_path, ("refund", 1, ""))
    with run.trial("refund", 2, "", attempt=2):
        pass
    report = run.report()
    assert reading.find_case(report, "refund").id == "refund"
    assert reading.find_row(report, "refund:2").trial == "refund:2~2"
    with pytest.raises(UsageError, match="did you mean 'refund'"):
        reading.find_case(report, "refnd")
    with pytest.raises(UsageError, match="did you mean 'refund:1'"):
        reading.find_row(report, "refund:7")


def test_a_scenario_is_run_again_with_its_agents_tenants_and_cases(tmp_path: Path) -> None:
    run = a_contended_run(tmp_path / "runs" / "r", only=["a b", "c"])
    report = run.report()
    assert reading.reproduce(report, scenario=report.summary.scenarios[3]) == (
        f"proofrig run 'suites/support desk.yaml'{root_option(run.dir)}"
        " --scenario burst --agents 24 --tenants 3 --case 'a b' --case c --seed 7"
    )
    assert reading.scenario_of(report, "none") is None


def test_findings_and_doubts_change_what_the_verdict_looks_like(tmp_path: Path) -> None:
    report = a_contended_run(tmp_path / "a").report(0)
    verdict = reading.verdict_of(report)
    assert (verdict.word, verdict.tone) == ("19 findings", "bad")
    assert verdict.says.startswith("in 4 of 5 scenarios, the worst: cross tenant leak")
    failed = reading.verdict_of(a_contended_run(tmp_path / "b").report(1, fail_under=99))
    assert failed.word == "Failed" and failed.says.startswith("19 findings in 4 of 5 scenarios")
    unsure = reading.verdict_of(a_sound_run(tmp_path / "c").report(0))
    assert (unsure.word, unsure.tone) == ("Passed", "unsure")


PASS = GateResult("accuracy >= 70 %", "pass", "75.0 %")
FAIL = GateResult("accuracy >= 90 %", "fail", "75.0 %")
SAME = GateResult("regression: accuracy", "fail", "it fell")
OPEN = GateResult("regression: accuracy", "inconclusive", "too few")
STILL = GateResult("no regression of accuracy", "inconclusive", "80 %, was 80 %; more would tell")


@pytest.mark.parametrize(
    ("code", "gates", "verdict", "says", "word", "tone", "why"),
    [
        (1, [SAME], "regressed", "it fell", "Regressed", "bad", "it fell"),
        (
            1,
            [SAME, FAIL],
            "regressed",
            "it fell",
            "Regressed",
            "bad",
            "it fell; failed: accuracy >= 90 %",
        ),
        (0, [PASS], "regressed", "it fell", "Regressed", "bad", "it fell"),
        (0, [], "improved", "it rose", "Improved", "good", "it rose"),
        (0, [PASS], "no worse", "so it is", "No worse", "good", "so it is"),
        (0, [], "unreliable", "6 % infra", "Unreliable", "unsure", "6 % infra"),
        (0, [PASS], "unreliable", "6 % infra", "Passed", "unsure", "75.0 %; unreliable: 6 % infra"),
        (0, [PASS], "inconclusive", "too few", "Passed", "unsure", "75.0 %; inconclusive: too few"),
        (1, [FAIL], "unreliable", "6 % infra", "Failed", "bad", "75.0 %; unreliable: 6 % infra"),
        (1, [FAIL], "no worse", "so it is", "Failed", "bad", "75.0 %; no worse: so it is"),
        (4, [], "inconclusive", "too few", "Inconclusive", "unsure", "too few"),
        (
            4,
            [OPEN],
            "inconclusive",
            "too few",
            "Inconclusive",
            "unsure",
            "regression: accuracy: too few",
        ),
        (4, [OPEN], "unreliable", "6 % infra", "Unreliable", "unsure", "6 % infra"),
        (4, [PASS, STILL], "inconclusive", "too few", "Inconclusive", "unsure", "too few"),
        (0, [PASS, PASS], "unreliable", "6 %", "Passed", "unsure", "2 of 2 gates; unreliable: 6 %"),
        (130, [PASS], "regressed", "it fell", "Interrupted", "unsure", "Go on: proofrig resume"),
    ],
    ids=range(16),
)
def test_a_regression_comes_first_then_failed_gates_then_other_comparisons(
    tmp_path: Path, code: int, gates: Any, verdict: Any, says: str, word: str, tone: str, why: str
) -> None:
    report = run_of(tmp_path, ("a", 1, "")).report(code, gates=list(gates))
    held = Comparison(run="r", base="main", verdict=verdict, says=says)
    found = reading.verdict_of(replace(report, comparison=held))
    assert (found.word, found.tone) == (word, tone)
    assert found.why.endswith(why) if code != 130 else why in found.why


def test_findings_stay_before_a_regression(tmp_path: Path) -> None:
    report = a_contended_run(tmp_path).report(1, fail_under=99)
    held = Comparison(run="r", base="main", verdict="regressed", says="it fell")
    found = reading.verdict_of(replace(report, comparison=held))
    assert found.word == "Regressed"
    assert found.says.startswith("19 findings in 4 of 5 scenarios") and "it fell" in found.says


def test_flaky_cases_are_listed_apart_the_lowest_rate_first(tmp_path: Path) -> None:
    assert [case.id for case in reading.flaky_of(mixed(tmp_path))] == ["flaky"]
    assert reading.some(["a", "b", "c"], 2) == "a, b and 1 more"


def test_gates_say_more_than_the_verdict_when_there_are_several_or_a_comparison(
    tmp_path: Path,
) -> None:
    one = run_of(tmp_path / "a", ("a", 1, "")).report(0, gates=[PASS])
    two = run_of(tmp_path / "b", ("a", 1, "")).report(1, gates=[PASS, FAIL])
    held = Comparison(run="r", base="main", verdict="no worse", says="x")
    assert [reading.gated(report) for report in (one, two, replace(one, comparison=held))] == [
        False,
        True,
        True,
    ]
