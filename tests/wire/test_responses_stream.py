"""Responses, streamed: the terminal event as truth, cut streams rebuilt, the SDK as judge."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from proofrig.wire.responses import CODEC
from proofrig.wire.turn import ToolCall, Turn, Usage

TURN = Turn(
    api="responses",
    id="resp_9",
    model="gpt-5",
    text="Let me add these two numbers.",
    tool_calls=(ToolCall("c1", "add", '{"a": 2, "b": 3}'), ToolCall("c2", "add", "{}")),
    finish="tool_calls",
    usage=Usage(input=11, output=40, cache_read=3, cache_write=1, reasoning=2),
    created=1_790_000_000,
)
CALLS = [
    {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "add", "arguments": '{"a":1}'},
    {"type": "function_call", "id": "fc_2", "call_id": "c2", "name": "mul", "arguments": "{}"},
]


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | fields)}\n\n".encode()


def response(status: str, output: object, **more: Any) -> dict[str, Any]:
    return {"id": "resp_1", "model": "m", "status": status, "output": output} | more


BEGUN = event("response.created", response=response("in_progress", []))
STREAMED = [
    BEGUN,
    event("response.output_item.added", output_index=0, item={"type": "reasoning", "id": "rs"}),
    event("response.reasoning_summary_text.delta", output_index=0, delta="hm"),
    event("response.output_item.added", output_index=1, item={"type": "message", "content": []}),
    event("response.content_part.added", output_index=1, part={"type": "output_text"}),
    event("response.output_text.delta", output_index=1, delta="Let me "),
    event("response.output_text.delta", output_index=1, delta="add."),
    event("response.output_item.added", output_index=2, item=CALLS[0] | {"arguments": ""}),
    event("response.output_item.added", output_index=3, item=CALLS[1] | {"arguments": ""}),
    event("response.function_call_arguments.delta", output_index=3, delta="{}"),
    event("response.function_call_arguments.delta", output_index=2, delta='{"a"'),
    event("response.function_call_arguments.delta", output_index=2, delta=":1}"),
    event("response.output_item.done", output_index=2, item=CALLS[0]),
]
REBUILT = Turn(
    api="responses",
    id="resp_1",
    model="m",
    text="Let me add.",
    tool_calls=(ToolCall("c1", "add", '{"a":1}'), ToolCall("c2", "mul", "{}")),
    complete=False,
)


def decode(*events: bytes) -> Turn:
    decoder = CODEC.stream_decoder()
    for one in events:
        decoder.feed(one)
    return decoder.turn()


def test_a_cut_stream_is_rebuilt_from_its_items_and_deltas() -> None:
    assert decode(*STREAMED) == REBUILT


def test_arguments_cut_in_the_middle_stay_as_they_came() -> None:
    assert [call.arguments for call in decode(*STREAMED[:11]).tool_calls] == ['{"a"', "{}"]


def test_the_terminal_event_is_the_truth() -> None:
    said = [{"type": "message", "content": [{"type": "output_text", "text": "Other."}]}, CALLS[1]]
    usage = {"input_tokens": 5, "output_tokens": 6}
    end = event("response.completed", response=response("completed", said, usage=usage))
    assert decode(*STREAMED, end) == Turn(
        api="responses",
        id="resp_1",
        model="m",
        text="Other.",
        tool_calls=(ToolCall("c2", "mul", "{}"),),
        finish="tool_calls",
        usage=Usage(5, 6),
    )


@pytest.mark.parametrize("output", [None, []])
def test_a_terminal_event_without_output_leaves_what_was_streamed(output: object) -> None:
    end = event("response.completed", response=response("completed", output))
    turn = decode(*STREAMED, end)
    assert (turn.text, turn.tool_calls) == (REBUILT.text, REBUILT.tool_calls)
    assert (turn.finish, turn.complete) == ("tool_calls", True)


@pytest.mark.parametrize(
    ("status", "more", "finish", "error"),
    [
        ("incomplete", {"incomplete_details": {"reason": "max_output_tokens"}}, "length", ""),
        ("failed", {"error": {"code": "server_error", "message": "boom"}}, "error", "boom"),
    ],
)
def test_incomplete_and_failed_are_terminal_too(
    status: str, more: dict[str, Any], finish: str, error: str
) -> None:
    end = event(f"response.{status}", response=response(status, [], **more))
    turn = decode(*STREAMED, end)
    assert (turn.finish, turn.error, turn.complete) == (finish, error, True)


@pytest.mark.parametrize(
    "fields",
    [{"message": "Overloaded", "code": "server_error"}, {"error": {"message": "Overloaded"}}],
)
def test_an_error_event_ends_the_turn_with_it(fields: dict[str, Any]) -> None:
    turn = decode(*STREAMED, event("error", **fields))
    assert (turn.text, turn.finish, turn.error, turn.complete) == (
        "Let me add.",
        "error",
        "Overloaded",
        False,
    )


def test_refusals_and_custom_tools_are_rebuilt() -> None:
    custom = {"type": "custom_tool_call", "call_id": "c", "name": "py", "input": ""}
    turn = decode(
        event("response.refusal.delta", output_index=0, delta="No"),
        event("response.refusal.delta", output_index=0, delta="."),
        event("response.output_item.added", output_index=1, item=custom),
        event("response.custom_tool_call_input.delta", output_index=1, delta="print(1)"),
    )
    assert (turn.refusal, turn.tool_calls) == ("No.", (ToolCall("c", "py", "print(1)"),))


def test_unknown_events_and_bytes_that_are_no_json_are_passed_over() -> None:
    odd = [
        event("response.brand_new", output_index=9, thing=1),
        event("response.brand_new.delta", output_index=9, delta={"x": 1}),
        b"data: <html>\n\n",
        b"data: 7\n\n",
    ]
    assert decode(*odd, *STREAMED, *odd) == REBUILT
    assert decode(b"<html></html>\n\n") == Turn("responses", complete=False)


@pytest.mark.parametrize(
    ("one", "seen"),
    [
        (BEGUN, False),
        (STREAMED[1], False),
        (STREAMED[2], True),
        (STREAMED[3], False),
        (STREAMED[5], True),
        (STREAMED[7], True),
    ],
)
def test_output_is_seen_with_its_first_piece(one: bytes, seen: bool) -> None:
    decoder = CODEC.stream_decoder()
    decoder.feed(one)
    assert decoder.output_seen is seen


@pytest.mark.parametrize("finish", ["tool_calls", "length"])
def test_the_sdk_reads_the_encoded_stream(
    finish: Any, openai_given: Callable[..., openai.OpenAI]
) -> None:
    turn = Turn(
        **{name: getattr(TURN, name) for name in TURN.__struct_fields__} | {"finish": finish}
    )
    events = [one for one, _ in CODEC.encode_stream(turn)]
    schema: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    raw = openai_given(events).responses.create(model="m", input="x", stream=True)
    numbers = [schema.validate_python(got.model_dump()).sequence_number for got in raw]
    assert numbers == list(range(len(events)))
    with openai_given(events).responses.stream(model="m", input="x") as stream:
        last = list(stream)[-1]
    assert last.type == ("response.completed" if finish == "tool_calls" else "response.incomplete")
    assert last.response.output_text == TURN.text
    assert [
        (item.call_id, item.name, item.arguments)
        for item in last.response.output
        if item.type == "function_call"
    ] == [(call.id, call.name, call.arguments) for call in TURN.tool_calls]
    assert last.response.usage is not None and last.response.usage.total_tokens == 51


def test_the_sdk_reads_a_refusal(openai_given: Callable[..., openai.OpenAI]) -> None:
    refused = Turn("responses", id="resp_1", model="m", refusal="I will not.", finish="stop")
    events = [one for one, _ in CODEC.encode_stream(refused)]
    with openai_given(events).responses.stream(model="m", input="x") as stream:
        final = stream.get_final_response()
    [message] = final.output
    assert message.to_dict()["content"] == [{"type": "refusal", "refusal": "I will not."}]


def test_the_tokens_of_the_events_add_up_to_the_usage() -> None:
    assert sum(tokens for _, tokens in CODEC.encode_stream(TURN)) == 40


def test_a_turn_that_failed_ends_in_response_failed(
    openai_given: Callable[..., openai.OpenAI],
) -> None:
    failed = Turn("responses", id="x", model="m", text="so far", finish="error", error="boom")
    events = [one for one, _ in CODEC.encode_stream(failed)]
    assert decode(*events) == failed
    last = list(openai_given(events).responses.create(model="m", input="x", stream=True))[-1]
    assert last.type == "response.failed"
    assert last.response.error is not None and last.response.error.message == "boom"


def test_reasoning_is_counted_and_the_end_is_told() -> None:
    decoder = CODEC.stream_decoder()
    decoder.feed(b'data: {"type":"response.reasoning_text.delta","delta":"h\xc3\xa9"}\n\n')
    assert (decoder.reasoning_bytes, decoder.ended) == (3, False)
    for event, _ in CODEC.encode_stream(Turn("responses", text="x", finish="stop")):
        assert not decoder.ended
        decoder.feed(event)
    assert (decoder.reasoning_bytes, decoder.ended) == (3, True)
