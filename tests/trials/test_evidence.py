"""Actions and payloads in, trajectory out: what a tool gateway saw wins over what was told."""

from __future__ import annotations

import msgspec

from proofrig.history.action import Action, Entry
from proofrig.trials.evidence import exchanges, trajectory
from proofrig.wire import CODECS
from proofrig.wire.turn import Message, Request, ToolCall, ToolResult, Turn

PAYLOADS: dict[str, bytes] = {}
ASKED = ToolCall("c1", "orders__refund", '{"id": 7}')


def keep(name: str, data: bytes) -> str:
    PAYLOADS[name] = data
    return name


def turn(id: str, request: Request, answer: Turn) -> Action:
    attrs = {
        "request": keep(f"{id}-request", CODECS["chat_completions"].encode_request(request)),
        "response": keep(f"{id}-response", msgspec.json.encode(answer)),
        "outcome": "ok",
    }
    return ended(id, "llm.chat_completions", attrs)


def tool(id: str, name: str, arguments: bytes, result: bytes, **attrs: object) -> Action:
    kept = {"arguments": keep(f"{id}-arguments", arguments), "result": keep(f"{id}-result", result)}
    return ended(id, f"tool.{name}", {"outcome": "ok", **kept, **attrs})


def ended(id: str, name: str, attrs: dict[str, object]) -> Action:
    end = Entry(0, 0, "commit", name, id=id, attrs=attrs)
    return Action(id=id, name=name, trial="", tenant="", scope="", end=end)


def asks() -> Action:
    request = Request("chat_completions", "m", (Message("user", "refund 7"),))
    return turn("t1", request, Turn("chat_completions", tool_calls=(ASKED,), finish="tool_calls"))


def answers(told: str) -> Action:
    messages = (
        Message("user", "refund 7"),
        Message("assistant", tool_calls=(ASKED,)),
        Message("tool", tool_results=(ToolResult("c1", told),)),
    )
    request = Request("chat_completions", "m", messages)
    return turn("t2", request, Turn("chat_completions", text="done", finish="stop"))


def test_a_tool_gateways_word_wins_over_what_the_agent_told_the_model() -> None:
    seen = tool("a1", "refund", b'{"id":7}', b"no such order", call_id="c1", is_error=True)
    found = trajectory([asks(), seen, answers("refunded!")], PAYLOADS.get)
    [call] = found.calls
    assert (call.name, call.result, call.is_error) == ("refund", "no such order", True)
    assert (call.source, call.state, call.turn) == ("tool", "answered", 0)
    assert call.arguments == '{"id": 7}'


def test_calls_that_no_model_asked_for_are_appended() -> None:
    stray = tool("a1", "look_up", b'{"id":1}', b"{}")
    found = trajectory([asks(), stray], PAYLOADS.get)
    assert [(call.name, call.turn) for call in found.calls] == [
        ("orders__refund", 0),
        ("look_up", -1),
    ]


def test_without_a_gateway_the_traffic_tells() -> None:
    [call] = trajectory([asks(), answers("refunded")], PAYLOADS.get).calls
    assert (call.result, call.source, call.state) == ("refunded", "llm", "answered")


def test_what_was_not_kept_whole_is_passed_over() -> None:
    cut = asks()
    PAYLOADS["t1-request"] = PAYLOADS["t1-request"][:10]
    assert exchanges([cut], PAYLOADS.get) == []
    assert exchanges([asks()], lambda digest: None) == []
