"""Results and failures of tools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from proofrig.gateways.gateway import Binding
from proofrig.gateways.tool import ToolContext, ToolFailure, json_result, state_json, unknown_tool


@dataclass
class Point:
    x: int


class Model(BaseModel):
    y: int


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, b"null"), ("é", '"é"'.encode()), (Point(1), b'{"x":1}'), ([Model(y=2)], b'[{"y":2}]')],
)
def test_values_become_json(value: Any, text: bytes) -> None:
    assert json_result("t", value, 100) == text


@pytest.mark.parametrize("value", [b"bytes", object(), {"a": object()}, (n for n in ())])
def test_what_is_not_json_is_a_failure(value: Any) -> None:
    with pytest.raises(ToolFailure, match="tool t: expected a result that is JSON") as raised:
        json_result("t", value, 100)
    assert (raised.value.kind, raised.value.outcome) == ("bad_result", "fail")


def test_a_loop_is_a_failure() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ToolFailure, match="expected a result that is JSON"):
        json_result("t", loop, 100)


def test_a_large_result_is_refused_not_cut() -> None:
    assert json_result("t", "x" * 8, 10) == b'"xxxxxxxx"'
    with pytest.raises(ToolFailure, match="the result has 11 bytes and at most 10 are passed on"):
        json_result("t", "x" * 9, 10)


def test_a_suite_without_tools_says_so() -> None:
    assert unknown_tool("x", ()).message == "unknown tool 'x': this suite has no tools"


def test_a_context_knows_whose_call_it_is() -> None:
    bound = Binding("secret", "case:1", "acme", "acme/f/a/r", world="/w", seed=3)
    assert ToolContext.of(bound) == ToolContext("case:1", "acme", Path("/w"), 3)


def test_all_calls_of_a_trial_get_the_same_state() -> None:
    bound = Binding("secret", "case:1", "acme", "acme/f/a/r", state={"calls": 0})
    for _ in range(2):
        ToolContext.of(bound).state["calls"] += 1
    assert ToolContext.of(bound).state is bound.state
    assert bound.state == {"calls": 2}


def test_a_state_becomes_json() -> None:
    state = {"points": [Point(1)], "model": Model(y=2), "none": None}
    assert state_json(state, 100) == b'{"points":[{"x":1}],"model":{"y":2},"none":null}'
    assert state_json({}, 2) == b"{}"


def test_a_state_that_is_not_json_names_its_keys() -> None:
    state = {"good": 1, "lock": object(), "text": "\udcff"}
    with pytest.raises(ValueError, match=r"a state that is JSON .*, got under 'lock', 'text': "):
        state_json(state, 100)
    with pytest.raises(ValueError, match="got under its keys: "):
        state_json({(1, 2): 3}, 100)  # type: ignore[dict-item]
    state["loop"] = state
    with pytest.raises(ValueError, match="'loop'"):
        state_json(state, 100)


def test_a_state_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 10 bytes as JSON, got 11; keep files"):
        state_json({"a": "xyz"}, 10)


def test_a_failure_can_always_be_told() -> None:
    failure = ToolFailure("tool_error", "half a \udcff pair", detail="\ud800")
    assert (failure.message, failure.detail) == ("half a ? pair", "?")
