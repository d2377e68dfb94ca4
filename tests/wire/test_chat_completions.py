"""Chat Completions, whole: golden requests and responses, the SDK as judge of what is encoded."""

from __future__ import annotations

import json
from collections.abc import Callable

import openai
import pytest

from proofrig.wire.chat_completions import CODEC
from proofrig.wire.codec import WireError
from proofrig.wire.turn import Message, Request, Tool, ToolCall, ToolResult, Turn, Usage

REQUEST = {
    "model": "gpt-5",
    "messages": [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Add these"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "hm",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "add", "arguments": '{"a":1'},
                },
                {"id": "c2", "type": "custom", "custom": {"name": "py", "input": "print(1)"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "3"}]},
        {"role": "tool", "tool_call_id": "c2", "content": "1"},
    ],
    "tools": [
        {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}},
        {"type": "custom", "custom": {"name": "py", "description": "Run."}},
    ],
    "stream": True,
    "max_tokens": 64,
    "temperature": 0.2,
    "vendor_extension": {"x": [1]},
}
RESPONSE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_790_000_000,
    "model": "gpt-5-2026-08-01",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Let me add.",
                "refusal": None,
                "annotations": [],
                "tool_calls": [
                    {
                        "id": f"call_{n}",
                        "type": "function",
                        "function": {"name": "add", "arguments": f'{{"a": {n}}}'},
                    }
                    for n in (1, 2)
                ],
            },
            "logprobs": None,
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {
        "prompt_tokens": 100,
        "completion_tokens": 30,
        "total_tokens": 130,
        "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 12},
    },
    "service_tier": "default",
}


LAST = ToolResult("c2", "1\n\nStop.")


def body(value: object) -> bytes:
    return json.dumps(value).encode()


def response(finish: str | None, **message: object) -> bytes:
    return body({"choices": [{"message": message, "finish_reason": finish}]})


def test_a_request_is_read_whatever_its_content_is_made_of() -> None:
    assert CODEC.decode_request(body(REQUEST)) == Request(
        api="chat_completions",
        model="gpt-5",
        messages=(
            Message("system", "Be brief."),
            Message("user", "Add these"),
            Message(
                "assistant",
                tool_calls=(ToolCall("c1", "add", '{"a":1'), ToolCall("c2", "py", "print(1)")),
            ),
            Message("tool", tool_results=(ToolResult("c1", "3"),)),
            Message("tool", tool_results=(ToolResult("c2", "1"),)),
        ),
        tools=(Tool("add", schema={"type": "object"}), Tool("py", "Run.")),
        stream=True,
        max_tokens=64,
        wants_usage=False,
    )


@pytest.mark.parametrize(
    ("options", "wants"),
    [
        (None, False),
        ({}, False),
        ({"include_usage": False}, False),
        ({"include_usage": True}, True),
    ],
)
def test_a_stream_wants_its_usage_only_when_it_asks(options: object, wants: bool) -> None:
    request = REQUEST | {"stream_options": options}
    assert CODEC.decode_request(body(request)).wants_usage is wants
    assert CODEC.decode_request(body(request | {"stream": False})).wants_usage is True


def test_a_response_with_parallel_calls_is_read() -> None:
    assert CODEC.decode_response(body(RESPONSE)) == Turn(
        api="chat_completions",
        id="chatcmpl-1",
        model="gpt-5-2026-08-01",
        text="Let me add.",
        tool_calls=(ToolCall("call_1", "add", '{"a": 1}'), ToolCall("call_2", "add", '{"a": 2}')),
        finish="tool_calls",
        usage=Usage(input=100, output=30, cache_read=64, reasoning=12),
        created=1_790_000_000,
    )
    assert CODEC.usage_of(body(RESPONSE)) == Usage(100, 30, 64, 0, 12)


