from __future__ import annotations

from typing import Any

import pytest

from builders import call, evidence
from proofrig.verifiers.trajectory import TrajectoryMatch
from proofrig.wire.trajectory import Call

FIND = call("find", id=1)
PAY = call("pay", id=1, amount=2.5)
LISTED: list[dict[str, Any]] = [
    {"name": "find", "arguments": {"id": 1}},
    {"name": "pay", "arguments": {"id": 1, "amount": 2.5}},
]


def passed(made: list[Call], **settings: Any) -> bool | None:
    verifier = TrajectoryMatch.model_validate({"calls": LISTED, **settings})
    return verifier.verify(evidence("", *made)).passed


@pytest.mark.parametrize(
    ("made", "modes"),
    [
        ([FIND, PAY], "strict unordered subset superset"),
        ([PAY, FIND], "unordered subset superset"),
        ([FIND], "subset"),
        ([], "subset"),
        ([FIND, PAY, FIND], "superset"),
        ([FIND, PAY, call("other")], "superset"),
        ([FIND, FIND], ""),
        ([call("other")], ""),
        ([FIND, call("pay", id=1, amount=3)], ""),
    ],
)
def test_the_four_modes(made: list[Call], modes: str) -> None:
    for mode in ("strict", "unordered", "subset", "superset"):
        assert passed(made, mode=mode) is (mode in modes.split()), mode


@pytest.mark.parametrize(
    ("made", "accepted_by"),
    [
        (call("pay", id=1, amount=2.5), "exact subset ignore"),
        (call("pay", raw='{"amount": 2.50, "id": 1.0}'), "exact subset ignore"),
        (call("pay", id=1, amount=2.5, note="x"), "subset ignore"),
        (call("pay", id=1), "ignore"),
        (call("pay"), "ignore"),  # no arguments at all meet nothing that is listed
        (call("pay", id="1", amount=2.5), "ignore"),
        (call("pay", raw='{"id": 1, "amou'), "ignore"),
        (call("pay", raw="\udcff"), "ignore"),
        (call("pay", raw="[1]"), "ignore"),
        (call("mcp__bank__pay", id=1, amount=2.5), "exact subset ignore"),
        (call("repay", id=1, amount=2.5), ""),
        (call("re_pay", id=1, amount=2.5), ""),
    ],
)
def test_the_three_ways_of_comparing_arguments(made: Call, accepted_by: str) -> None:
    for arguments in ("exact", "subset", "ignore"):
        expected = arguments in accepted_by.split()
        assert passed([FIND, made], arguments=arguments) is expected, arguments


def test_rules_of_a_tool_and_of_a_call() -> None:
    other = [FIND, call("pay", id=1, amount=9)]
    assert passed(other) is False
    assert passed(other, tools={"pay": {"arguments": "ignore"}}) is True
    assert passed(other, tools={"pay": {"keys": ["id"]}}) is True
    assert passed(other, tools={"pay": {"keys": ["amount"]}}) is False
    loose = [LISTED[0], {**LISTED[1], "match": "ignore"}]
    assert passed(other, calls=loose) is True


def test_a_loose_listed_call_does_not_take_what_a_strict_one_needs() -> None:
    listed = [{"name": "f", "match": "ignore"}, {"name": "f", "arguments": {"a": 1}}]
    made = [call("f", a=1), call("f", a=2)]
    assert passed(made, calls=listed, mode="unordered") is True
    assert passed(made, calls=listed, mode="strict") is False


def test_a_retry_of_a_failed_call_is_no_further_step() -> None:
    failed = call("find", id=1, error=True)
    assert passed([failed, failed, FIND, PAY]) is True
    assert passed([FIND, FIND, PAY]) is False
    assert passed([call("find", id=2, error=True), FIND, PAY]) is False


def test_ignored_tools_are_left_out() -> None:
    made = [call("get_time"), FIND, call("get_user", id=3), PAY]
    assert passed(made) is False
    assert passed(made, ignore=["get_*"]) is True


def test_messages_name_the_calls() -> None:
    verifier = TrajectoryMatch.model_validate({"calls": LISTED, "mode": "unordered"})
    message = verifier.verify(evidence("", FIND, call("other"))).message
    assert 'missing: pay({"id": 1, "amount": 2.5}); not listed: other()' in message
    strict = TrajectoryMatch.model_validate({"calls": LISTED})
    assert "call 1 is other(), not find" in strict.verify(evidence("", call("other"))).message
    assert "1 calls, not 2" in strict.verify(evidence("", FIND)).message
