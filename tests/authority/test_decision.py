"""What a transition answers, as a decision and as words."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.authority.decision import Decision, decision_of, refused
from proofrig.authority.transition import Transition


def made(event: Any, **more: Any) -> Transition:
    return Transition(1, 0, event, "a", "new", "acme/w/b/r", **more)


@pytest.mark.parametrize(
    ("transition", "decision"),
    [
        (made("reserve"), Decision("allow", "a")),
        (made("reserve", rule="ok"), Decision("allow", "a", rule="ok")),
        (
            made("reserve", rule="short", max_tokens=5),
            Decision("cap", "a", rule="short", max_tokens=5),
        ),
        (
            made("ask", rule="big", expires=2_000_000_000),
            Decision("ask", "a", rule="big", wait_s=2.0),
        ),
    ],
)
def test_a_transition_is_an_answer(transition: Transition, decision: Decision) -> None:
    assert decision_of(transition) == decision
    assert decision.allowed == (decision.effect in ("allow", "cap"))


@pytest.mark.parametrize(
    ("code", "more", "fix"),
    [
        (
            "budget_exceeded",
            {"amounts": {"tokens": 9}, "remaining": {"tokens": 4, "calls": 2}},
            "asked 9 tokens where 4 remain; ask for less, wait until open holds settle, or raise "
            "the budget of acme",
        ),
        (
            "rate_exceeded",
            {
                "amounts": {"tokens": 9},
                "remaining": {"tokens/minute": 4},
                "retry_ns": 1_500_000_000,
            },
            "asked 9 tokens/minute where 4 remain; wait 1.5 s, or raise the limit of acme",
        ),
        (
            "budget_exceeded",
            {"amounts": {"calls:rule.five": 1}, "remaining": {"calls:rule.five": 0, "calls": 2}},
            "the cap of rule five is used up; do without it, or raise the cap",
        ),
        (
            "rate_exceeded",
            {
                "amounts": {"calls:rule.five": 1},
                "remaining": {"calls:rule.five/hour": 0},
                "retry_ns": 1_500_000_000,
            },
            "the cap of rule five is used up; wait 1.5 s, or raise the cap",
        ),
        (
            "fan_out_exceeded",
            {},
            "acme may open no further child scope; use one that is open, or raise its children",
        ),
        ("run_stopped", {}, "acme was stopped; nothing starts in it any more"),
        ("forbidden", {"fix": "do without"}, "do without"),
    ],
)
def test_a_denial_says_what_to_do(code: str, more: dict[str, Any], fix: str) -> None:
    decision = decision_of(made("deny", code=code, at="acme", **more))
    assert (decision.effect, decision.code, decision.scope, decision.fix) == (
        "deny",
        code,
        "acme",
        fix,
    )
    denied = decision.denied()
    assert (denied.code, denied.fix, denied.retry_ns) == (code, fix, decision.retry_ns)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("approval_refused", "boss refused it: no"),
        ("approval_timeout", "nobody approved it in time"),
    ],
)
def test_what_was_not_approved_says_who_and_why(code: str, said: str) -> None:
    reason = "no" if code == "approval_refused" else ""
    decision = refused(Decision("ask", "a", rule="big"), code, "boss", reason)
    assert (decision.effect, decision.code, decision.rule) == ("deny", code, "big")
    assert said in decision.fix


def test_the_history_keeps_what_says_something() -> None:
    assert Decision("allow", "a").facts() == {"decision": "allow"}
    judged = Decision("deny", "a", code="forbidden", rule="r", scope="acme", fix="x")
    assert Decision("allow", "a", shadow=judged).facts() == {
        "decision": "allow",
        "shadow": {
            "decision": "deny",
            "rule": "r",
            "code": "forbidden",
            "at": "acme",
            "fix": "x",
        },
    }
    assert Decision("allow", "a", shadow=Decision("allow", "a")).facts() == {"decision": "allow"}


@pytest.mark.parametrize(
    ("remaining", "rule"),
    [
        ({"calls:rule.five": 0, "calls": 3}, "five"),
        ({"calls:rule.five/hour": 0}, "five"),
        ({"calls": 0}, ""),
    ],
)
def test_a_cap_that_is_used_up_names_its_rule(remaining: dict[str, int], rule: str) -> None:
    amounts = {"calls": 1, "calls:rule.five": 1}
    decision = decision_of(
        made("deny", code="budget_exceeded", at="acme", amounts=amounts, remaining=remaining)
    )
    assert decision.rule == rule
