"""Expectations as a case writes them, and what counts of a trial."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from proofrig.verifiers.expectations import Expect, Tried, judged
from proofrig.verifiers.verifier import Verdict
from struck_trials import StruckTrial

PASSED, FAILED, UNMEASURED = (Verdict("exact", outcome) for outcome in (True, False, None))
SORRY = Tried("Sorry, the service failed.")


def struck() -> StruckTrial:
    trial = StruckTrial()
    trial.llm(fault="http_error", outcome="fail", status=500)
    return trial


def names(verdicts: list[Verdict]) -> list[tuple[str, bool | None]]:
    return [(one.verifier, one.passed) for one in verdicts]


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({}, "at least one of outcome"),
        ({"faults": ["reset"]}, "at least one of outcome"),
        ({"outcome": "wins"}, "'completes', 'fails_cleanly' or 'either'"),
        ({"outcome": "either", "says": "("}, "a regular expression"),
        ({"max_attempts": 0}, "greater than or equal to 1"),
        ({"recovers_s": 0}, "greater than 0"),
        ({"max_retries": 3}, "Extra inputs"),
    ],
)
def test_what_cannot_be_expected_is_refused(written: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Expect.model_validate(written)


def test_a_case_goes_over_the_defaults_key_by_key() -> None:
    base = Expect(outcome="completes", max_attempts=3)
    over = Expect(outcome="either", acts_once=("refund",)).over(base)
    assert over == Expect(outcome="either", max_attempts=3, acts_once=("refund",))
    assert Expect(no_partial=True).over(None) == Expect(no_partial=True)


def test_without_expectations_the_verifiers_are_all() -> None:
    found = judged(None, [FAILED], struck().evidence(), SORRY)
    assert (names(found.verdicts), found.unfired) == ([("exact", False)], False)


@pytest.mark.parametrize(
    ("outcome", "own", "counts"),
    [
        ("completes", PASSED, [("exact", True), ("expect.completes", True)]),
        ("completes", FAILED, [("exact", False), ("expect.completes", False)]),
        ("fails_cleanly", FAILED, [("expect.fails_cleanly", True)]),
        ("fails_cleanly", UNMEASURED, [("expect.fails_cleanly", True)]),
        ("either", FAILED, [("expect.either", True)]),
        ("either", PASSED, [("exact", True), ("expect.either", True)]),
    ],
)
def test_where_a_fault_struck_the_outcome_says_what_verifiers_count(
    outcome: Any, own: Verdict, counts: list[tuple[str, bool]]
) -> None:
    expect = Expect(outcome=outcome)
    assert names(judged(expect, [own], struck().evidence(), SORRY).verdicts) == counts


def test_everything_that_is_asked_gets_its_verdict() -> None:
    expect = Expect(
        outcome="either",
        max_attempts=2,
        retry_budget=0.5,
        acts_once=("refund",),
        no_partial=True,
        recovers_s=5,
    )
    found = judged(expect, [FAILED], struck().evidence(SORRY.said), SORRY)
    assert names(found.verdicts) == [
        ("expect.either", True),
        ("expect.max_attempts", True),
        ("expect.retry_budget", True),
        ("expect.acts_once", True),
        ("expect.no_partial", True),
        ("expect.recovers", False),
    ]
    assert [f"expect.{name}" for name in expect.asked] == [one.verifier for one in found.verdicts]


@pytest.mark.parametrize(
    ("expect", "own", "counts", "unfired"),
    [
        (Expect(outcome="completes"), PASSED, [("exact", True)], False),
        (Expect(outcome="completes"), FAILED, [("exact", False)], False),
        (
            Expect(outcome="fails_cleanly"),
            PASSED,
            [("exact", True), ("expect.fails_cleanly", None)],
            True,
        ),
        (
            Expect(outcome="fails_cleanly"),
            FAILED,
            [("exact", False), ("expect.fails_cleanly", None)],
            False,
        ),
        (
            Expect(outcome="completes", max_attempts=3),
            PASSED,
            [("exact", True), ("expect.max_attempts", None)],
            True,
        ),
        (
            Expect(max_attempts=3),
            UNMEASURED,
            [("exact", None), ("expect.max_attempts", None)],
            False,
        ),
    ],
)
def test_where_no_fault_struck_the_case_is_judged_as_any_other(
    expect: Expect, own: Verdict, counts: list[tuple[str, bool | None]], unfired: bool
) -> None:
    trial = StruckTrial()
    trial.llm("fine")
    found = judged(expect, [own], trial.evidence("fine"), Tried("fine"))
    assert (names(found.verdicts), found.unfired) == (counts, unfired)


def test_another_fault_than_the_one_meant_tests_nothing() -> None:
    expect = Expect(max_attempts=3, faults=("slow",))
    assert judged(expect, [PASSED], struck().evidence(), SORRY).unfired
