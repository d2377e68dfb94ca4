"""Model traffic in, trajectory out."""

from __future__ import annotations

from proofrig.wire.trajectory import rebuild
from proofrig.wire.turn import Message, Request, ToolCall, ToolResult, Turn

API = "chat_completions"


def asks(*calls: ToolCall, id: str = "") -> Turn:
    return Turn(API, id=id, tool_calls=calls, finish="tool_calls")


def request(*messages: Message, previous_id: str = "") -> Request:
    return Request(API, "m", messages, previous_id=previous_id)


def user(text: str) -> Message:
    return Message("user", text)


def echo(*calls: ToolCall) -> Message:
    return Message("assistant", tool_calls=calls)


def result(call_id: str, content: str, is_error: bool | None = None) -> Message:
    return Message("tool", tool_results=(ToolResult(call_id, content, is_error),))


LOOK = ToolCall("c1", "look_up", '{"id": 7}')
PAY = ToolCall("c2", "pay", '{"usd":5}')
SAID = Turn(API, text="done", finish="stop")


def test_results_are_joined_by_call_id_whatever_their_order() -> None:
    second = request(user("x"), echo(LOOK, PAY), result("c2", "paid"), result("c1", "no", True))
    found = rebuild([(request(user("x")), asks(LOOK, PAY)), (second, SAID)])
    assert [(c.name, c.result, c.is_error, c.state, c.turn) for c in found.calls] == [
        ("look_up", "no", True, "answered", 0),
        ("pay", "paid", None, "answered", 0),
    ]
    assert [turn.text for turn in found.turns] == ["", "done"]


def test_arguments_are_what_the_model_wrote_not_what_was_echoed() -> None:
    rewritten = ToolCall("c1", "look_up", '{"id":7,"x":null}')
    second = request(user("x"), echo(rewritten), result("c1", "ok"))
    found = rebuild([(request(user("x")), asks(LOOK)), (second, SAID)])
    assert found.calls[0].arguments == '{"id": 7}'


def test_a_last_tool_turn_is_unseen() -> None:
    assert rebuild([(request(user("x")), asks(LOOK))]).calls[0].state == "unseen"


def test_a_conversation_that_went_on_without_the_result_is_unanswered() -> None:
    went_on = request(user("x"), echo(LOOK), user("never mind"))
    found = rebuild([(request(user("x")), asks(LOOK)), (went_on, SAID)])
    assert found.calls[0].state == "unanswered"


def test_a_conversation_that_went_on_by_id_is_unanswered() -> None:
    went_on = request(user("never mind"), previous_id="r1")
    found = rebuild([(request(user("x")), asks(LOOK, id="r1")), (went_on, SAID)])
    assert found.calls[0].state == "unanswered"


def test_a_parallel_branch_does_not_speak_for_another() -> None:
    other = request(user("something else"))
    found = rebuild([(request(user("x")), asks(LOOK)), (other, SAID)])
    assert found.calls[0].state == "unseen"