@pytest.mark.parametrize(
    ("wire", "finish"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("function_call", "tool_calls"),
        ("something_new", "unknown"),
    ],
)
def test_finish_reasons_map_to_the_small_set(wire: str, finish: str) -> None:
    assert CODEC.decode_response(response(wire, content="x")).finish == finish


def test_a_refusal_a_missing_finish_and_an_error_body_are_told_apart() -> None:
    assert CODEC.decode_response(response("stop", content=None, refusal="No.")).refusal == "No."
    assert CODEC.decode_response(response(None, content="x")).complete is False
    failed = CODEC.decode_response(CODEC.encode_error(429, "rate_limit_exceeded", "slow down"))
    assert (failed.finish, failed.error, failed.complete) == ("error", "slow down", True)


@pytest.mark.parametrize("bad", [b"", b"<html>", b"{}", b"[1]", b'{"model":"m"}', b'{"a":"\xff"}'])
def test_bytes_that_are_no_such_body_raise_and_never_have_usage(bad: bytes) -> None:
    with pytest.raises(WireError, match="expected a Chat Completions request"):
        CODEC.decode_request(bad)
    with pytest.raises(WireError, match="expected a Chat Completions response"):
        CODEC.decode_response(bad)
    assert CODEC.usage_of(bad) is None


@pytest.mark.parametrize(
    ("given", "amended"),
    [
        (b'{"max_tokens": 9}', b'{"max_tokens":5}'),
        (b'{"max_completion_tokens": 9}', b'{"max_completion_tokens":5}'),
        (
            b'{"max_tokens": 9, "max_completion_tokens": null}',
            b'{"max_tokens":5,"max_completion_tokens":5}',
        ),
        (b'{"n": 1.0}', b'{"n":1.0,"max_completion_tokens":5}'),
        (
            b'{"max_tokens":1,"stream" : true , "x": [ 1 ]}',
            b'{"max_tokens":5,"stream":true,"x":[ 1 ],"stream_options":{"include_usage":true}}',
        ),
        (
            b'{"max_tokens":1,"stream_options":{"z": 1 ,"include_usage":false},"stream":true}',
            b'{"max_tokens":5,"stream_options":{"z":1,"include_usage":true},"stream":true}',
        ),
        (b'{"max_tokens":1,"stream":false}', b'{"max_tokens":5,"stream":false}'),
    ],
)
def test_amending_sets_the_limit_in_use_and_asks_streams_for_usage(
    given: bytes, amended: bytes
) -> None:
    assert CODEC.amend_request(given, max_tokens=5, ask_usage=True) == amended


def test_amending_nothing_changes_no_byte() -> None:
    odd = b'  { "b" : 1 }\n'
    assert CODEC.amend_request(odd) is odd


ADD = b'{"type":"function", "function":{"name":"add","parameters":{"x": 1.0}}}'
PY = b'{"type":"custom","custom":{"name":"py"}}'
SEARCH = b'{"type": "web_search"}'


