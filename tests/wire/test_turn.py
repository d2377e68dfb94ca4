"""Values of the wire keep what the model wrote."""

from __future__ import annotations

import pytest

from proofrig.wire.turn import Message, ToolCall, Turn


@pytest.mark.parametrize(
    ("text", "value"),
    [('{"a": 1}', {"a": 1}), ("", {}), ('{"a": 1', None), ("[1]", [1])],
)
def test_arguments_are_read_only_when_they_are_json(text: str, value: object) -> None:
    call = ToolCall("c", "f", text)
    assert call.parsed() == value
    assert call.arguments == text


def test_a_turn_becomes_the_assistants_message() -> None:
    call = ToolCall("c", "f")
    turn = Turn("messages", text="hm", tool_calls=(call,))
    assert turn.as_message() == Message("assistant", "hm", (call,))
