"""Actions in, attempts and budgets out."""

from __future__ import annotations

import pytest

from proofrig.verifiers.expectations.attempts import chains_of, max_attempts, retry_budget
from struck_trials import StruckTrial


def retried(times: int) -> StruckTrial:
    """One request to a model, tried `times` times, and one that went well at once."""
    trial = StruckTrial()
    before = ""
    for attempt in range(1, times + 1):
        reserve = {"attempt": attempt} | ({"retry_of": before} if before else {})
        last = attempt == times
        fault, status = ("", 200) if last and times > 1 else ("rate_limit", 429)
        outcome = "ok" if status == 200 else "fail"
        before = trial.llm(fault=fault, reserve=reserve, status=status, outcome=outcome)
    trial.llm("done")
    return trial


@pytest.mark.parametrize(("times", "passed"), [(1, True), (3, True), (4, False)])
def test_attempts_at_one_request_are_counted(times: int, passed: bool) -> None:
    found = max_attempts(3, retried(times).hits())
    assert found.passed is passed
    assert found.got == f"{times} at llm.messages"


def test_the_count_that_a_gateway_gives_is_believed() -> None:
    trial = StruckTrial()
    trial.llm(fault="reset", reserve={"attempt": 5}, outcome="fail")
    assert max_attempts(4, trial.hits()).passed is False


def test_equal_calls_of_a_tool_are_attempts_while_they_go_wrong() -> None:
    trial = StruckTrial()
    trial.tool("search", {"q": 1}, fault="reset", undelivered=True)
    trial.tool("search", {"q": 2})
    trial.tool("search", {"q": 1}, is_error=True)
    trial.tool("search", {"q": 1})
    trial.tool("search", {"q": 1})
    chains = {(one.name, one.attempts) for one in chains_of(trial.actions)}
    assert chains == {("tool.search", 3), ("tool.search", 1)}
    assert max_attempts(2, trial.hits()).passed is False
    assert max_attempts(3, trial.hits()).passed is True


def test_requests_that_no_meant_fault_struck_are_not_looked_at() -> None:
    trial = retried(4)
    trial.tool("search", {}, fault="slow:latency")
    assert max_attempts(1, trial.hits("", "slow")).passed is True


def test_the_budget_is_retries_over_requests() -> None:
    found = retry_budget(0.5, retried(3).hits())
    assert (found.passed, found.got) == (False, "1.00: 2 retries of 2 requests")
    assert retry_budget(1.0, retried(3).hits()).passed is True
    assert retry_budget(0.0, retried(1).hits()).passed is True


def test_asking_the_same_again_after_a_late_answer_is_no_retry() -> None:
    trial = StruckTrial()
    for _ in range(3):
        trial.tool("status", {"job": 1}, "running", fault="latency")
    for _ in range(3):
        trial.act("egress.get", {"request": "r"}, {"status": 200}, "latency")
    assert [one.attempts for one in chains_of(trial.actions)] == [1] * 6


def test_asking_a_host_again_whose_answer_a_fault_changed_is_one() -> None:
    trial = StruckTrial()
    trial.act("egress.get", {"request": "r"}, {"status": 200}, "html_page")
    trial.act("egress.get", {"request": "r"}, {"status": 200})
    assert [one.attempts for one in chains_of(trial.actions)] == [2]
