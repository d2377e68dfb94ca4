"""Messages, whole: golden requests and responses, the SDK as judge of what is encoded."""

from __future__ import annotations

import json
from collections.abc import Callable

import anthropic
import pytest

from proofrig.wire.codec import WireError
from proofrig.wire.messages import CODEC
from proofrig.wire.turn import Message, Request, Tool, ToolCall, ToolResult, Turn, Usage

REQUEST = b"""{
  "model": "claude-x", "max_tokens": 1024, "stream": true,
  "system": [{"type": "text", "text": "Be ", "cache_control": {"type": "ephemeral"}},
             {"type": "text", "text": "brief."}],
  "messages": [
    {"role": "user", "content": [
      {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}},
      {"type": "text", "text": "Add these"}]},
    {"role": "assistant", "content": [
      {"type": "thinking", "thinking": "hm", "signature": "s"},
      {"type": "text", "text": "Let me."},
      {"type": "server_tool_use", "id": "st1", "name": "web_search", "input": {"query": "x"}},
      {"type": "web_search_tool_result", "tool_use_id": "st1", "content": []},
      {"type": "tool_use", "id": "t1", "name": "add", "input": {"a":  2.0}},
      {"type": "tool_use", "id": "t2", "name": "add", "input": {}}]},
    {"role": "user", "content": [
      {"type": "tool_result", "tool_use_id": "t1", "content": "5"},
      {"type": "tool_result", "tool_use_id": "t2", "is_error": true, "content": [
        {"type": "text", "text": "no "}, {"type": "image", "source": {}},
        {"type": "text", "text": "arguments"}]},
      {"type": "text", "text": "Go on."}]}],
  "tools": [{"name": "add", "description": "Adds.", "input_schema": {"type": "object"}},
            {"type": "web_search_20260209", "name": "web_search", "max_uses": 3}],
  "thread": {"type": "continue", "previous_message_id": "msg_0"}
}"""
RESPONSE = b"""{
  "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x",
  "content": [
    {"type": "thinking", "thinking": "hm", "signature": "s"},
    {"type": "redacted_thinking", "data": "AAAA"},
    {"type": "text", "text": "Let me ", "citations": null},
    {"type": "text", "text": "add."},
    {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 2,  "b": 3}},
    {"type": "tool_use", "id": "t2", "name": "add", "input": {}}],
  "stop_reason": "tool_use", "stop_sequence": null,
  "usage": {"input_tokens": 10, "output_tokens": 30, "cache_creation_input_tokens": 5,
            "cache_read_input_tokens": 85, "output_tokens_details": {"thinking_tokens": 12},
            "service_tier": "standard"}
}"""


def response(**fields: object) -> bytes:
    return json.dumps({"content": [{"type": "text", "text": "x"}]} | fields).encode()


def test_a_request_is_read_whatever_its_content_is_made_of() -> None:
    assert CODEC.decode_request(REQUEST) == Request(
        api="messages",
        model="claude-x",
        messages=(
            Message("system", "Be brief."),
            Message("user", "Add these"),
            Message(
                "assistant",
                "Let me.",
                tool_calls=(ToolCall("t1", "add", '{"a":  2.0}'), ToolCall("t2", "add", "{}")),
            ),
            Message(
                "tool",
                "Go on.",
                tool_results=(ToolResult("t1", "5"), ToolResult("t2", "no \narguments", True)),
            ),
        ),
        tools=(Tool("add", "Adds.", {"type": "object"}), Tool("web_search")),
        stream=True,
        max_tokens=1024,
        previous_id="msg_0",
    )


def test_a_response_with_thinking_and_parallel_calls_is_read() -> None:
    usage = Usage(input=100, output=30, cache_read=85, cache_write=5, reasoning=12)
    assert CODEC.decode_response(RESPONSE) == Turn(
        api="messages",
        id="msg_1",
        model="claude-x",
        text="Let me add.",
        tool_calls=(ToolCall("t1", "add", '{"a": 2,  "b": 3}'), ToolCall("t2", "add", "{}")),
        finish="tool_calls",
        usage=usage,
    )
    assert CODEC.usage_of(RESPONSE) == usage


