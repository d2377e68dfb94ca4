"""Valid JSON of another shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from answers_in_forms import (
    APIS,
    PLAIN,
    events,
    model_call,
    said,
    tool_call,
    tool_result,
    value_of,
    with_value,
)
from fault_rig import Bench, fault_rig, through, whole
from llm_rig import turn
from proofrig.faults.wrong_shape import SHAPES, WrongShape

MAIN = {"chat_completions": "choices", "responses": "output", "messages": "content"}


@pytest.mark.parametrize(
    ("shape", "value", "after"),
    [
        ("listed", {"a": 1}, [{"a": 1}]),
        ("listed", [1], {"items": [1]}),
        ("listed", "x", ["x"]),
        ("nested", {"a": 1}, {"data": {"a": 1}}),
        ("nested", [1], {"data": [1]}),
        ("stringified", {"a": 1, "b": [2.5, True]}, {"a": "1", "b": ["2.5", "true"]}),
        ("stringified", {"a": "x"}, '{"a":"x"}'),
        ("stringified", 7, "7"),
        ("missing", {"a": 1}, {}),
        ("missing", [{"a": 1}, {"a": 2}, 3], [{}, {}, 3]),
        ("missing", 5, {}),
        ("nulled", {"a": 1}, {"a": None}),
        ("nulled", [{"a": 1}, {"a": 2}], [{"a": None}, {"a": None}]),
        ("nulled", "x", None),
    ],
)
async def test_the_shapes_of_a_result(shape: Any, value: Any, after: Any) -> None:
    seen = await through([WrongShape(shape=shape)], tool_result(value), tool_call())
    assert value_of("tool", seen.body) == after
    assert [one["shape"] for one in seen.facts] == [shape]


async def test_a_text_that_stays_itself_was_not_struck() -> None:
    seen = await through([WrongShape(shape="stringified")], tool_result("x"), tool_call())
    assert (value_of("tool", seen.body), seen.facts) == ("x", [])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("api", APIS)
async def test_a_model_is_read_no_more(tmp_path: Path, api: str, shape: Any) -> None:
    async with fault_rig(tmp_path, [WrongShape(shape=shape)]) as rig:
        got = await rig.ask(api)
        value = msgspec.json.decode(got.body)
        (action,) = rig.actions()
        assert got.status == 200 and action.attr("struck") == ["wrong_shape"]
        if shape == "missing":
            assert MAIN[api] not in value
        elif shape == "nulled":
            assert value[MAIN[api]] is None
        if shape != "stringified":  # numbers are read as text too
            assert action.outcome == "fail"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("api", APIS)
async def test_the_events_of_a_stream(api: str, shape: Any) -> None:
    call = model_call(api, stream=True)
    before = events((await through([], said(api, turn(api), stream=True), call)).body)
    seen = await through([WrongShape(shape=shape)], said(api, turn(api), stream=True), call)
    after = events(seen.body)
    assert len(after) == len(before) and after != before
    if shape == "nested":
        assert after[0] == {"data": before[0]}
    if shape == "missing" and api == "chat_completions":
        assert not any("choices" in one for one in after if isinstance(one, dict))
    assert len(seen.facts) == 1


async def test_without_a_shape_the_seed_draws_one() -> None:
    async def drawn(seed: int) -> list[str]:
        bench = Bench([WrongShape()], seed=seed)
        for _ in range(20):
            await bench.through(lambda: tool_result({"a": 1}), tool_call())
        return [one["shape"] for one in bench.facts]

    assert set(await drawn(1)) == set(SHAPES)
    assert await drawn(1) == await drawn(1) != await drawn(2)


async def test_the_member_is_drawn_too() -> None:
    bench = Bench([WrongShape(shape="missing")])
    value = {"a": 1, "b": 2, "c": 3}
    left = [
        frozenset(value_of("tool", (await bench.through(tool_result(value), tool_call())).body))
        for _ in range(20)
    ]
    assert {len(one) for one in left} == {2} and len(set(left)) == 3


async def test_mcp_and_plain_json() -> None:
    fault = WrongShape(shape="nested")
    seen = await through([fault], with_value("mcp", {"a": 1}), tool_call("mcp"))
    assert value_of("mcp", seen.body) == {"data": {"a": 1}}
    seen = await through([fault], whole(b'{"a":1}'), PLAIN)
    assert seen.body == b'{"data":{"a":1}}'
