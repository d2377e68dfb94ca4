"""Which faults an expectation is about."""

from __future__ import annotations

from proofrig.verifiers.expectations.struck import unfired, verdict
from struck_trials import StruckTrial


def test_all_faults_are_meant_or_those_that_are_named() -> None:
    trial = StruckTrial()
    trial.llm("a", fault="slow:latency")
    trial.tool("search", {}, fault="reset")
    trial.llm("b", fault="slow:latency")
    trial.tool("search", {})
    assert [one.id for one in trial.hits().struck] == ["a0", "a1", "a2"]
    assert trial.hits().says() == "reset, slow 2 times"
    assert [one.id for one in trial.hits("", "slow").struck] == ["a0", "a2"]
    assert trial.hits("", "latency").struck == ()


def test_a_verdict_says_what_is_expected_and_what_came() -> None:
    found = verdict("max_attempts", False, "at most 3", "5")
    assert (found.verifier, found.passed, found.score) == ("expect.max_attempts", False, 0.0)
    assert found.message == "expected at most 3; got 5"


def test_an_expectation_that_nothing_tested_says_what_to_do() -> None:
    found = unfired("recovers", ("slow", "reset"))
    assert found.passed is None
    assert "none of the faults it is about (slow, reset) struck this trial" in found.message
    assert "Raise `probability`" in found.message
    assert "no fault struck this trial" in unfired("recovers", ()).message