@pytest.mark.parametrize(
    ("wire", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("pause_turn", "unknown"),
    ],
)
def test_stop_reasons_map_to_the_small_set(wire: str, finish: str) -> None:
    assert CODEC.decode_response(response(stop_reason=wire)).finish == finish


def test_a_refusal_a_missing_stop_and_an_error_body_are_told_apart() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "No."}
    refused = CODEC.decode_response(response(stop_reason="refusal", stop_details=details))
    assert (refused.refusal, refused.finish) == ("No.", "content_filter")
    assert CODEC.decode_response(response(stop_reason=None)).complete is False
    failed = CODEC.decode_response(CODEC.encode_error(529, "", "Overloaded"))
    assert (failed.finish, failed.error, failed.complete) == ("error", "Overloaded", True)


@pytest.mark.parametrize("bad", [b"", b"<html>", b"{}", b"[1]", b'{"model":"m"}', b'{"a":"\xff"}'])
def test_bytes_that_are_no_such_body_raise_and_never_have_usage(bad: bytes) -> None:
    with pytest.raises(WireError, match="expected a Messages request"):
        CODEC.decode_request(bad)
    with pytest.raises(WireError, match="expected a Messages response"):
        CODEC.decode_response(bad)
    assert CODEC.usage_of(bad) is None


def test_amending_sets_the_limit_and_keeps_every_other_value() -> None:
    amended = CODEC.amend_request(REQUEST, max_tokens=7, ask_usage=True)
    assert CODEC.decode_request(amended).max_tokens == 7
    assert b'"input": {"a":  2.0}' in amended
    assert CODEC.amend_request(REQUEST, ask_usage=True) is REQUEST


ADD = b'{"name": "add", "input_schema": {"x": 1.0}}'
WEB = b'{"type":"web_search_20260209", "name":"web_search"}'
SET = b'{"type":"mcp_toolset","mcp_server_name":"s"}'


@pytest.mark.parametrize(
    ("given", "amended"),
    [
        (b'{"tools": [%b,\n %b]}' % (WEB, ADD), b'{"tools":[%b]}' % ADD),
        (b'{"tools":[%b,%b],"n":1,"tool_choice":{"type":"any"}}' % (WEB, SET), b'{"n":1}'),
        (
            b'{"tools":[%b,%b],"tool_choice":{"type":"any"}}' % (WEB, ADD),
            b'{"tools":[%b],"tool_choice":{"type":"any"}}' % ADD,
        ),
        (
            b'{"tools":[%b,%b],"tool_choice":{"type":"tool","name":"web_search",'
            b'"disable_parallel_tool_use":true}}' % (WEB, ADD),
            b'{"tools":[%b],"tool_choice":{"type":"auto","disable_parallel_tool_use":true}}' % ADD,
        ),
        (
            b'{"tool_choice": {"type": "tool", "name": "add"},"tools":[%b,%b]}' % (WEB, ADD),
            b'{"tool_choice":{"type": "tool", "name": "add"},"tools":[%b]}' % ADD,
        ),
    ],
)
def test_tools_are_cut_with_every_choice_of_them(given: bytes, amended: bytes) -> None:
    gone = ["web_search", "mcp_toolset", "any"]
    assert CODEC.amend_request(given, without_tools=gone) == amended
    assert CODEC.amend_request(amended, without_tools=gone) is amended


@pytest.mark.parametrize(
    ("given", "amended"),
    [
        (b'[{"role":"user","content":"a"}]', rb'[{"role":"user","content":"a\n\nN"}]'),
        (
            b'[{"role":"user","content":[{"type":"tool_result","content": [ ]} ] } ]',
            b'[{"role":"user","content":[{"type":"tool_result","content": [ ]},'
            b'{"type":"text","text":"N"} ]} ]',
        ),
        (
            b'[{"role":"user","content":"a"}, {"role":"assistant","content":"{"}]',
            rb'[{"role":"user","content":"a\n\nN"}, {"role":"assistant","content":"{"}]',
        ),
        (
            b'[{"role":"user","content":"a"},{"role":"system","content":"b"}]',
            rb'[{"role":"user","content":"a"},{"role":"system","content":"b\n\nN"}]',
        ),
        (b"[]", b'[{"role":"user","content":"N"}]'),
    ],
)
def test_a_note_joins_the_last_message_that_is_not_the_assistants(
    given: bytes, amended: bytes
) -> None:
    body = CODEC.amend_request(b'{"messages":%b,"n": 1}' % given, note="N")
    assert body == b'{"messages":%b,"n":1}' % amended
    assert CODEC.amend_request(body, note="N") is body


