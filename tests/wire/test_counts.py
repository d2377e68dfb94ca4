"""Token counts as servers write them, whole and streamed, in every API."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from proofrig.wire import CODECS
from proofrig.wire.counts import whole_counts
from proofrig.wire.turn import Api, Turn, Usage

USAGE = Usage(input=12, output=5, cache_read=3, cache_write=2, reasoning=1)


@pytest.mark.parametrize(
    ("counts", "whole"),
    [
        ((1, 2), (1, 2)),
        ((None, 2.0), (0, 2)),
        ((-1, 0), (-1, 0)),
        ((1, 2.5), None),
        (("1", 2), None),
        ((True, 2), None),
        (({}, 2), None),
        (([], 2), None),
        ((), ()),
    ],
)
def test_a_count_is_a_whole_number_or_left_out(
    counts: tuple[Any, ...], whole: tuple[int, ...] | None
) -> None:
    assert whole_counts(*counts) == whole


def changed(value: Any, change: Any) -> Any:
    """The JSON value with `change` applied to every object under `usage`, null ones left."""
    if isinstance(value, list):
        return [changed(one, change) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: change(one) if name == "usage" and one is not None else changed(one, change)
        for name, one in value.items()
    }


def floats(usage: Any) -> Any:
    """Each count as a float of the same value."""
    if isinstance(usage, dict):
        return {name: floats(one) for name, one in usage.items()}
    return float(usage)


def read(api: Api, change: Any, streamed: bool) -> Turn:
    """A turn as it is read when the server writes its usage so."""
    codec = CODECS[api]
    turn = Turn(api, "r1", "sim", "hello", finish="stop", usage=USAGE)
    if not streamed:
        value = msgspec.json.decode(codec.encode_response(turn))
        return codec.decode_response(msgspec.json.encode(changed(value, change)))
    decoder = codec.stream_decoder()
    for event, _ in codec.encode_stream(turn):
        head, mark, data = event.partition(b"data: ")
        if data.startswith(b"{"):
            data = msgspec.json.encode(changed(msgspec.json.decode(data), change)) + b"\n\n"
        decoder.feed(head + mark + data)
    return decoder.turn()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("api", CODECS)
@pytest.mark.parametrize(
    ("change", "usage"),
    [
        (lambda usage: usage, USAGE),
        (floats, USAGE),
        (lambda usage: usage | {"input_tokens": 1.5, "prompt_tokens": 1.5}, None),
        (lambda usage: usage | {"output_tokens": "5", "completion_tokens": "5"}, None),
        (lambda usage: "not counted", None),
        (lambda usage: [1], None),
        (
            lambda usage: {n: [] if n.endswith("details") else c for n, c in usage.items()},
            "without details",
        ),
    ],
)
def test_an_odd_usage_never_costs_the_turn(
    api: Api, change: Any, usage: Usage | str | None, streamed: bool
) -> None:
    turn = read(api, change, streamed)
    assert (turn.text, turn.finish, turn.complete) == ("hello", "stop", True)
    if usage == "without details":
        kept = (3, 2) if api == "messages" else (0, 0)
        assert turn.usage == Usage(12, 5, *kept)
    else:
        assert turn.usage == usage


@pytest.mark.parametrize("api", CODECS)
def test_the_usage_alone_is_read_as_loosely(api: Api) -> None:
    codec = CODECS[api]
    turn = Turn(api, "r1", "sim", "hello", finish="stop", usage=USAGE)
    value = msgspec.json.decode(codec.encode_response(turn))
    assert codec.usage_of(msgspec.json.encode(changed(value, floats))) == USAGE
    assert codec.usage_of(msgspec.json.encode(changed(value, lambda _: "none"))) is None


def test_a_usage_chunk_is_hidden_however_its_counts_are_written() -> None:
    stripper = CODECS["chat_completions"].usage_stripper()
    assert stripper is not None
    event = b'data: {"choices":[],"usage":{"prompt_tokens":1.0,"completion_tokens":"2"}}\n\n'
    assert stripper.feed(event) + stripper.flush() == b""
