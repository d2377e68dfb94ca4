"""Messages, streamed: golden streams with thinking, pings, errors and cuts; the SDK as judge."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anthropic
import pytest

from proofrig.wire.messages import CODEC
from proofrig.wire.turn import ToolCall, Turn, Usage

TURN = Turn(
    api="messages",
    id="msg_9",
    model="claude-x",
    text="Let me add these two numbers.",
    tool_calls=(ToolCall("t1", "add", '{"a": 2, "b": 3}'), ToolCall("t2", "add", "{}")),
    finish="tool_calls",
    usage=Usage(input=20, output=40, cache_read=8, cache_write=1, reasoning=2),
)


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | fields)}\n\n".encode()


def delta(index: int, kind: str, **fields: Any) -> bytes:
    return event("content_block_delta", index=index, delta={"type": kind} | fields)


def block(index: int, kind: str, **fields: Any) -> bytes:
    return event("content_block_start", index=index, content_block={"type": kind} | fields)


START = event(
    "message_start",
    message={
        "id": "msg_1",
        "model": "claude-x",
        "content": [],
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 1},
    },
)
BODY = [
    START,
    event("ping"),
    block(0, "thinking", thinking="", signature=""),
    delta(0, "thinking_delta", thinking="hm"),
    delta(0, "signature_delta", signature="s"),
    event("content_block_stop", index=0),
    block(1, "text", text=""),
    delta(1, "text_delta", text="Let me "),
    delta(1, "citations_delta", citation={"type": "x"}),
    delta(1, "text_delta", text="add."),
    event("content_block_stop", index=1),
    block(2, "server_tool_use", id="s1", name="web_search", input={}),
    delta(2, "input_json_delta", partial_json='{"query":"x"}'),
    event("content_block_stop", index=2),
    block(3, "tool_use", id="t1", name="add", input={}),
    block(4, "tool_use", id="t2", name="add", input={}),
    delta(3, "input_json_delta", partial_json=""),
    delta(3, "input_json_delta", partial_json='{"a"'),
    delta(4, "input_json_delta", partial_json='{"a": 40, "b"'),
    delta(3, "input_json_delta", partial_json=": 2}"),
    event("content_block_stop", index=3),
    event("content_block_stop", index=4),
    block(5, "tool_use", id="t3", name="now", input={}),
    event("content_block_stop", index=5),
    event(
        "message_delta",
        delta={"stop_reason": "tool_use", "stop_sequence": None},
        usage={"output_tokens": 30, "cache_read_input_tokens": None},
    ),
    event("message_stop"),
]


def decode(*events: bytes) -> Turn:
    decoder = CODEC.stream_decoder()
    for one in events:
        decoder.feed(one)
    return decoder.turn()


def test_a_stream_with_thinking_and_parallel_calls_is_read() -> None:
    assert decode(*BODY) == Turn(
        api="messages",
        id="msg_1",
        model="claude-x",
        text="Let me add.",
        tool_calls=(
            ToolCall("t1", "add", '{"a": 2}'),
            ToolCall("t2", "add", '{"a": 40, "b"'),
            ToolCall("t3", "now", "{}"),
        ),
        finish="tool_calls",
        usage=Usage(input=100, output=30, cache_read=90),
    )


def test_a_cut_stream_is_what_was_seen_and_incomplete() -> None:
    turn = decode(*BODY[:18])
    assert (turn.text, turn.complete, turn.finish) == ("Let me add.", False, "unknown")
    assert [call.arguments for call in turn.tool_calls] == ['{"a"', "{}"]
    assert turn.usage == Usage(input=100, output=1, cache_read=90)
    assert decode(*BODY[:-1]).complete is False


def test_an_error_event_ends_the_turn_with_it() -> None:
    error = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    turn = decode(*BODY[:8], error)
    assert (turn.text, turn.finish, turn.error, turn.complete) == (
        "Let me ",
        "error",
        "Overloaded",
        False,
    )


def test_a_refusal_has_its_explanation() -> None:
    stop = {"stop_reason": "refusal", "stop_details": {"type": "refusal", "explanation": "No."}}
    turn = decode(START, event("message_delta", delta=stop, usage={}), event("message_stop"))
    assert (turn.finish, turn.refusal, turn.complete) == ("content_filter", "No.", True)


def test_what_a_block_begins_with_counts() -> None:
    call = block(1, "tool_use", id="t", name="add", input={"a": 1})
    turn = decode(START, block(0, "text", text="Hi"), delta(0, "text_delta", text="!"), call)
    assert (turn.text, turn.tool_calls) == ("Hi!", (ToolCall("t", "add", '{"a": 1}'),))


def test_unknown_events_and_bytes_that_are_no_json_are_passed_over() -> None:
    odd = [event("brand_new", index=0), b"data: <html>\n\n", b"data: 7\n\n", block(9, "brand_new")]
    assert decode(*odd, *BODY, *odd) == decode(*BODY)
    assert decode(b"<html></html>\n\n") == Turn("messages", complete=False)


@pytest.mark.parametrize(
    ("one", "seen"),
    [
        (START, False),
        (event("ping"), False),
        (block(0, "text", text=""), False),
        (block(0, "thinking", thinking=""), False),
        (block(0, "tool_use", id="t", name="n", input={}), True),
        (delta(0, "text_delta", text="x"), True),
        (delta(0, "thinking_delta", thinking="x"), True),
    ],
)
def test_output_is_seen_with_its_first_piece(one: bytes, seen: bool) -> None:
    decoder = CODEC.stream_decoder()
    decoder.feed(one)
    assert decoder.output_seen is seen


def test_the_sdk_reads_the_encoded_stream(
    anthropic_given: Callable[..., anthropic.Anthropic],
) -> None:
    events = [one for one, _ in CODEC.encode_stream(TURN)]
    raw = anthropic_given(events).messages.create(model="m", max_tokens=9, messages=[], stream=True)
    assert [type(got).model_validate(got.model_dump()).type for got in raw][-1] == "message_stop"
    with anthropic_given(events).messages.stream(model="m", max_tokens=9, messages=[]) as stream:
        final = stream.get_final_message()
    assert [item.to_dict() for item in final.content] == [
        {"type": "text", "text": TURN.text},
        {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 2, "b": 3}},
        {"type": "tool_use", "id": "t2", "name": "add", "input": {}},
    ]
    assert (final.stop_reason, final.usage.input_tokens) == ("tool_use", 11)
    assert (final.usage.output_tokens, final.usage.cache_read_input_tokens) == (40, 8)


def test_the_sdk_reads_a_refusal(anthropic_given: Callable[..., anthropic.Anthropic]) -> None:
    refused = Turn("messages", id="m", refusal="No.", finish="content_filter", usage=Usage(1, 1))
    events = [one for one, _ in CODEC.encode_stream(refused)]
    with anthropic_given(events).messages.stream(model="m", max_tokens=9, messages=[]) as stream:
        final = stream.get_final_message()
    assert final.stop_reason == "refusal"
    assert final.stop_details is not None and final.stop_details.explanation == "No."


def test_the_tokens_of_the_events_add_up_to_the_usage() -> None:
    assert sum(tokens for _, tokens in CODEC.encode_stream(TURN)) == 40


def test_a_turn_that_failed_ends_in_an_error_the_sdk_raises(
    anthropic_given: Callable[..., anthropic.Anthropic],
) -> None:
    failed = Turn("messages", id="x", text="so far", finish="error", error="Overloaded")
    events = [one for one, _ in CODEC.encode_stream(failed)]
    assert decode(*events).error == "Overloaded"
    raw = anthropic_given(events).messages.create(model="m", max_tokens=9, messages=[], stream=True)
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        list(raw)


def test_reasoning_is_counted_and_the_end_is_told() -> None:
    decoder = CODEC.stream_decoder()
    decoder.feed(b'data: {"type":"content_block_delta","delta":{"thinking":"h\xc3\xa9"}}\n\n')
    assert (decoder.reasoning_bytes, decoder.ended) == (3, False)
    for event, _ in CODEC.encode_stream(Turn("messages", text="x", finish="stop")):
        assert not decoder.ended
        decoder.feed(event)
    assert (decoder.reasoning_bytes, decoder.ended) == (3, True)
