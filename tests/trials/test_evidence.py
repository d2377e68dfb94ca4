"""Actions and payloads in, trajectory out: what a tool gateway saw wins over what was told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from builders import entry
from proofrig.history.action import Action, Entry
from proofrig.suites import Case, WorldStart
from proofrig.trials.evidence import exchanges, gather, state_note, trajectory
from proofrig.verifiers.verifier import Evidence
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


def seen(note: Entry | None, payloads: dict[str, bytes], **verifier: Any) -> Evidence:
    verify = [{"type": "json_subset", "value": {}} | verifier]
    made = Case.model_validate({"id": "a", "task": "t", "verify": verify})
    world = WorldStart(Path("w"), {"f": "0"}, {"a.db": "select 1"})
    return gather(made, "42", (), payloads.get, world, state=note)


def test_the_tools_state_is_the_one_noted_last() -> None:
    notes = [entry("note", "tool_state", state=name) for name in ("first", "last")]
    entries = [entry("note", "segment"), *notes, entry("commit", "tool.add", id="a1")]
    assert state_note(entries) is notes[1]
    assert state_note(entries[:1]) is None
    assert seen(notes[1], {"last": b'{"n":[1]}'}, of="state").state == {"n": [1]}


def test_without_a_state_it_is_said_why() -> None:
    noted = entry("note", "tool_state", state="digest")
    broken = entry("note", "tool_state", error="it is not JSON")
    found = [seen(note, {}, of="state") for note in (None, noted, broken)]
    assert [one.state for one in found] == [None] * 3
    assert [one.context["no_state"] for one in found] == [
        "no state was written down: the case gave none when the trial ran",
        "its payload was not kept",
        "it is not JSON",
    ]


def test_a_state_that_nobody_asks_for_is_not_read() -> None:
    noted = entry("note", "tool_state", state="digest")
    assert seen(noted, {"digest": b"{}"}).state is None
    assert seen(noted, {"digest": b"{}"}, of="state").state == {}
    assert seen(noted, {}).context["initial_sql"] == {"a.db": "select 1"}
