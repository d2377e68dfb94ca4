"""Interfaces that changed over night."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from answers_in_forms import (
    APIS,
    PLAIN,
    events,
    mcp_message,
    tool_call,
    tool_result,
    value_of,
    with_value,
)
from fault_rig import Bench, fault_rig, says, through, whole
from llm_rig import CALL
from proofrig.faults.schema_drift import WAYS, SchemaDrift


@pytest.mark.parametrize(
    ("way", "value", "after"),
    [
        ("rename", {"order_id": 7}, {"orderId": 7}),
        ("rename", {"orderId": 7}, {"order_id": 7}),
        ("rename", {"total": 7}, {"total_value": 7}),
        ("rename", [{"a": 1}, {"a": 2}, 3], [{"a_value": 1}, {"a_value": 2}, 3]),
        ("move", {"total": 7}, {"attributes": {"total": 7}}),
        ("retype", {"a": 7}, {"a": "7"}),
        ("retype", {"a": "7"}, {"a": 7}),
        ("retype", {"a": "x"}, {"a": {"value": "x"}}),
        ("retype", {"a": True}, {"a": "yes"}),
        ("retype", {"a": None}, {"a": ""}),
        ("retype", {"a": [1]}, {"a": {"items": [1], "count": 1}}),
        ("retype", {"a": {"b": 1}}, {"a": [{"b": 1}]}),
    ],
)
@pytest.mark.parametrize("form", ["tool", "mcp"])
async def test_one_member_changes(form: str, way: Any, value: Any, after: Any) -> None:
    seen = await through([SchemaDrift(way=way)], with_value(form, value), tool_call(form))
    assert value_of(form, seen.body) == after
    first = value if isinstance(value, dict) else value[0]
    assert [(one["way"], one["of"]) for one in seen.facts] == [(way, *first)]


@pytest.mark.parametrize("value", [7, "x", None, {}, [], [1, 2]])
async def test_what_has_no_members_was_not_struck(value: Any) -> None:
    seen = await through([SchemaDrift()], tool_result(value), tool_call())
    assert (value_of("tool", seen.body), seen.facts) == (value, [])


async def test_member_and_way_are_drawn_by_the_seed() -> None:
    async def drawn(seed: int) -> list[tuple[str, str]]:
        bench = Bench([SchemaDrift()], seed=seed)
        for _ in range(30):
            await bench.through(lambda: tool_result({"a": 1, "b": 2}), tool_call())
        return [(one["way"], one["of"]) for one in bench.facts]

    assert await drawn(3) == await drawn(3)
    assert set(await drawn(3)) == {(way, of) for way in WAYS for of in "ab"}


async def test_names_are_renamed_wherever_they_are() -> None:
    fault = SchemaDrift(rename={"id": "uid", "no": "never"})
    value = {"id": 1, "rows": [{"id": 2, "x": {"id": 3}}]}
    seen = await through([fault], tool_result(value), tool_call())
    after = {"uid": 1, "rows": [{"uid": 2, "x": {"uid": 3}}]}
    assert value_of("tool", seen.body) == after
    assert seen.facts[0]["rename"] == {"id": "uid", "no": "never"}
    seen = await through([fault], tool_result({"other": 1}), tool_call())
    assert seen.facts == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_a_newer_api_is_read_all_the_same(tmp_path: Path, api: str, stream: bool) -> None:
    handler = says("hello", tool_calls=(CALL,), finish="tool_calls", created=1_700_000_000)
    async with fault_rig(tmp_path, [SchemaDrift()], handler=handler) as rig:
        got = await rig.ask(api, stream=stream)
        turn = got.turn(api)
        assert (turn.text, turn.tool_calls, turn.complete) == ("hello", (CALL,), True)
        values = events(got.body) if stream else [msgspec.json.decode(got.body)]
        assert all(one["api_revision"] == "2" for one in values if isinstance(one, dict))
        gone = {"chat_completions": "created", "responses": "created_at"}.get(api, "stop_sequence")
        assert f'"{gone}"'.encode() not in got.body
        (fact,) = rig.facts()
        assert list(fact["rename"]) == [gone] and fact["added"] == ["api_revision", "links"]
        (action,) = rig.actions()
        assert (action.outcome, action.attr("struck")) == ("ok", ["schema_drift"])


async def test_a_model_loses_what_is_named() -> None:
    fault = SchemaDrift(rename={"choices": "candidates"})
    seen = await through([fault], whole(b'{"id":"x","choices":[]}'))
    assert seen.body == b'{"id":"x","candidates":[]}'


async def test_tools_get_other_arguments() -> None:
    schema = {"type": "object", "properties": {"order_id": {}}, "required": ["order_id"]}
    tools = [{"name": "refund", "inputSchema": schema}, {"name": "ping"}]
    seen = await through([SchemaDrift()], whole(mcp_message(9, tools=tools)), tool_call("mcp"))
    message = msgspec.json.decode(seen.body)
    changed = {"type": "object", "properties": {"orderId": {}}, "required": ["orderId"]}
    assert message["result"]["tools"] == [
        {"name": "refund", "inputSchema": changed},
        {"name": "ping"},
    ]
    assert (message["id"], seen.facts[0]["of"]) == (9, "tools")


async def test_plain_json() -> None:
    seen = await through([SchemaDrift(way="move")], whole(b'{"a":1}'), PLAIN)
    assert seen.body == b'{"attributes":{"a":1}}'