@pytest.mark.parametrize(
    ("given", "amended"),
    [
        (
            b'{"tools": [%b , %b,\n %b]}' % (ADD, PY, SEARCH),
            b'{"tools":[%b,\n %b]}' % (ADD, SEARCH),
        ),
        (b'{"tools":[ %b, %b ]}' % (PY, ADD), b'{"tools":[ %b ]}' % ADD),
        (
            b'{"tools":[%b],"tool_choice":"auto","n":1,"parallel_tool_calls":false}' % PY,
            b'{"n":1}',
        ),
        (
            b'{"tool_choice":{"type":"custom","custom":{"name":"py"}},"tools":[%b,%b]}' % (PY, ADD),
            b'{"tool_choice":"auto","tools":[%b]}' % ADD,
        ),
        (
            b'{"tools":[%b,%b],"tool_choice":{"type":"function", "function":{"name":"add"}}}'
            % (PY, ADD),
            b'{"tools":[%b],"tool_choice":{"type":"function", "function":{"name":"add"}}}' % ADD,
        ),
        (
            b'{"tools":[%b,%b],"tool_choice":"required"}' % (PY, ADD),
            b'{"tools":[%b],"tool_choice":"required"}' % ADD,
        ),
        (
            b'{"tools":[%b,%b],"tool_choice":{"type":"allowed_tools",'
            b'"allowed_tools":{"mode":"required","tools":[%b, %b]}}}' % (PY, ADD, PY, ADD),
            b'{"tools":[%b],"tool_choice":{"type":"allowed_tools",'
            b'"allowed_tools":{"mode":"required","tools":[%b]}}}' % (ADD, ADD),
        ),
        (
            b'{"tools":[%b,%b],"tool_choice":{"type":"allowed_tools",'
            b'"allowed_tools":{"mode":"auto","tools":[%b]}}}' % (PY, ADD, PY),
            b'{"tools":[%b],"tool_choice":"none"}' % ADD,
        ),
        (b'{"functions":[{"name":"py"}],"function_call":{"name":"py"}}', b"{}"),
        (
            b'{"functions":[{"name":"py"},{"name":"b"}],"function_call":{"name":"py"}}',
            b'{"functions":[{"name":"b"}],"function_call":"auto"}',
        ),
    ],
)
def test_tools_are_cut_with_every_choice_of_them(given: bytes, amended: bytes) -> None:
    assert CODEC.amend_request(given, without_tools=["py", "gone"]) == amended
    assert CODEC.amend_request(amended, without_tools={"py"}) is amended


def test_a_built_in_tool_goes_by_its_type() -> None:
    given = b'{"model":"m","messages":[],"tools":[%b,%b]}' % (SEARCH, ADD)
    assert [tool.name for tool in CODEC.decode_request(given).tools] == ["web_search", "add"]
    left = CODEC.amend_request(given, without_tools=["web_search"])
    assert [tool.name for tool in CODEC.decode_request(left).tools] == ["add"]


@pytest.mark.parametrize(
    "odd",
    [
        b'{ "tools": null }',
        b'{ "tools": {"name": "py"} }',
        b'{ "tools": [1, null, "py", {"function": 7, "name": "py"}, {"name": ["py"]}, []] }',
        b'{ "tools": [], "tool_choice": {"type":"custom","custom":{"name":"py"}} }',
        b'{ "tool_choice": 7, "function_call": [] }',
    ],
)
def test_tools_of_no_known_shape_stay_as_they_are(odd: bytes) -> None:
    assert CODEC.amend_request(odd, without_tools=["py"]) is odd


@pytest.mark.parametrize(
    ("given", "amended"),
    [
        (
            b'[ {"role":"user", "content":"a\\u00e9"} ]',
            rb'[ {"role":"user","content":"a\u00e9\n\nN\""} ]',
        ),
        (b'[{"role":"user","content":""}]', rb'[{"role":"user","content":"N\""}]'),
        (b'[{"role":"user"}]', rb'[{"role":"user","content":"N\""}]'),
        (
            b'[{"role":"user","content":[ {"type":"image_url"} ]}]',
            rb'[{"role":"user","content":[ {"type":"image_url"},{"type":"text","text":"N\""} ]}]',
        ),
        (
            b'[{"role":"user","content":"a"},\n{"role":"tool","tool_call_id":"c","content":"3"}]',
            b'[{"role":"user","content":"a"},\n'
            rb'{"role":"tool","tool_call_id":"c","content":"3\n\nN\""}]',
        ),
        (
            b'[{"role":"user","content":"a"},{"role":"assistant","content":"{","prefix":true}]',
            rb'[{"role":"user","content":"a\n\nN\""},'
            b'{"role":"assistant","content":"{","prefix":true}]',
        ),
        (
            b'[ {"role":"assistant","content":"x"}]',
            rb'[{"role":"user","content":"N\""}, {"role":"assistant","content":"x"}]',
        ),
        (b"[ ]", rb'[{"role":"user","content":"N\""} ]'),
    ],
)
def test_a_note_joins_the_last_message_that_is_not_the_assistants(
    given: bytes, amended: bytes
) -> None:
    body = CODEC.amend_request(b'{"messages": %b,"n":1}' % given, note='N"')
    assert body == b'{"messages":%b,"n":1}' % amended
    assert CODEC.amend_request(body, note='N"') is body


