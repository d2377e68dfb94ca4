"""Payloads of three APIs and of tools in, short texts out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proofrig.reports.excerpts import Asked, Said, asked, result, text_of, turn


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


CHAT = {
    "messages": [
        {"role": "user", "content": "old"},
        {"role": "assistant", "tool_calls": [{"id": "1"}]},
        {"role": "tool", "tool_call_id": "1", "content": "shipped"},
    ]
}
RESPONSES = {
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "old"}]},
        {"type": "function_call", "name": "lookup", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "shipped"},
    ]
}
MESSAGES = {
    "messages": [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "input": {}}]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "content": [{"type": "text", "text": "shipped"}]}],
        },
    ]
}


@pytest.mark.parametrize(
    ("request_", "who"), [(CHAT, "tool"), (RESPONSES, "tool"), (MESSAGES, "tool")]
)
def test_a_request_shows_what_is_new_to_the_model(request_: Any, who: str) -> None:
    assert asked(encoded(request_), 100) == [Said(who, "shipped")]


def test_a_first_request_shows_everything() -> None:
    first = {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]}
    assert asked(encoded(first), 100) == [Said("system", "S"), Said("user", "U")]
    assert asked(encoded({"input": "plain"}), 100) == [Said("user", "plain")]


def test_a_turn_shows_its_text_and_the_tools_it_asks_for() -> None:
    said = {"text": "hm", "tool_calls": [{"id": "1", "name": "f", "arguments": '{"a'}], "error": ""}
    assert turn(encoded(said), 100) == ("hm", [Asked("f", '{"a')], "")


def test_a_result_shows_the_text_of_its_blocks_or_itself() -> None:
    blocks = {"content": [{"type": "text", "text": "one"}, {"type": "image", "data": "AA"}]}
    assert result(encoded(blocks), 100) == "one\n[image]"
    assert result(b'{"rows": 3}', 100) == '{"rows": 3}'


@pytest.mark.parametrize("data", [None, b"", b"\xff\xfe{", b"[1", b'{"messages": 7}', b"[]", b"3"])
def test_nonsense_is_shown_and_never_breaks(data: bytes | None) -> None:
    assert isinstance(turn(data, 10)[0], str)
    assert isinstance(result(data, 10), str)
    assert all(isinstance(said.text, str) for said in asked(data, 10))


def test_depth_is_bounded() -> None:
    deep: Any = "bottom"
    for _ in range(50):
        deep = {"content": [deep]}
    assert len(text_of(deep)) < 2_000


def test_anthropics_instructions_and_tool_results_have_their_own_names() -> None:
    first = {"system": "Be kind.", "messages": [{"role": "user", "content": "Hello"}]}
    assert asked(encoded(first), 100) == [
        Said("system", "Be kind."),
        Said("user", "Hello"),
    ]
    blocks = [{"type": "tool_result", "tool_use_id": "c1", "content": "42"}]
    then = {
        "system": [{"type": "text", "text": "Be kind."}],
        "messages": [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": [{"type": "text", "text": "Hm"}]},
            {"role": "user", "content": blocks},
        ],
    }
    assert asked(encoded(then), 100) == [Said("tool", "42")]
