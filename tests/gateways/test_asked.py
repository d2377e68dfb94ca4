"""Joining tool calls to the model turns that asked for them."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.gateways.asked import AskedCalls, canonical, same_tool
from proofrig.wire.turn import ToolCall


def asked(*calls: ToolCall, trial: str = "t") -> AskedCalls:
    waiting = AskedCalls()
    for number, call in enumerate(calls):
        waiting.note(trial, f"llm-{number}", (call,))
    return waiting


def claimed(waiting: AskedCalls, name: str, arguments: Any, call_id: str = "") -> Any:
    found = waiting.claim("t", name, arguments, call_id)
    return found and (found[0].call_id, found[1])


def test_the_id_wins_over_everything() -> None:
    waiting = asked(ToolCall("a", "add", '{"x":1}'), ToolCall("b", "sub", "{}"))
    assert claimed(waiting, "add", {"x": 1}, "b") == ("b", "id")
    assert claimed(waiting, "add", {"x": 1}, "unknown") == ("a", "arguments")
    assert claimed(waiting, "add", {"x": 1}) is None


def test_arguments_are_compared_as_values_not_as_text() -> None:
    waiting = asked(ToolCall("a", "add", '{"y": 2, "x": 1}'), ToolCall("b", "add", '{"x":3}'))
    assert claimed(waiting, "add", {"x": 3}) == ("b", "arguments")
    assert claimed(waiting, "add", {"x": 1, "y": 2}) == ("a", "arguments")


def test_equal_calls_are_claimed_in_the_order_they_were_asked() -> None:
    waiting = asked(*(ToolCall(id, "add", "{}") for id in "abc"))
    assert [claimed(waiting, "add", {}) for _ in range(4)] == [
        ("a", "arguments"),
        ("b", "arguments"),
        ("c", "arguments"),
        None,
    ]


def test_the_name_alone_is_the_last_resort() -> None:
    waiting = asked(ToolCall("a", "add", "not json"), ToolCall("b", "other", "{}"))
    assert claimed(waiting, "add", {"x": 1}) == ("a", "name")


def test_the_very_name_wins_over_one_with_a_prefix() -> None:
    waiting = asked(ToolCall("a", "find_order", '{"x":1}'), ToolCall("b", "order", '{"x":1}'))
    assert claimed(waiting, "order", {"x": 1}) == ("b", "arguments")
    assert claimed(waiting, "order", {"x": 1}) == ("a", "arguments")


def test_trials_do_not_see_each_others_calls() -> None:
    waiting = asked(ToolCall("a", "add", "{}"), trial="other")
    assert waiting.claim("t", "add", {}) is None
    waiting.end("other")
    assert waiting.claim("other", "add", {}) is None


@pytest.mark.parametrize(
    ("model", "tool", "same"),
    [
        ("add", "add", True),
        ("mcp__calc__add", "add", True),
        ("calc-add", "add", True),
        ("calc.add", "add", True),
        ("padd", "add", False),
        ("add", "mcp__calc__add", False),
    ],
)
def test_a_model_may_name_the_tool_with_its_server(model: str, tool: str, same: bool) -> None:
    assert same_tool(model, tool) is same


def test_canonical_arguments_have_sorted_keys() -> None:
    assert canonical({"b": {"d": 1, "c": 2}, "a": [1]}) == '{"a":[1],"b":{"c":2,"d":1}}'
