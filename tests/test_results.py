"""Histories in, rows and summaries out."""

from __future__ import annotations

from itertools import count

from proofrig.checkers.checker import Checked
from proofrig.checkers.judge import ScenarioChecked
from proofrig.history.action import Entry
from proofrig.results import CaseFacts, RowsFold, Summary, case_of, summarise

tick = count(1)


def note(kind: str, name: str, trial: str, **attrs: object) -> Entry:
    scope = "acme/desk/subject/x"
    return Entry(0, next(tick), kind, name, trial, "acme", scope, attrs=attrs)  # type: ignore[arg-type]


def begin(trial: str, attempt: int = 1, role: str = "subject") -> Entry:
    case, _, repeat = trial.partition("~")[0].rpartition(":")
    number = int(repeat) if repeat.isdigit() else 0
    attrs = {"case": case, "repeat": number, "attempt": attempt, "role": role}
    return note("trial", "begin", trial, **attrs)


def end(trial: str, failure: str = "", **attrs: object) -> Entry:
    passed = None if failure in ("infra", "harness") else not failure
    return note("trial", "end", trial, passed=passed, failure=failure, **attrs)


def trial(name: str, failure: str = "", role: str = "subject", **attrs: object) -> list[Entry]:
    return [begin(name, role=role), end(name, failure, **attrs)]


def call(trial: str, usd_micro: int = 100, **attrs: object) -> Entry:
    usage = {"input": 10, "output": 5}
    attrs = {"outcome": "ok", "actual": {"usd_micro": usd_micro}, "usage": usage} | attrs
    return note("commit", "llm.messages", trial, **attrs)


def summary(entries: list[Entry], repeats: int = 1, *facts: CaseFacts) -> Summary:
    fold = RowsFold()
    for entry in entries:
        fold.step(entry)
    return summarise(fold, facts, repeats)


def test_infra_and_harness_failures_leave_the_denominator_and_stand_beside_it() -> None:
    entries = [
        *trial("a:1"),
        *trial("b:1", "agent"),
        *trial("c:1", "infra"),
        *trial("d:1", "harness"),
        *trial("e:1", "timeout"),
        *trial("f:1", "limit"),
    ]
    overall = summary(entries).overall
    assert (overall.trials, overall.measured, overall.passed) == (6, 4, 1)
    assert overall.failures == {"agent": 1, "infra": 1, "harness": 1, "timeout": 1, "limit": 1}
    assert overall.rate is not None
    assert overall.rate.estimate == 0.25


def test_nothing_measured_is_no_rate_and_not_zero() -> None:
    overall = summary(trial("a:1", "infra")).overall
    assert overall.rate is None
    assert overall.pass_hat == {}


def test_pass_hat_k_falls_where_repeats_disagree() -> None:
    entries = [
        entry
        for case, outcomes in (("a", "1111"), ("b", "1010"))
        for place, passed in enumerate(outcomes, 1)
        for entry in trial(f"{case}:{place}", "" if passed == "1" else "agent")
    ]
    overall = summary(entries, 4).overall
    assert overall.pass_at == {"1": 0.75, "2": (1 + 5 / 6) / 2, "4": 1.0}
    assert overall.pass_hat == {"1": 0.75, "2": (1 + 1 / 6) / 2, "4": 0.5}
    assert overall.k_cases == 2


def test_a_case_with_an_unmeasured_repeat_is_left_out_of_pass_hat_k_and_counted() -> None:
    entries = [*trial("a:1"), *trial("a:2"), *trial("b:1"), *trial("b:2", "infra")]
    overall = summary(entries, 2).overall
    assert overall.pass_hat["2"] == 1.0
    assert (overall.cases, overall.k_cases) == (2, 1)


def test_a_retried_attempt_counts_only_as_waste() -> None:
    entries = [
        begin("a:1"),
        call("a:1", 300),
        end("a:1", "infra", retried=True),
        begin("a:1~2", 2),
        call("a:1~2", 100),
        end("a:1~2"),
    ]
    found = summary(entries)
    assert (found.overall.trials, found.overall.passed, found.overall.usd_micro) == (1, 1, 100)
    assert (found.wasted_attempts, found.wasted_usd_micro) == (1, 300)


def test_an_infra_failure_that_a_resume_made_good_counts_only_as_waste() -> None:
    entries = [begin("a:1"), call("a:1", 30), end("a:1", "infra"), begin("a:1~2", 2), end("a:1~2")]
    found = summary(entries)
    assert (found.overall.trials, found.overall.passed) == (1, 1)
    assert (found.wasted_attempts, found.wasted_usd_micro) == (1, 30)
    assert summary(entries[:4]).overall.failures == {"infra": 1}


def test_an_attempt_that_a_kill_cut_off_is_waste_too() -> None:
    found = summary([begin("a:1"), call("a:1", 70), begin("a:1~2", 2), end("a:1~2")])
    assert found.overall.trials == 1
    assert (found.wasted_attempts, found.wasted_usd_micro) == (1, 70)


