"""Answers with nothing in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from answers_in_forms import APIS, PLAIN, mcp_result, tool_call, tool_result, value_of, with_value
from fault_rig import fault_rig, says, through, whole
from llm_rig import CALL
from proofrig.faults.empty_result import EmptyResult


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_a_turn_says_and_asks_for_nothing(tmp_path: Path, api: str, stream: bool) -> None:
    handler = says("some words", tool_calls=(CALL,), finish="tool_calls")
    async with fault_rig(tmp_path, [EmptyResult()], handler=handler) as rig:
        got = await rig.ask(api, stream=stream)
        turn = got.turn(api)
        assert (turn.text, turn.tool_calls, turn.finish, turn.complete) == ("", (), "stop", True)
        assert turn.usage is not None and turn.usage.output == 5
        assert got.headers["content-type"].startswith("text/event-stream") == stream
        (action,) = rig.actions()
        assert (action.outcome, action.attr("struck")) == ("ok", ["empty_result"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("form", "body"), [("empty_object", b"{}"), ("empty_body", b"")])
async def test_a_body_is_empty(tmp_path: Path, form: Any, body: bytes, stream: bool) -> None:
    async with fault_rig(tmp_path, [EmptyResult(form=form)]) as rig:
        got = await rig.ask(stream=stream)
        assert (got.status, got.body, got.ended) == (200, body, "whole")
        (action,) = rig.actions()
        assert (action.outcome, rig.calls, rig.facts()[0]["form"]) == ("fail", 1, form)


@pytest.mark.parametrize(
    ("value", "empty"),
    [({"a": 1}, {}), ([1, 2], []), ("text", ""), (7, None), (True, None), (0.5, None)],
)
async def test_a_result_is_empty_of_its_own_type(value: Any, empty: Any) -> None:
    seen = await through([EmptyResult()], tool_result(value), tool_call())
    assert (value_of("tool", seen.body), len(seen.facts)) == (empty, 1)


@pytest.mark.parametrize("value", [{}, [], "", None])
async def test_what_was_empty_was_not_struck(value: Any) -> None:
    seen = await through([EmptyResult()], tool_result(value), tool_call())
    assert (value_of("tool", seen.body), seen.facts) == (value, [])


@pytest.mark.parametrize("form", ["empty_turn", "empty_object", "empty_body"])
@pytest.mark.parametrize(("value", "text"), [({"a": 1}, "{}"), ([1], "[]"), ("word", "")])
async def test_an_mcp_result_keeps_its_id(value: Any, text: str, form: Any) -> None:
    seen = await through([EmptyResult(form=form)], with_value("mcp", value), tool_call("mcp"))
    message = msgspec.json.decode(seen.body)
    assert (message["id"], message["result"]["content"][0]["text"]) == (4, text)
    assert seen.facts[0]["form"] == "empty_turn"


async def test_many_texts_of_an_mcp_result_are_none() -> None:
    seen = await through([EmptyResult()], mcp_result("a", "b"), tool_call("mcp"))
    assert msgspec.json.decode(seen.body)["result"]["content"] == []


@pytest.mark.parametrize(
    ("kind", "body", "empty"),
    [("application/json", b"[1]", b"[]"), ("text/plain", b"words", b"")],
)
async def test_at_the_egress_gateway(kind: str, body: bytes, empty: bytes) -> None:
    seen = await through([EmptyResult()], whole(body, kind), PLAIN)
    assert (seen.body, seen.headers["content-type"]) == (empty, kind)
