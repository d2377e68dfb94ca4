"""How an agent ended in, whether it completed or failed cleanly out."""

from __future__ import annotations

import pytest

from proofrig.agents.agent import Reply
from proofrig.verifiers.expectations.outcome import SAYS, Outcome, Tried, outcome_of
from proofrig.verifiers.verifier import Verdict
from struck_trials import StruckTrial

PASSED, FAILED = Verdict("exact", True), Verdict("exact", False)


def judged(wanted: Outcome, own: list[Verdict], tried: Tried, says: str = SAYS) -> Verdict:
    trial = StruckTrial()
    trial.llm(fault="http_error", outcome="fail", status=500)
    return outcome_of(wanted, trial.hits(), own, tried, says)


@pytest.mark.parametrize(
    "said",
    [
        "I'm sorry, the shop cannot be reached at the moment. Please try again later.",
        "The refund failed: the payment service answered with an error.",
        "I could not finish this; the search timed out.",
        "Unfortunately your order was not refunded.",
        "I've tried three times, but the refund has not been processed.",
        "The lookup was not successful.",
        "Your refund could not be completed successfully.",
    ],
)
def test_a_clean_failure_tells_the_user(said: str) -> None:
    assert judged("fails_cleanly", [FAILED], Tried(said)).passed is True


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", "an empty answer"),
        ("Your order is on its way.", "no word of the failure"),
        ("Done without any errors.", "no word of the failure"),
        ("There was a problem. Your order has been refunded.", "a claim of success"),
        ("The service failed once. I have refunded order 7.", "a claim of success"),
        ("Done! The first attempt failed.", "a claim of success"),
        (
            'Traceback (most recent call last):\n  File "a.py", line 3, in run\nKeyError: 1',
            "a raw traceback",
        ),
        ("Error: x\n    at Shop.refund (/app/shop.js:12:5)", "a raw traceback"),
    ],
)
def test_what_is_no_clean_failure(said: str, why: str) -> None:
    found = judged("fails_cleanly", [FAILED], Tried(said))
    assert found.passed is False
    assert why in found.message
    assert "under http_error" in found.expected


def test_a_crash_and_a_timeout_are_no_clean_failure() -> None:
    found = judged("fails_cleanly", [FAILED], Tried("sorry", "timed out after 5 s", True))
    assert (found.passed, found.got) == (False, "timed out after 5 s")


def test_the_words_of_a_failure_can_be_given() -> None:
    assert judged("fails_cleanly", [], Tried("Kein Ergebnis"), "kein ergebnis").passed is True
    assert judged("fails_cleanly", [], Tried("Kein Ergebnis")).passed is False


def test_a_task_that_was_done_is_no_failure_and_the_message_says_so() -> None:
    found = judged("fails_cleanly", [PASSED], Tried("Refunded."))
    assert found.passed is False
    assert "write `either`" in found.message


@pytest.mark.parametrize(
    ("own", "tried", "passed"),
    [
        ([PASSED, PASSED], Tried("7"), True),
        ([PASSED, FAILED], Tried("7"), False),
        ([PASSED, Verdict("sql", None)], Tried("7"), False),
        ([PASSED], Tried("7", "exit code 1"), False),
        ([], Tried("7"), True),
    ],
)
def test_it_completes_when_its_verifiers_pass_and_it_ended_well(
    own: list[Verdict], tried: Tried, passed: bool
) -> None:
    assert judged("completes", own, tried).passed is passed


@pytest.mark.parametrize(
    ("own", "said", "passed"),
    [([PASSED], "7", True), ([FAILED], "It failed, sorry.", True), ([FAILED], "7", False)],
)
def test_either_will_do(own: list[Verdict], said: str, passed: bool) -> None:
    assert judged("either", own, Tried(said)).passed is passed


@pytest.mark.parametrize(
    ("reply", "answer", "tried"),
    [
        (Reply(answer="7"), "7", Tried("7")),
        (
            Reply(ending="error", error="exit code 2", detail="no route to shop", exit_code=2),
            "",
            Tried("no route to shop", "exit code 2"),
        ),
        (
            Reply(ending="error", error="KeyError: 1", detail="Traceback"),
            "",
            Tried("", "KeyError: 1", True),
        ),
        (Reply(ending="killed", exit_code=None), "so far", Tried("so far", "killed", True)),
    ],
)
def test_what_an_agent_wrote_when_it_ended_by_itself_is_what_it_told(
    reply: Reply, answer: str, tried: Tried
) -> None:
    assert Tried.of(reply, answer) == tried