def test_baselines_stand_next_to_the_score_and_not_in_it() -> None:
    entries = [
        *trial("a:1"),
        *trial("a:null", "agent", role="null"),
        *trial("a:reference", role="reference"),
        *trial("b:1"),
        *trial("b:null", role="null"),
    ]
    found = summary(entries)
    assert (found.overall.trials, found.overall.passed) == (2, 2)
    assert (found.overall.null_passed, found.overall.null_trials) == (1, 2)
    assert (found.overall.reference_passed, found.overall.reference_trials) == (1, 1)
    assert [score.reference_passed for score in found.by_case] == [1, None]


def test_money_tokens_and_latency_are_added_up() -> None:
    entries = [
        begin("a:1"),
        call("a:1", service_ns=10, queue_ns=1),
        call("a:1", service_ns=30, backoff_ns=2),
        call("a:1", usd_micro=0, calls=2, usage={}),
        note("reserve", "tool.look_up", "a:1", decision="allow", asked_by="x"),
        note("commit", "tool.look_up", "a:1", outcome="ok", actual={"calls": 1}),
        note("reserve", "tool.stray", "a:1", decision="allow"),
        note("reserve", "llm.messages", "a:1", decision="deny"),
        note("reserve", "llm.messages", "a:1", decision="allow", attempt=2),
        end("a:1", duration_ns=100),
    ]
    fold = RowsFold()
    for entry in entries:
        fold.step(entry)
    [row] = fold.result()
    assert (row.usd_micro, row.input_tokens, row.output_tokens) == (200, 20, 10)
    assert (row.llm_calls, row.tool_calls, row.denied, row.retries) == (3, 3, 1, 1)
    assert (row.queue_ns, row.backoff_ns, row.service_ns) == (1, 2, 40)
    assert summarise(fold, [], 1).latency_ns["p50"] == 10


def test_groups_by_case_tag_and_difficulty() -> None:
    facts = (
        CaseFacts("a", "easy", ("x", "y")),
        CaseFacts("b", "hard", ("y",)),
        CaseFacts("c", null_passes=True),
    )
    entries = [*trial("a:1"), *trial("b:1", "agent"), *trial("c:1")]
    found = summary(entries, 1, *facts)
    assert [(score.name, score.passed) for score in found.by_tag] == [("x", 1), ("y", 1)]
    assert [(score.name, score.trials) for score in found.by_difficulty] == [
        ("easy", 1),
        ("hard", 1),
    ]
    assert [score.name for score in found.by_case] == ["a", "b", "c"]
    assert found.null_declared == ["c"]


def test_a_later_judgement_wins() -> None:
    again = note("note", "rescored", "a:1", passed=True, failure="", score=1.0, verdicts=[])
    assert summary([*trial("a:1", "agent"), again]).overall.passed == 1


def test_traffic_of_no_trial_is_counted() -> None:
    stray = Entry(0, 1, "note", "unattributed")
    assert summary([*trial("a:1"), stray, stray]).unattributed == 2


def test_the_case_of_a_trial() -> None:
    assert [case_of(t) for t in ("a/b:1", "a:1~2", "a:null")] == ["a/b", "a", "a"]


def test_the_case_of_a_scenarios_trial() -> None:
    assert case_of("shop/list@burst:12") == case_of("shop/list@burst:12~2") == "shop/list"


def in_scenario(name: str, failure: str = "", role: str = "subject") -> list[Entry]:
    """The begin and end of a trial `<case>@<scenario>:<n>`."""
    case, _, scenario = name.rpartition(":")[0].partition("@")
    number = int(name.rpartition(":")[2])
    attrs = {"case": case, "repeat": number, "attempt": 1, "role": role, "scenario": scenario}
    return [note("trial", "begin", name, **attrs), end(name, failure)]


def test_each_scenario_has_a_score_of_its_own_trials_and_all_are_in_the_overall_one() -> None:
    fold = RowsFold()
    entries = [
        *in_scenario("a@sequential:1"),
        *in_scenario("a@burst:1", "agent"),
        *in_scenario("b@burst:2"),
        *in_scenario("a@burst:3", role="helper"),
    ]
    for entry in entries:
        fold.step(entry)
    checked = [Checked("burst", "invalid", measures={"p99_ms": 3.0}), Checked("x", "valid")]
    done = [
        ScenarioChecked("sequential", {"needs": []}, []),
        ScenarioChecked("burst", {"needs": ["burst"], "agents": 3}, checked, ended=False),
    ]
    found = summarise(fold, [], 1, done)
    assert (found.overall.trials, found.overall.passed) == (3, 2)
    alone, burst = found.scenarios
    assert (alone.verdict, alone.score.trials, alone.score.passed) == ("valid", 1, 1)
    assert (burst.verdict, burst.score.trials, burst.score.passed) == ("invalid", 2, 1)
    assert (burst.complete, burst.needs, burst.measures) == (False, ["burst"], {"p99_ms": 3.0})
    assert burst.settings["agents"] == 3