def test_every_change_at_once_to_what_the_sdk_sends(
    sent: list[bytes], anthropic_given: Callable[..., anthropic.Anthropic]
) -> None:
    given = json.loads(REQUEST)
    del given["thread"]
    client = anthropic_given(RESPONSE)
    client.messages.create(**given | {"tool_choice": {"type": "tool", "name": "add"}})
    asked = CODEC.decode_request(sent[0])
    amended = CODEC.amend_request(
        sent[0], max_tokens=5, ask_usage=True, without_tools=["add"], note="Stop."
    )
    last = asked.messages[-1]
    assert CODEC.decode_request(amended) == Request(
        api="messages",
        model="claude-x",
        messages=(
            *asked.messages[:-1],
            Message("tool", "Go on.Stop.", tool_results=last.tool_results),
        ),
        tools=(Tool("web_search"),),
        stream=True,
        max_tokens=5,
    )
    before, after = json.loads(sent[0]), json.loads(amended)
    assert after["tool_choice"] == {"type": "auto"}
    assert list(after) == list(before)
    assert after["system"] == before["system"]
    blocks = after["messages"][-1]["content"]
    assert blocks == [*before["messages"][-1]["content"], {"type": "text", "text": "Stop."}]


def test_broken_arguments_travel_as_an_object() -> None:
    turn = Turn("messages", tool_calls=(ToolCall("t", "add", '{"a": 4'),), finish="tool_calls")
    [block] = json.loads(CODEC.encode_response(turn))["content"]
    assert block["input"] == {"INVALID_JSON": '{"a": 4'}


def test_the_sdk_reads_what_is_encoded(
    anthropic_given: Callable[..., anthropic.Anthropic],
) -> None:
    client = anthropic_given(CODEC.encode_response(CODEC.decode_response(RESPONSE)))
    got = client.messages.create(model="m", max_tokens=9, messages=[])
    anthropic.types.Message.model_validate(got.model_dump())
    assert [block.to_dict() for block in got.content] == [
        {"type": "text", "text": "Let me add."},
        {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 2, "b": 3}},
        {"type": "tool_use", "id": "t2", "name": "add", "input": {}},
    ]
    assert (got.stop_reason, got.usage.input_tokens) == ("tool_use", 10)
    assert (got.usage.cache_read_input_tokens, got.usage.cache_creation_input_tokens) == (85, 5)


def test_the_sdk_raises_the_error_that_is_encoded(
    anthropic_given: Callable[..., anthropic.Anthropic],
) -> None:
    client = anthropic_given(CODEC.encode_error(400, "thread_unsupported_request", "full"), 400)
    with pytest.raises(anthropic.BadRequestError, match="full") as raised:
        client.messages.create(model="m", max_tokens=9, messages=[])
    assert raised.value.type == "invalid_request_error"
    assert json.loads(raised.value.response.content)["error"]["details"] == {
        "error_code": "thread_unsupported_request"
    }


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, "authentication_error"), (429, "rate_limit_error"), (500, "api_error")],
)
def test_an_error_is_written_as_the_api_writes_it(status: int, kind: str) -> None:
    assert json.loads(CODEC.encode_error(status, kind, "m")) == {
        "type": "error",
        "error": {"type": kind, "message": "m"},
    }


def test_an_encoded_request_has_the_fields_the_api_demands() -> None:
    wire = json.loads(CODEC.encode_request(Request("messages", "m", (Message("user", "hi"),))))
    assert wire == {
        "model": "m",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": "hi"}],
    }
