"""Chat Completions, streamed: golden streams, the usage chunk hidden, the SDK as judge."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

from proofrig.wire.chat_completions import CODEC
from proofrig.wire.turn import ToolCall, Turn, Usage

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
TURN = Turn(
    api="chat_completions",
    id="chatcmpl-9",
    model="gpt-5",
    text="Let me add these two numbers.",
    tool_calls=(ToolCall("c1", "add", '{"a": 2, "b": 3}'), ToolCall("c2", "add", "{}")),
    finish="tool_calls",
    usage=Usage(input=11, output=40, cache_read=3, reasoning=2),
    created=1_790_000_000,
)


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    value = {"id": "chatcmpl-1", "model": "m", "created": 5, "choices": choices} | more
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def fragment(index: int | None, arguments: str, **more: Any) -> dict[str, Any]:
    function = {"arguments": arguments} | ({"name": more.pop("name")} if "name" in more else {})
    return {"tool_calls": [{"index": index, "function": function} | more]}


def decode(*events: bytes) -> Turn:
    decoder = CODEC.stream_decoder()
    for event in events:
        decoder.feed(event)
    return decoder.turn()


def test_interleaved_parallel_calls_are_keyed_by_index() -> None:
    turn = decode(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Let me "}),
        chunk({"content": "add."}),
        chunk(fragment(0, "", id="c1", name="add")),
        chunk(fragment(1, "", id="c2", name="mul")),
        chunk(fragment(0, '{"a":')),
        chunk(fragment(1, "{}")),
        chunk(fragment(0, "1}")),
        chunk({}, "tool_calls"),
        chunk(usage=USAGE),
        b"data: [DONE]\n\n",
    )
    assert turn == Turn(
        api="chat_completions",
        id="chatcmpl-1",
        model="m",
        text="Let me add.",
        tool_calls=(ToolCall("c1", "add", '{"a":1}'), ToolCall("c2", "mul", "{}")),
        finish="tool_calls",
        usage=Usage(11, 7),
        created=5,
    )


@pytest.mark.parametrize("index", [0, None])
def test_calls_that_all_have_one_index_or_none_are_told_apart_by_id(index: int | None) -> None:
    turn = decode(
        chunk(fragment(index, '{"a":', id="c1", name="add")),
        chunk(fragment(index, "1}")),
        chunk(fragment(index, '{"b":2}', id="c2", name="add")),
        chunk({}, "tool_calls"),
    )
    assert [(call.id, call.arguments) for call in turn.tool_calls] == [
        ("c1", '{"a":1}'),
        ("c2", '{"b":2}'),
    ]


def test_only_the_first_choice_is_read() -> None:
    other = {"index": 1, "delta": {"content": "B"}, "finish_reason": "length"}
    turn = decode(chunk({"content": "A"}), chunk(choices=[other]))
    assert (turn.text, turn.finish, turn.complete) == ("A", "unknown", False)


@pytest.mark.parametrize(
    ("last", "finish", "complete"),
    [
        (chunk({}, "stop"), "stop", True),
        (chunk({}, "content_filter"), "content_filter", True),
        (b"data: [DONE]\n\n", "unknown", True),
        (b"", "unknown", False),
        (b"data: [DONE]\n", "unknown", False),
        (b"data: <html>\n\n", "unknown", False),
        (b'data: "text"\n\ndata: {"choices": 7}\n\n', "unknown", False),
    ],
)
def test_a_stream_is_complete_once_its_terminal_event_came(
    last: bytes, finish: str, complete: bool
) -> None:
    turn = decode(chunk({"content": "x"}), last)
    assert (turn.text, turn.finish, turn.complete) == ("x", finish, complete)


def test_an_error_in_the_stream_ends_the_turn_with_it() -> None:
    turn = decode(chunk({"content": "x"}), b'data: {"error":{"message":"Overloaded"}}\n\n')
    assert (turn.finish, turn.error, turn.complete) == ("error", "Overloaded", False)


@pytest.mark.parametrize(
    ("event", "seen"),
    [
        (chunk({"role": "assistant", "content": ""}), False),
        (chunk(usage=USAGE), False),
        (b": ping\n\n", False),
        (chunk({"content": "x"}), True),
        (chunk({"refusal": "no"}), True),
        (chunk({"reasoning_content": "hm"}), True),
        (chunk(fragment(0, "", id="c", name="n")), True),
    ],
)
def test_output_is_seen_with_its_first_piece(event: bytes, seen: bool) -> None:
    decoder = CODEC.stream_decoder()
    decoder.feed(event)
    assert decoder.output_seen is seen


def test_a_body_that_is_no_stream_is_an_incomplete_turn() -> None:
    assert decode(b"<html>\n\n<body>gateway</body>\n\n") == Turn("chat_completions", complete=False)


def test_the_usage_chunk_is_taken_out_and_nothing_else() -> None:
    before = chunk({"content": '"usage"'}, usage=None) + b": ping\r\n\r\n"
    azure = chunk(prompt_filter_results=[])
    after = b"data: [DONE]\n\ndata: unfinished"
    stripper = CODEC.usage_stripper()
    body = before + azure + chunk({}, "stop", usage=USAGE) + chunk(usage=USAGE) + after
    got = b"".join(stripper.feed(body[i : i + 7]) for i in range(0, len(body), 7))
    assert got + stripper.flush() == before + azure + chunk({}, "stop", usage=USAGE) + after


def test_a_chunk_with_a_choice_passes_before_it_has_ended() -> None:
    event = chunk({"content": "some words"})
    cut = event.index(b"words")
    stripper = CODEC.usage_stripper()
    assert (stripper.feed(event[:cut]), stripper.feed(event[cut:])) == (event[:cut], event[cut:])
    unknown = b'data: {"id":"c"'
    assert (stripper.feed(unknown), stripper.flush()) == (b"", unknown)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_the_usage_chunk_goes_with_its_whole_line_end(end: bytes) -> None:
    kept = [chunk({"content": "x"}).replace(b"\n", end), b"data: [DONE]" + end + end]
    body = kept[0] + chunk(usage=USAGE).replace(b"\n", end) + kept[1]
    for size in range(1, 20):
        stripper = CODEC.usage_stripper()
        got = [stripper.feed(body[i : i + size]) for i in range(0, len(body), size)]
        assert b"".join(got) + stripper.flush() == b"".join(kept)


@pytest.mark.parametrize("usage", [True, False])
def test_the_sdk_reads_the_encoded_stream(
    usage: bool, openai_given: Callable[..., openai.OpenAI]
) -> None:
    events = [event for event, _ in CODEC.encode_stream(TURN, usage=usage)]
    raw = openai_given(events).chat.completions.create(model="m", messages=[], stream=True)
    for got in raw:
        openai.types.chat.ChatCompletionChunk.model_validate(got.model_dump())
    with openai_given(events).chat.completions.stream(model="m", messages=[]) as stream:
        final = stream.get_final_completion()
    message = final.choices[0].message
    assert message.content == TURN.text
    assert [
        (call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()
    ] == [(call.id, call.name, call.arguments) for call in TURN.tool_calls]
    assert final.choices[0].finish_reason == "tool_calls"
    assert (final.usage is not None) is usage


def test_the_tokens_of_the_events_add_up_to_the_usage() -> None:
    assert sum(tokens for _, tokens in CODEC.encode_stream(TURN)) == 40


def test_a_turn_that_failed_ends_in_an_error_the_sdk_raises(
    openai_given: Callable[..., openai.OpenAI],
) -> None:
    failed = Turn("chat_completions", id="x", text="so far", finish="error", error="Overloaded")
    events = [event for event, _ in CODEC.encode_stream(failed)]
    assert decode(*events).error == "Overloaded"
    with pytest.raises(openai.APIError, match="Overloaded"):
        list(openai_given(events).chat.completions.create(model="m", messages=[], stream=True))


def test_reasoning_is_counted_and_the_end_is_told() -> None:
    decoder = CODEC.stream_decoder()
    decoder.feed(b'data: {"choices":[{"index":0,"delta":{"reasoning_content":"h\xc3\xa9"}}]}\n\n')
    assert (decoder.reasoning_bytes, decoder.ended) == (3, False)
    for event, _ in CODEC.encode_stream(Turn("chat_completions", text="x", finish="stop")):
        assert not decoder.ended
        decoder.feed(event)
    assert (decoder.reasoning_bytes, decoder.ended) == (3, True)
