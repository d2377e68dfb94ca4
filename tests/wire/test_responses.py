"""Responses, whole: golden requests and responses, the SDK as judge of what is encoded."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

from proofrig.wire.codec import WireError
from proofrig.wire.responses import CODEC
from proofrig.wire.turn import Message, Request, Tool, ToolCall, ToolResult, Turn, Usage

REQUEST: dict[str, Any] = {
    "model": "gpt-5",
    "instructions": "Be brief.",
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Add these"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA"},
            ],
        },
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "AA"},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Let me.", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a":1'},
        {"type": "reasoning", "id": "rs_2", "summary": []},
        {"type": "custom_tool_call", "call_id": "c2", "name": "py", "input": "print(1)"},
        {"type": "shell_call", "call_id": "c3", "action": {"commands": ["ls"]}},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "function_call_output", "call_id": "c1", "output": "3"},
        {
            "type": "custom_tool_call_output",
            "call_id": "c2",
            "output": [{"type": "input_text", "text": "1"}],
        },
        {"type": "item_reference", "id": "msg_0"},
        {"type": "message", "role": "developer", "content": "Hurry."},
    ],
    "tools": [
        {"type": "function", "name": "add", "parameters": {"type": "object"}, "strict": True},
        {"type": "web_search"},
    ],
    "stream": True,
    "max_output_tokens": 64,
    "previous_response_id": "resp_0",
}
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1_790_000_000.0,
    "status": "completed",
    "model": "gpt-5-2026-08-01",
    "output": [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Let me add.", "annotations": []}],
        },
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {}},
        {"type": "mcp_call", "id": "mcp_1", "name": "x", "arguments": "{}", "output": "o"},
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "c1",
            "name": "add",
            "arguments": '{"a": 1}',
        },
        {
            "type": "function_call",
            "id": "fc_2",
            "call_id": "c2",
            "name": "add",
            "arguments": '{"a": 2}',
        },
    ],
    "error": None,
    "incomplete_details": None,
    "usage": {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 4},
        "output_tokens": 30,
        "output_tokens_details": {"reasoning_tokens": 12},
        "total_tokens": 130,
    },
}


def body(value: object) -> bytes:
    return json.dumps(value).encode()


def test_a_request_is_read_into_messages_as_the_other_apis_have_them() -> None:
    assert CODEC.decode_request(body(REQUEST)) == Request(
        api="responses",
        model="gpt-5",
        messages=(
            Message("system", "Be brief."),
            Message("user", "Add these"),
            Message(
                "assistant",
                "Let me.",
                tool_calls=(
                    ToolCall("c1", "add", '{"a":1'),
                    ToolCall("c2", "py", "print(1)"),
                    ToolCall("c3", "shell", '{"commands":["ls"]}'),
                ),
            ),
            Message("tool", tool_results=(ToolResult("c1", "3"),)),
            Message("tool", tool_results=(ToolResult("c2", "1"),)),
            Message("system", "Hurry."),
        ),
        tools=(Tool("add", schema={"type": "object"}), Tool("web_search")),
        stream=True,
        max_tokens=64,
        previous_id="resp_0",
    )


@pytest.mark.parametrize(
    ("given", "messages"),
    [
        ("hi", (Message("user", "hi"),)),
        ([], ()),
        (None, ()),
        (
            [{"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"}],
            (Message("assistant", tool_calls=(ToolCall("c", "n"),)),),
        ),
    ],
)
def test_input_may_be_text_items_or_nothing(given: object, messages: object) -> None:
    assert CODEC.decode_request(body({"model": "m", "input": given})).messages == messages


def test_a_response_with_reasoning_and_parallel_calls_is_read() -> None:
    usage = Usage(input=100, output=30, cache_read=64, cache_write=4, reasoning=12)
    assert CODEC.decode_response(body(RESPONSE)) == Turn(
        api="responses",
        id="resp_1",
        model="gpt-5-2026-08-01",
        text="Let me add.",
        tool_calls=(ToolCall("c1", "add", '{"a": 1}'), ToolCall("c2", "add", '{"a": 2}')),
        finish="tool_calls",
        usage=usage,
        created=1_790_000_000,
    )
    assert CODEC.usage_of(body(RESPONSE)) == usage


@pytest.mark.parametrize(
    ("fields", "finish", "complete"),
    [
        ({}, "stop", True),
        ({"status": "incomplete"}, "unknown", True),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            "length",
            True,
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            "content_filter",
            True,
        ),
        ({"status": "failed", "error": {"code": "server_error", "message": "m"}}, "error", True),
        ({"status": "queued"}, "unknown", False),
    ],
)
def test_the_finish_follows_from_the_status(
    fields: dict[str, Any], finish: str, complete: bool
) -> None:
    turn = CODEC.decode_response(body(RESPONSE | {"output": []} | fields))
    assert (turn.finish, turn.complete) == (finish, complete)


def test_a_refusal_and_an_error_body_are_read() -> None:
    parts = [{"type": "refusal", "refusal": "No."}]
    output = [{"type": "message", "role": "assistant", "content": parts}]
    refused = CODEC.decode_response(body(RESPONSE | {"output": output}))
    assert (refused.text, refused.refusal, refused.finish) == ("", "No.", "stop")
    failed = CODEC.decode_response(CODEC.encode_error(500, "", "boom"))
    assert (failed.finish, failed.error, failed.complete) == ("error", "boom", True)


@pytest.mark.parametrize("bad", [b"", b"<html>", b"[1]", b'{"input":7}', b'{"model":"\xff"}'])
def test_bytes_that_are_no_such_body_raise_and_never_have_usage(bad: bytes) -> None:
    with pytest.raises(WireError, match="expected a Responses request"):
        CODEC.decode_request(bad)
    with pytest.raises(WireError, match="expected a Responses response"):
        CODEC.decode_response(bad)
    assert CODEC.usage_of(bad) is None


def test_amending_sets_the_limit_and_keeps_every_other_value() -> None:
    given = b'{"input" : [ {"x": 1.0} ], "model":"m"}'
    amended = CODEC.amend_request(given, max_tokens=7, ask_usage=True)
    assert amended == b'{"input":[ {"x": 1.0} ],"model":"m","max_output_tokens":7}'
    assert CODEC.amend_request(given, ask_usage=True) is given


ADD = b'{"type":"function", "name":"add","parameters":{"x": 1.0}}'
WEB = b'{"type": "web_search"}'
CRM = b'{"type":"namespace","name":"crm","tools":[%b, {"type":"custom","name":"py"}]}' % ADD


@pytest.mark.parametrize(
    ("given", "amended"),
    [
        (b'{"tools": [%b,\n %b , %b]}' % (WEB, ADD, WEB), b'{"tools":[%b]}' % ADD),
        (
            b'{"parallel_tool_calls":true,"tools":[%b],"tool_choice":"required","n":1}' % WEB,
            b'{"n":1}',
        ),
        (
            b'{"tools":[%b,%b],"tool_choice":{"type":"web_search"}}' % (WEB, ADD),
            b'{"tools":[%b],"tool_choice":"auto"}' % ADD,
        ),
        (
            b'{"tools":[{"type":"mcp","server_label":"s"},%b],'
            b'"tool_choice":{"type":"mcp","server_label":"s","name":"ask"}}' % ADD,
            b'{"tools":[%b],"tool_choice":"auto"}' % ADD,
        ),
        (
            b'{"tools":[%b,%b],"tool_choice":{"type":"function", "name":"add"}}' % (WEB, ADD),
            b'{"tools":[%b],"tool_choice":{"type":"function", "name":"add"}}' % ADD,
        ),
        (
            b'{"tools":[%b,%b],"tool_choice":{"type":"allowed_tools","mode":"auto",'
            b'"tools":[{"type":"web_search"}, {"type":"function","name":"add"}]}}' % (WEB, ADD),
            b'{"tools":[%b],"tool_choice":{"type":"allowed_tools","mode":"auto",'
            b'"tools":[{"type":"function","name":"add"}]}}' % ADD,
        ),
        (
            b'{"tools":[%b,%b],"tool_choice":{"type":"allowed_tools","mode":"required",'
            b'"tools":[{"type":"web_search"}]}}' % (WEB, ADD),
            b'{"tools":[%b],"tool_choice":"none"}' % ADD,
        ),
        (
            b'{"tools":[%b]}' % CRM,
            b'{"tools":[{"type":"namespace","name":"crm","tools":[%b]}]}' % ADD,
        ),
        (b'{"tools":[{"type":"namespace","name":"n","tools":[{"name":"py"}]}]}', b"{}"),
    ],
)
def test_tools_are_cut_with_every_choice_of_them(given: bytes, amended: bytes) -> None:
    gone = ["web_search", "mcp", "py"]
    assert CODEC.amend_request(given, without_tools=gone) == amended
    assert CODEC.amend_request(amended, without_tools=gone) is amended


def test_a_namespace_goes_by_its_name() -> None:
    given = b'{"tools":[%b,%b]}' % (CRM, WEB)
    assert CODEC.amend_request(given, without_tools=["crm"]) == b'{"tools":[%b]}' % WEB


@pytest.mark.parametrize(
    ("given", "amended"),
    [
        (b'{"input": "a\\u00e9","n":1}', rb'{"input":"a\u00e9\n\nN","n":1}'),
        (
            b'{"input":[ {"type":"function_call_output","output":"3"} ]}',
            b'{"input":[ {"type":"function_call_output","output":"3"},'
            b'{"type":"message","role":"user","content":"N"} ]}',
        ),
        (b'{"prompt":{"id": "p"},"input":null}', b'{"prompt":{"id": "p"},"input":"N"}'),
        (b'{"previous_response_id":"r"}', b'{"previous_response_id":"r","input":"N"}'),
    ],
)
def test_a_note_is_the_last_of_the_input(given: bytes, amended: bytes) -> None:
    assert CODEC.amend_request(given, note="N") == amended
    assert CODEC.amend_request(amended, note="N") is amended
    assert CODEC.decode_request(amended).messages[-1].text.endswith("N")


def test_every_change_at_once_to_what_the_sdk_sends(
    sent: list[bytes], openai_given: Callable[..., openai.OpenAI]
) -> None:
    client = openai_given(body(RESPONSE))
    client.responses.create(**REQUEST | {"tool_choice": {"type": "function", "name": "add"}})
    asked = CODEC.decode_request(sent[0])
    amended = CODEC.amend_request(
        sent[0], max_tokens=5, ask_usage=True, without_tools=["add"], note="Stop."
    )
    assert CODEC.decode_request(amended) == Request(
        api="responses",
        model="gpt-5",
        messages=(*asked.messages, Message("user", "Stop.")),
        tools=(Tool("web_search"),),
        stream=True,
        max_tokens=5,
        previous_id="resp_0",
    )
    before, after = json.loads(sent[0]), json.loads(amended)
    assert (list(after), after["tool_choice"]) == (list(before), "auto")
    assert after["input"][:-1] == before["input"]


@pytest.mark.parametrize("finish", ["stop", "length", "content_filter", "error"])
def test_the_sdk_reads_what_is_encoded(
    finish: Any, openai_given: Callable[..., openai.OpenAI]
) -> None:
    turn = Turn(
        api="responses",
        id="resp_1",
        model="m",
        text="Hi.",
        refusal="No.",
        tool_calls=(ToolCall("c1", "add", "{}"),),
        finish=finish,
        usage=Usage(100, 30, 64, 4, 12),
        error="boom" if finish == "error" else "",
    )
    got = openai_given(CODEC.encode_response(turn)).responses.create(model="m", input="x")
    openai.types.responses.Response.model_validate(got.model_dump())
    assert got.output_text == "Hi."
    assert got.output[1].to_dict()["call_id"] == "c1"
    assert got.usage is not None and got.usage.total_tokens == 130
    status = {"error": "failed", "stop": "completed"}.get(finish, "incomplete")
    assert got.status == status


def test_an_encoded_request_has_the_fields_of_the_api() -> None:
    request = CODEC.decode_request(body(REQUEST))
    wire = json.loads(CODEC.encode_request(request))
    assert wire["instructions"] == "Be brief."
    assert [item["type"] for item in wire["input"]] == [
        "message",
        "message",
        "function_call",
        "function_call",
        "function_call",
        "function_call_output",
        "function_call_output",
        "message",
    ]
    assert CODEC.decode_request(CODEC.encode_request(request)) == request


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, ""),
        ("conv_1", "conv_1"),
        ({"id": "conv_1"}, "conv_1"),
        ({}, "unreadable"),
        (7, "unreadable"),
    ],
)
def test_a_conversation_is_an_id_or_an_object_with_one(given: object, read: str) -> None:
    request = CODEC.decode_request(body({"model": "m", "input": "hi", "conversation": given}))
    assert request.conversation == read
