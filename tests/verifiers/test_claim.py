from __future__ import annotations

from typing import Any

import pytest

from builders import action, evidence, kept
from proofrig.history.action import Action
from proofrig.verifiers.claim import Claim

REFUND = {"tool": "refund_order", "arguments": {"order": 7}}
PAYLOADS: dict[str, bytes] = {}
SEVEN = kept(PAYLOADS, b'{"order": 7}')
MORE = kept(PAYLOADS, b'{"note": "x", "order": 7.0}')
EIGHT = kept(PAYLOADS, b'{"order": 8}')
CAPPED = kept(PAYLOADS, b'{"order": 7')
LOST = kept({}, b'{"order": 9}')
SAID = "I have refunded order 7."


def judged(answer: str, *actions: Action, **settings: Any) -> Any:
    verifier = Claim.model_validate({"when": "refund(ed)?", "needs": REFUND, **settings})
    return verifier.verify(evidence(answer, actions=actions, payload=PAYLOADS.get))


@pytest.mark.parametrize(
    ("actions", "passed"),
    [
        ((), False),
        ((action("tool.refund_order", arguments=SEVEN),), True),
        ((action("tool.refund_order", arguments=MORE),), True),
        ((action("tool.shop.refund_order", arguments=SEVEN),), True),
        ((action("tool.refund_order", arguments=EIGHT),), False),
        ((action("tool.refund_order", arguments=SEVEN, outcome="fail"),), False),
        ((action("tool.refund_order", arguments=SEVEN, is_error=True),), False),
        ((action("tool.refund_order", arguments=SEVEN, denied=True),), False),
        ((action("tool.refund_order", arguments=SEVEN, outcome="unknown"),), None),
        ((action("tool.refund_order", arguments=SEVEN, outcome=None),), None),
        ((action("tool.refund_order", arguments=CAPPED),), None),
        ((action("tool.refund_order", arguments=LOST),), None),
        ((action("tool.refund_order"),), None),
        ((action("tool.refund_order", arguments=LOST, outcome="fail"),), False),
        ((action("tool.find_order", arguments=SEVEN),), False),
        ((action("refund_order", arguments=SEVEN),), False),  # no tool's action
        (
            (
                action("tool.refund_order", arguments=SEVEN, outcome="fail"),
                action("tool.refund_order", id="a2", arguments=SEVEN),
            ),
            True,
        ),
        (
            (
                action("tool.refund_order", arguments=LOST),
                action("tool.refund_order", id="a2", arguments=SEVEN),
            ),
            True,
        ),
    ],
)
def test_a_claim_needs_its_action(actions: tuple[Action, ...], passed: bool | None) -> None:
    assert judged(SAID, *actions).passed is passed


@pytest.mark.parametrize(
    ("answer", "settings", "passed"),
    [
        ("The order is on its way.", {}, True),
        ("", {}, True),
        ("REFUNDED", {}, False),
        ("REFUNDED", {"ignore_case": False}, True),
        ("I could not refund it.", {"unless": "could not|cannot"}, True),
        ("I could refund it.", {"unless": "could not|cannot"}, False),
        ("refunded \udcff", {}, False),
    ],
)
def test_what_counts_as_a_claim(answer: str, settings: dict[str, Any], passed: bool) -> None:
    assert judged(answer, **settings).passed is passed


def test_every_need_must_be_met() -> None:
    find = action("tool.find_order", id="a2")
    refund = action("tool.refund_order", arguments=SEVEN)
    needs = [REFUND, {"tool": "find_order"}]
    assert judged(SAID, refund, find, needs=needs).passed is True
    verdict = judged(SAID, refund, needs=needs)
    assert verdict.passed is False
    assert verdict.got == "find_order(): never called"


def test_message_shows_what_became_of_the_calls() -> None:
    verdict = judged(SAID, action("tool.refund_order", arguments=EIGHT))
    assert "called with other arguments only" in verdict.message
    assert SAID in verdict.message
