"""Answers that are not all there, and finished as if they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from fault_rig import APIS, call_at, fault_rig, says, through, whole
from llm_rig import CALL as TOOL_CALL
from proofrig.faults.partial_response import PartialResponse


def call(form: str) -> Any:
    return call_at("tool", form)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_a_model_says_half_and_stops(tmp_path: Path, api: str, stream: bool) -> None:
    async with fault_rig(tmp_path, [PartialResponse()], handler=says("0123456789")) as rig:
        got = await rig.ask(api, stream=stream)
        (fact,), (end,) = rig.facts(), rig.ends()
    turn = got.turn(api)
    assert (turn.text, turn.finish, turn.complete) == ("01234", "stop", True)
    assert (got.ended, fact["characters"], fact["of"]) == ("whole", 5, 10)
    assert (end.attrs["outcome"], end.attrs["struck"]) == ("ok", ["partial_response"])


async def test_a_turn_without_text_is_not_struck(tmp_path: Path) -> None:
    silent = says("", tool_calls=(TOOL_CALL,), finish="tool_calls")
    async with fault_rig(tmp_path, [PartialResponse()], handler=silent) as rig:
        got = await rig.ask()
        assert got.turn("chat_completions").tool_calls == (TOOL_CALL,)
        assert rig.facts() == []


@pytest.mark.parametrize(
    ("value", "cut"),
    [
        ([1, 2, 3, 4], [1, 2]),
        ("abcdef", "abc"),
        (
            {"id": "abcd", "rows": [{"a": 1}, {"a": 2}, {"a": 3}]},
            {"id": "abcd", "rows": [{"a": 1}]},
        ),
        ({"page": {"items": ["x", "y"]}, "n": 2}, {"page": {"items": ["x"]}, "n": 2}),
        (["abcdef"], ["abc"]),
        ('{"rows": [1, 2, 3, 4]}', '{"rows":[1,2]}'),
        ("[not json]", "[not "),
        (12, 12),
        ({}, {}),
        ({"a": None, "b": 1.5}, {"a": None, "b": 1.5}),
        ([], []),
        ("", ""),
    ],
)
@pytest.mark.parametrize("form", ["tool", "plain"])
async def test_json_keeps_a_share_of_its_longest_part(form: str, value: Any, cut: Any) -> None:
    said = {"result": value} if form == "tool" else value
    expected = {"result": cut} if form == "tool" else cut
    seen = await through([PartialResponse()], whole(msgspec.json.encode(said)), call(form))
    assert msgspec.json.decode(seen.body) == expected
    assert len(seen.facts) == (value != cut)


async def test_what_a_tool_says_over_mcp() -> None:
    text = {"type": "text", "text": '{"rows":[1,2,3,4]}'}
    message = {"jsonrpc": "2.0", "id": 4, "result": {"content": [text]}}
    seen = await through([PartialResponse()], whole(msgspec.json.encode(message)), call("mcp"))
    got = msgspec.json.decode(seen.body)
    assert got["id"] == 4 and got["result"]["content"][0]["text"] == '{"rows":[1,2]}'


@pytest.mark.parametrize("status", [400, 500])
async def test_a_failure_is_not_struck(status: int) -> None:
    answer = whole(b'{"result": "abcdef"}', status=status)
    assert (await through([PartialResponse()], answer, call("tool"))).facts == []
