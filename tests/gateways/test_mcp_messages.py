"""Verdicts on the messages of one connection, without any socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proofrig.gateways.mcp_messages import PASS, Exchange, Verdict, refusal
from proofrig.gateways.tool_action import Ending
from tool_rig import TOKEN, ToolRig, tool_rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[ToolRig]:
    async with tool_rig(tmp_path) as made:
        yield made


def exchange(rig: ToolRig, token: str = TOKEN) -> Exchange:
    return Exchange(rig.calls, rig.calls.identify({}, token), "up")


def call(id: Any = 1, name: Any = "add", **params: Any) -> bytes:
    message = {"id": id, "method": "tools/call", "params": {"name": name, **params}}
    return json.dumps(message).encode()


def outcomes(rig: ToolRig) -> list[str]:
    return [action.outcome for action in rig.actions()]


@pytest.mark.parametrize(
    ("answer", "outcome", "is_error"),
    [
        (b'{"id":1,"result":{"content":[]}}', "ok", False),
        (b'{"id":1,"result":{"content":[],"isError":true}}', "fail", True),
        (b'{"id":1,"result":null}', "ok", False),
        (b'{"id":1,"error":{"code":-32602,"message":"no"}}', "fail", True),
    ],
)
async def test_an_answer_ends_its_call(
    rig: ToolRig, answer: bytes, outcome: str, is_error: bool
) -> None:
    one = exchange(rig)
    assert await one.from_client(call()) == PASS
    assert one.waits
    assert one.from_server(b'{"id":1,"method":"ping"}') == PASS  # the server's own request
    assert one.from_server(b'{"id":"1","result":{}}') == PASS  # another id
    assert one.waits
    assert one.from_server(answer) == PASS
    assert not one.waits
    assert outcomes(rig) == [outcome]
    assert rig.actions()[0].attr("is_error") is is_error


async def test_an_escaped_method_is_a_call_all_the_same(rig: ToolRig) -> None:
    await exchange(rig).from_client(
        b'{"id":1,"method":"tools\\/\\u0063all","params":{"name":"add"}}'
    )
    assert [entry.name for entry in rig.entries("start")] == ["tool.add"]


@pytest.mark.parametrize(
    "body", [b"{nonsense", b"\xff\xfe", b'{"id":1,"method":"tools/call","x":NaN}', b"7", b"[7]"]
)
async def test_what_cannot_be_read_is_not_passed(rig: ToolRig, body: bytes) -> None:
    verdict = await exchange(rig).from_client(body)
    assert verdict.do == "reply"
    assert json.loads(verdict.body)["error"]["code"] == -32700
    assert len(rig.entries("note", "unreadable")) == 1


async def test_calls_of_odd_shape_are_still_calls(rig: ToolRig) -> None:
    one = exchange(rig)
    for body in (call({"odd": 1}), call(2, name=5), b'{"id":3,"method":"tools/call"}'):
        assert await one.from_client(body) == PASS
    one.close("over")
    assert [action.name for action in rig.actions()] == ["tool.add", "tool.", "tool."]
    assert outcomes(rig) == ["unknown"] * 3


async def test_cancelled_notified_and_overtaken_calls_are_unknown(rig: ToolRig) -> None:
    one = exchange(rig)
    await one.from_client(call(1))
    await one.from_client(b'{"method":"notifications/cancelled","params":{"requestId":1}}')
    await one.from_client(b'{"method":"tools/call","params":{"name":"add"}}')
    await one.from_client(call(2))
    await one.from_client(call(2))
    assert outcomes(rig) == ["unknown"] * 4
    one.from_server(b'{"id":2,"result":{}}')
    assert outcomes(rig) == ["unknown"] * 3 + ["ok"]


async def test_a_refused_notification_is_dropped(rig: ToolRig) -> None:
    rig.context.authority.set_budget("acme", {"calls": 0})
    one = exchange(rig)
    assert await one.from_client(b'{"method":"tools/call","params":{"name":"add"}}') == Verdict(
        "drop"
    )
    assert (await one.from_client(call())).do == "reply"


async def test_strangers_may_look_but_not_call(rig: ToolRig) -> None:
    one = exchange(rig, "")
    assert await one.from_client(b'{"id":1,"method":"tools/list"}') == PASS
    assert one.from_server(b'{"id":1,"result":{"tools":[{"name":"add"}]}}') == PASS
    assert (await one.from_client(call())).do == "reply"
    assert rig.actions() == [] and rig.entries("note", "tools_offered") == []
    assert [entry.attrs["tool"] for entry in rig.entries("note", "unattributed")] == ["add"]


async def test_offered_tools_are_noted(rig: ToolRig) -> None:
    one = exchange(rig)
    for id in (1, 2):
        await one.from_client(b'{"id":%d,"method":"tools/list"}' % id)
        one.from_server(b'{"id":%d,"result":{"tools":[{"name":"add"},7]}}' % id)
    (note,) = rig.entries("note", "tools_offered")
    assert (note.attrs["server"], note.attrs["tools"]) == ("up", ["add"])


async def test_what_one_request_left_open_another_may_adopt(rig: ToolRig) -> None:
    first, later = exchange(rig), exchange(rig)
    await first.from_client(call())
    later.adopt(first)
    first.close("over")
    later.from_server(b'{"id":1,"result":{}}')
    assert outcomes(rig) == ["ok"]


def test_a_refusal_answers_the_request_it_refuses() -> None:
    assert json.loads(refusal(b'{"id":"x"}', "no")) == {
        "jsonrpc": "2.0",
        "id": "x",
        "error": {"code": -32000, "message": "no"},
    }
    assert json.loads(refusal(b"nonsense", "no"))["id"] is None


async def test_a_call_is_found_by_the_message_that_began_it(rig: ToolRig) -> None:
    one = exchange(rig)
    await one.from_client(call())
    found = one.call_of(call())
    assert found is not None and (found[0].id, found[1].name) == (1, "tool.add")
    assert one.call_of(b"[" + call() + b"," + call() + b"]") is None
    assert one.call_of(b'{"id":1,"method":"tools/list"}') is None
    one.end(1, Ending("fail", error="no answer"))
    one.end(1, Ending("ok"))  # it has ended
    assert (one.call_of(call()), one.is_open(1), outcomes(rig)) == (None, False, ["fail"])
