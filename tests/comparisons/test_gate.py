"""Gates pass, fail, or say that they cannot know; and end a run only where nothing can save it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gated_runs import burst, launch, leaks, pools, requests, scenario, score, summary, updates
from proofrig.comparisons.comparison import CaseChange, Comparison, Effect, Word
from proofrig.comparisons.gate import (
    Gate,
    GateResult,
    as_recorded,
    fail_under,
    judge_gates,
    must_abort,
)
from proofrig.results import Score, Summary
from proofrig.stats.intervals import Interval
from proofrig.thresholds import parse


def gate(text: str, **more: Any) -> Gate:
    return Gate(rule=text, threshold=parse(text), **more)


def judged(text: str, found: Summary, **more: Any) -> GateResult:
    given = {name: more.pop(name) for name in ("baseline", "comparison") if name in more}
    (one,) = judge_gates([gate(text, **more)], found, **given)
    return one


@pytest.mark.parametrize(
    ("passed", "measured", "trials", "percent", "state"),
    [
        (8, 10, 10, 80, "pass"),
        (7, 10, 10, 80, "fail"),
        (0, 10, 10, 0, "pass"),
        (8, 9, 10, 80, "pass"),  # even if the tenth failed
        (8, 9, 10, 85, "inconclusive"),
        (2, 9, 10, 80, "fail"),  # even if the tenth passed
        (0, 0, 10, 0, "inconclusive"),
    ],
)
def test_fail_under(passed: int, measured: int, trials: int, percent: float, state: str) -> None:
    score = Score("all", trials=trials, measured=measured, passed=passed)
    assert fail_under(score, percent).state == state


@pytest.mark.parametrize(("diverged", "state"), [(0, "pass"), (1, "fail")])
def test_a_strict_replay_fails_for_one_trial_that_left_its_recording(
    diverged: int, state: str
) -> None:
    failures = {"diverged": diverged} if diverged else {}
    found = as_recorded(Score("all", trials=3, measured=3, passed=2, failures=failures))
    assert found.state == state
    assert ("1 of 3 trials" in found.message) is bool(diverged)


def test_the_message_carries_the_figures() -> None:
    found = fail_under(Score("all", trials=4, measured=3, passed=2), 60)
    assert found.rule == "pass rate >= 60 %"
    assert found.message == (
        "66.7 % (2 of 3 measured trials), but 1 of 4 trials were not measured, enough to decide it"
    )


def test_fail_under_has_its_figures() -> None:
    found = fail_under(score(8, 10), 75)
    assert (found.figure, found.value, found.bound) == ("accuracy", 0.8, 0.75)
    assert found.low is not None and found.high is not None
    assert found.low < 0.8 < found.high


RUN = summary(
    score(8, 10, 12, usd_micro=2_400_000, failures={"infra": 2}),
    scenario("sequential", updates(contended=0)),
    burst(launch(), updates(lost=1), pools(), requests(), leaks()),
    scenario("ramp", updates(), pools(wait_ms=300.0)),
)
BASE = {"": {"cost_per_trial": 0.15}, "burst": {"tool_429_rate": 0.01}}


@pytest.mark.parametrize(
    ("text", "state", "where"),
    [
        ("accuracy >= 60 %", "pass", ""),
        ("accuracy >= 80 %", "inconclusive", ""),
        ("accuracy >= 95 %", "fail", ""),
        ("infra_rate < 2 %", "fail", ""),
        ("cost <= $2", "fail", ""),
        ("cost_per_trial <= 1.5 * baseline", "pass", ""),
        ("cost_per_pass <= 2 * baseline", "inconclusive", ""),
        ("tool_429_rate <= 2 * baseline", "fail", "burst"),
        ("llm_429_rate <= 2 * baseline", "inconclusive", "burst"),
        ("leak_rate == 0", "pass", "burst"),
        ("lost_updates == 0", "fail", "burst"),
        ("lost_updates <= 1", "inconclusive", "sequential"),
        ("p99(pool_wait) < 250ms", "fail", "ramp"),
        ("p99(pool_wait) < 350ms", "pass", "ramp"),
        ("p99(pool_wait) > 350ms", "fail", "burst"),
        ("deadlocks == 0", "inconclusive", ""),
        ("measure:mine < 3", "inconclusive", ""),
    ],
)
def test_a_gate_is_judged_by_the_worst_that_it_is_about(text: str, state: str, where: str) -> None:
    found = judged(text, RUN, baseline=BASE)
    assert (found.state, found.scenario) == (state, where), found.message


@pytest.mark.parametrize(
    ("text", "where", "state"),
    [
        ("accuracy >= 80 %", "burst", "pass"),
        ("accuracy >= 80 %", "drain", "inconclusive"),
        ("lost_updates == 0", "ramp", "pass"),
        ("lost_updates == 0", "sequential", "inconclusive"),
        ("p99(pool_wait) < 250ms", "burst", "pass"),
    ],
)
def test_a_gate_may_be_about_one_scenario(text: str, where: str, state: str) -> None:
    found = judged(text, RUN, scenario=where)
    assert (found.state, found.scenario) == (state, where)


def test_a_result_has_everything_for_a_report() -> None:
    found = judged("p99(pool_wait) < 250ms", RUN)
    assert msgspec.to_builtins(found) == {
        "rule": "p99(pool_wait) < 250ms",
        "state": "fail",
        "message": "300 ms (of 400 short requests) in ramp against 250 ms",
        "figure": "p99(pool_wait)",
        "value": 3e8,
        "bound": 2.5e8,
        "scenario": "ramp",
        "evidence": ["the worst of 2 scenarios"],
    }
    found = judged("tool_429_rate <= 2 * baseline", RUN, baseline=BASE)
    assert (found.bound, found.baseline) == (0.02, 0.01)


def test_without_a_baseline_the_worst_is_shown_and_why_there_is_none() -> None:
    calm = scenario("sequential", requests(rate=0.0))
    found = summary(None, calm, burst(launch(), requests(rate=0.6)))
    gates = [gate("tool_429_rate <= 2 * baseline"), Gate(rule="r", regression="accuracy")]
    one, regression = judge_gates(gates, found, lack="nobody kept one")
    assert one.message == "60 % (over 30 tool requests) in burst, but nobody kept one"
    assert (regression.state, regression.message) == ("inconclusive", "nobody kept one")


def test_what_may_not_be_compared_is_no_baseline() -> None:
    refused = held_against(verdict="unreliable", says="another suite")
    gates = [gate("accuracy >= baseline"), Gate(rule="r", regression="accuracy")]
    base = {"": {"accuracy": 0.1}}
    for one in judge_gates(gates, summary(), baseline=base, comparison=refused):
        assert one.state == "inconclusive" and one.message.endswith("another suite")
    noisy = held_against(Effect(metric="accuracy"), verdict="unreliable", says="infra differs")
    [one] = judge_gates(gates[:1], summary(), baseline=base, comparison=noisy)
    assert one.state == "pass", "how far two rates may be trusted is for the comparison to say"


def test_a_baseline_of_other_cases_is_told() -> None:
    changed = held_against(Effect(metric="accuracy"), left_out=["late: its text changed"])
    gates = [gate("accuracy >= baseline"), gate("accuracy >= 10 %")]
    base = {"": {"accuracy": 0.1}}
    one, other = judge_gates(gates, summary(), baseline=base, comparison=changed)
    assert one.evidence[0] == ("the baseline's figure is of other cases: late: its text changed")
    assert one.state == "pass" and not other.evidence


def test_of_scenarios_that_are_as_good_the_one_that_tells_most_is_shown() -> None:
    found = summary(None, scenario("sequential", pools(4)), burst(pools(400)))
    one = judged("p99(pool_wait) < 250ms", found)
    assert (one.state, one.scenario) == ("pass", "burst")


def test_a_rate_of_none_says_what_it_leaves_room_for() -> None:
    found = judged("leak_rate == 0", RUN)
    assert found.message == ("0 % (0 of 40 probes; at most 7.22 % at 95 %) in burst against 0 %")
    assert found.high == pytest.approx(1 - 0.05 ** (1 / 40))


def test_the_trials_that_prove_a_fail_are_evidence() -> None:
    found = judged("lost_updates == 0", RUN)
    assert found.evidence == ["the worst of 3 scenarios", "lost_update (a:0, b:0): key 0 was lost"]


def test_who_asks_to_be_sure_gets_no_pass_from_few_trials() -> None:
    found = summary(score(9, 10))
    assert judged("accuracy >= 80 %", found).state == "pass"
    assert judged("accuracy >= 80 %", found, sure=True).state == "inconclusive"
    assert judged("accuracy >= 50 %", found, sure=True).state == "pass"


def test_contention_that_was_not_there_proves_nothing_good() -> None:
    found = summary(None, burst(launch(missed=1), updates(), pools()))
    for text in ("lost_updates == 0", "p99(pool_wait) < 250ms"):
        assert judged(text, found).state == "inconclusive"
    assert judged("p99(pool_wait) < 1ms", found).state == "fail"
    lagged = summary(None, burst(launch(lag_ms=80.0), updates(), pools()))
    assert judged("lost_updates == 0", lagged).state == "pass"
    assert judged("p99(pool_wait) < 1ms", lagged).state == "inconclusive"


def held_against(*effects: Effect, verdict: Word = "no worse", **more: Any) -> Comparison:
    given: dict[str, Any] = {"says": "", "effects": list(effects), **more}
    return Comparison(run="now", base="main", verdict=verdict, **given)


def regression(metric: str, found: Comparison | None) -> GateResult:
    asked = Gate(rule="r", regression=metric)
    (one,) = judge_gates([asked], summary(), comparison=found)
    return one


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        ("regressed", "fail"),
        ("improved", "pass"),
        ("no worse", "pass"),
        ("inconclusive", "inconclusive"),
        ("unreliable", "inconclusive"),
    ],
)
def test_a_regression_gate_takes_the_verdict_on_its_metric(verdict: Word, state: str) -> None:
    effects = Effect(metric="tokens", verdict="regressed"), Effect(metric="cost", verdict=verdict)
    found = regression("cost", held_against(*effects, verdict="regressed"))
    assert (found.state, found.figure) == (state, "cost")


def test_a_regression_gate_says_what_it_would_take() -> None:
    effect = Effect(
        metric="cost",
        unit="usd_micro",
        base=1_000_000.0,
        now=1_500_000.0,
        change=Interval(5e5, -1e5, 1.1e6),
        needs="8 more repeats would decide it",
    )
    found = regression("cost", held_against(effect))
    assert found.state == "inconclusive"
    assert found.message == (
        "inconclusive: $1.5, was $1 (change at 90 %: -$0.1 to $1.1); 8 more repeats would decide it"
    )
    assert (found.value, found.baseline, found.low, found.high) == (1.5e6, 1e6, -1e5, 1.1e6)


def test_a_regression_gate_needs_a_baseline_and_its_metric() -> None:
    none = regression("cost", None)
    assert (none.state, none.message) == (
        "inconclusive",
        "there is no baseline yet to hold it against",
    )
    other = regression("cost", held_against(Effect(metric="tokens"), Effect(metric="accuracy")))
    assert other.message == "the comparison with main has no cost; it has tokens, accuracy"
    assert other.state == "inconclusive"


def test_k_of_a_regression_gate_is_what_both_runs_have() -> None:
    found = regression("pass_hat_k", held_against(Effect(metric="pass_hat_4", verdict="regressed")))
    assert (found.state, found.figure) == ("fail", "pass_hat_k")


def test_what_is_unreliable_decides_nothing() -> None:
    effect = Effect(metric="cost", verdict="regressed")
    found = regression("cost", held_against(effect, verdict="unreliable", why=["infra differs"]))
    assert (found.state, found.evidence) == ("inconclusive", ["infra differs"])
    assert found.message == "unreliable; infra differs"
    needy = Effect(metric="cost", verdict="inconclusive", base=2.0, now=3.0, needs="8 more repeats")
    found = regression("cost", held_against(needy, verdict="unreliable", why=["infra differs"]))
    assert found.message == "unreliable: 3, was 2; infra differs"


def test_a_broken_case_is_a_regression_of_the_pass_rate() -> None:
    change = CaseChange(case="late", base_passed=20, base_measured=20, now_passed=0, now_measured=4)
    flip = CaseChange(case="odd", base_passed=9, base_measured=20, now_passed=4, now_measured=4)
    broken = msgspec.structs.replace(change, broken=True)
    effect = Effect(metric="accuracy", verdict="no worse", says="81 %, was 85 %")
    found = regression("accuracy", held_against(effect, broken=[broken], flips=[broken, flip]))
    assert found.state == "fail"
    assert found.evidence == [
        "broken: late passed 0 of 4, was 20 of 20",
        "changed: odd passed 4 of 4, was 9 of 20",
    ]
    tokens = Effect(metric="tokens", verdict="no worse")
    assert regression("tokens", held_against(tokens, broken=[broken])).state == "pass"


@pytest.mark.parametrize(
    ("text", "found", "planned", "settled"),
    [
        ("accuracy >= 90 %", score(8, 10), 20, False),  # 18 of 20 would do
        ("accuracy >= 90 %", score(7, 10), 20, True),
        ("accuracy > 90 %", score(8, 10), 20, True),
        ("accuracy >= 90 %", score(7, 9, 10), 20, False),  # the tenth may be run again
        ("accuracy <= 10 %", score(3, 10), 20, True),
        ("infra_rate <= 5 %", score(8, 10, 12, failures={"infra": 2}), 30, True),
        ("infra_rate <= 5 %", score(8, 10, 12, failures={"infra": 2}), 40, False),
        ("cost <= $2", score(usd_micro=2_100_000), 20, True),
        ("cost <= $2", score(usd_micro=1_900_000), 20, False),
        ("cost >= $2", score(usd_micro=1_900_000), 20, False),
        ("cost_per_trial <= $0.1", score(usd_micro=2_100_000), 20, True),
        ("cost_per_trial <= $0.2", score(usd_micro=2_100_000), 20, False),
        ("cost_per_pass <= $0.1", score(usd_micro=2_100_000), 20, True),
        ("p95(duration) < 1 s", score(duration_ns={"p95": 5e9}), 20, False),
        ("pass_hat_k >= 90 %", score(cases=2, k=4, k_cases=2, pass_hat={"4": 0.0}), 20, False),
        ("retries == 3", score(retries=4), 20, True),
        ("retries != 4", score(retries=4), 20, False),
        ("cost_per_trial <= baseline", score(usd_micro=9_000_000), 20, True),
        ("tokens_per_trial <= baseline", score(tokens=9_000), 20, False),  # no such baseline
    ],
)
def test_a_run_is_ended_where_no_trial_to_come_can_save_it(
    text: str, found: Score, planned: int, settled: bool
) -> None:
    one = must_abort(gate(text, abort=True), summary(found), planned, baseline=BASE)
    assert (one is not None) == settled
    if one is not None:
        assert (one.state, one.abort) == ("fail", True)
        assert "; settled: " in one.message


@pytest.mark.parametrize(
    ("text", "settled"),
    [
        ("lost_updates == 0", True),
        ("lost_updates <= 1", False),
        ("tool_429_rate == 0", True),
        ("tool_429_rate <= 1 %", False),  # it may fall again
        ("leak_rate == 0", True),
        ("leak_rate <= 5 %", True),  # 4 of 60 at best
        ("leak_rate <= 10 %", False),
        ("starvation <= 10 %", False),
        ("deadlocks == 0", False),
    ],
)
def test_what_a_checker_found_is_not_unfound(text: str, settled: bool) -> None:
    seen = [updates(lost=1), requests(), leaks(leaked=4), pools()]
    cut = burst(*seen, complete=False)  # as every scenario is that goes on
    assert bool(must_abort(gate(text, abort=True), summary(None, cut), 60)) == settled


def test_only_a_gate_that_asks_for_it_ends_a_run() -> None:
    assert must_abort(gate("accuracy >= 90 %"), summary(score(0, 10)), 10) is None
    asked = Gate(rule="r", regression="accuracy", abort=True)
    assert must_abort(asked, summary(score(0, 10)), 10) is None


@pytest.mark.parametrize(
    ("text", "rounds", "settled"),
    [
        ("accuracy >= 90 %", (40, 20), True),
        ("accuracy >= 90 %", (40, 33), False),
        ("accuracy >= 90 %", None, False),
        ("accuracy >= 90 %", (0, 0), False),
        ("accuracy <= 10 %", (40, 20), True),
        ("accuracy == 90 %", (40, 20), True),
        ("timeout_rate >= 90 %", (40, 20), False),
    ],
)
@pytest.mark.parametrize("sure", [False, True])
def test_a_rate_that_whole_rounds_exclude_is_settled(
    text: str, rounds: tuple[int, int] | None, settled: bool, sure: bool
) -> None:
    asked = gate(text, abort=True, sure=sure)
    found = must_abort(asked, summary(score(20, 40)), 1000, rounds=rounds)
    assert bool(found) == settled
    if found is not None:
        assert "after whole rounds of 40 trials the rate lies from " in found.message


def test_who_must_be_sure_ends_a_run_by_the_sequence_alone() -> None:
    asked = gate("accuracy >= 90 %", abort=True, sure=True)
    assert must_abort(asked, summary(score(7, 10)), 20) is None
