"""Each mistake turns a right reply into a wrong one."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from proofrig.providers.mistakes import Mistake, make, near
from proofrig.providers.prompt import Prompt, Reply
from proofrig.wire.turn import Tool, ToolCall

RIGHT = Reply("Refunding.", (ToolCall("", "refund", '{"id":"A17","cents":100}'),))


def made(value: Any = None, say: str = "", **mistake: Any) -> Reply:
    prompt = Prompt((), (Tool("desk_close"),), seed=3)
    if say:
        mistake["say"] = "{{ filled in }}"
    return make(Mistake(rate=1, **mistake), RIGHT, prompt, value, say)


def arguments(reply: Reply) -> list[str]:
    return [call.arguments for call in reply.calls]


def test_the_kinds() -> None:
    assert arguments(made("B2", kind="wrong_argument", argument="id")) == [
        '{"id":"B2","cents":100}'
    ]
    assert arguments(made(kind="missing_argument", argument="cents")) == ['{"id":"A17"}']
    assert made(kind="wrong_tool", tool="close").calls[0].name == "desk_close"
    assert made(kind="skip_call") == Reply("Refunding.")
    assert made(say="Done!", kind="skip_call") == Reply("Done!")
    assert made(kind="repeat_call").calls == RIGHT.calls * 2
    assert arguments(made(kind="broken_json")) == ['{"id":"A17",']
    assert made(say="Never.", kind="wrong_text").text == "Never."
    assert made(kind="empty") == Reply()


@pytest.mark.parametrize(
    "right", ["A17", "order", "aaa", "7", 100, 1, 0, 12.5, 0.0, True, [1, 2], {}, None, ""]
)
def test_a_near_value_is_wrong_and_follows_from_the_seed(right: Any) -> None:
    wrong = [near(right, Prompt((), seed=seed)) for seed in range(60)]
    assert all(value != right or type(value) is not type(right) for value in wrong)
    assert wrong == [near(right, Prompt((), seed=seed)) for seed in range(60)]


def test_an_argument_that_a_call_lacks_stays_out() -> None:
    assert made("x", kind="wrong_argument", argument="note") == RIGHT


@pytest.mark.parametrize(
    "mistake",
    [
        {"kind": "wrong_argument"},
        {"kind": "wrong_tool"},
        {"kind": "wrong_text"},
        {"kind": "daydream"},
        {"kind": "empty", "rate": 1.5},
        {"kind": "empty", "tol": 1},
    ],
)
def test_mistakes_that_say_too_little_are_refused(mistake: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Mistake.model_validate({"rate": 0.1} | mistake)