@pytest.mark.parametrize("bad", [b"", b"[]", b"{", b'"note"'])
def test_amending_what_is_no_object_says_so(bad: bytes) -> None:
    for change in ({"note": "n"}, {"without_tools": ["a"]}):
        with pytest.raises(WireError, match="expected a request object as JSON, got"):
            CODEC.amend_request(bad, **change)


def test_every_change_at_once_to_what_the_sdk_sends(
    sent: list[bytes], openai_given: Callable[..., openai.OpenAI]
) -> None:
    client = openai_given(body(RESPONSE))
    given = {key: value for key, value in REQUEST.items() if key != "vendor_extension"}
    choice = {"type": "function", "function": {"name": "add"}}
    client.chat.completions.create(**given | {"stream": True, "tool_choice": choice})
    asked = CODEC.decode_request(sent[0])
    amended = CODEC.amend_request(
        sent[0], max_tokens=5, ask_usage=True, without_tools=["add"], note="Stop."
    )
    assert CODEC.decode_request(amended) == Request(
        api="chat_completions",
        model="gpt-5",
        messages=(*asked.messages[:-1], Message("tool", tool_results=(LAST,))),
        tools=(Tool("py", "Run."),),
        stream=True,
        max_tokens=5,
        wants_usage=True,
    )
    changed = {"messages", "tools", "tool_choice", "max_tokens", "stream_options"}
    before, after = json.loads(sent[0]), json.loads(amended)
    assert [*before, "stream_options"] == list(after)
    assert {key: before[key] for key in before.keys() - changed} == {
        key: after[key] for key in after.keys() - changed
    }
    assert (after["tool_choice"], after["messages"][:-1]) == ("auto", before["messages"][:-1])


def test_the_sdk_reads_what_is_encoded(openai_given: Callable[..., openai.OpenAI]) -> None:
    turn = CODEC.decode_response(body(RESPONSE))
    client = openai_given(CODEC.encode_response(turn))
    got = client.chat.completions.create(model="m", messages=[])
    openai.types.chat.ChatCompletion.model_validate(got.model_dump())
    calls = got.choices[0].message.tool_calls or []
    assert [call.to_dict()["function"] for call in calls] == [
        {"name": "add", "arguments": '{"a": 1}'},
        {"name": "add", "arguments": '{"a": 2}'},
    ]
    assert got.choices[0].finish_reason == "tool_calls"
    assert got.usage is not None and got.usage.total_tokens == 130
    assert got.usage.prompt_tokens_details is not None
    assert got.usage.prompt_tokens_details.cached_tokens == 64


def test_the_sdk_raises_the_error_that_is_encoded(
    openai_given: Callable[..., openai.OpenAI],
) -> None:
    client = openai_given(CODEC.encode_error(429, "rate_limit_exceeded", "slow down"), 429)
    with pytest.raises(openai.RateLimitError, match="slow down") as raised:
        client.chat.completions.create(model="m", messages=[])
    assert (raised.value.code, raised.value.type) == ("rate_limit_exceeded", "requests")


def test_an_encoded_request_has_the_fields_of_the_api() -> None:
    request = CODEC.decode_request(body(REQUEST))
    wire = json.loads(CODEC.encode_request(request))
    assert [message["role"] for message in wire["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "tool",
    ]
    assert wire["messages"][2]["content"] is None
    assert wire["max_completion_tokens"] == 64
    assert "stream_options" not in wire
