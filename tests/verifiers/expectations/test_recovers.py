"""Times of faults and of what went well in, time to recover out."""

from __future__ import annotations

import pytest

from proofrig.verifiers.expectations.recovers import recovers
from struck_trials import SECOND, StruckTrial


@pytest.mark.parametrize(("pause", "took", "passed"), [(0, 2.0, True), (5, 7.0, False)])
def test_the_next_success_of_that_kind_ends_it(pause: int, took: float, passed: bool) -> None:
    trial = StruckTrial()
    trial.llm(fault="http_error", status=503, outcome="fail")
    trial.now += pause * SECOND
    trial.llm("whole again")
    found = recovers(3.0, trial.hits())
    assert (found.passed, found.got) == (passed, f"llm.messages after {took:.2f} s")


def test_the_last_fault_counts_and_each_kind_recovers_by_itself() -> None:
    trial = StruckTrial()
    trial.llm(fault="http_error", outcome="fail", status=503)
    trial.tool("search", {}, fault="reset", undelivered=True)
    trial.now += 60 * SECOND
    trial.llm(fault="http_error", outcome="fail", status=503)
    trial.llm("whole again")
    found = recovers(3.0, trial.hits())
    assert (found.passed, found.got) == (False, "tool.search never went well again")


def test_a_call_that_was_only_late_recovers_with_itself() -> None:
    trial = StruckTrial()
    trial.llm("late", fault="latency")
    assert recovers(1.0, trial.hits()).passed is True


@pytest.mark.parametrize("commit", [{"is_error": True}, {"undelivered": True}, {"outcome": "fail"}])
def test_what_went_wrong_again_is_no_recovery(commit: dict[str, object]) -> None:
    trial = StruckTrial()
    trial.tool("search", {}, fault="reset", undelivered=True)
    trial.tool("search", {}, **commit)
    assert recovers(9.0, trial.hits()).passed is False
