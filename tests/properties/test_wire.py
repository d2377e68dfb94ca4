"""Wire codecs: what is written is read again, and chunking never matters.

Values are drawn in each API's canonical form: what the API cannot say (a result's error flag in
chat, a second system text in Messages) is not drawn for it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofrig.wire import CODECS
from proofrig.wire.sse import EventSplitter
from proofrig.wire.turn import Api, Message, Request, Tool, ToolCall, ToolResult, Turn, Usage

APIS: tuple[Api, ...] = ("chat_completions", "responses", "messages")
every_api = pytest.mark.parametrize("api", APIS)
some = settings(max_examples=60, deadline=None)

texts = st.text(max_size=30)
names = st.text(min_size=1, max_size=8)
sizes = st.just([1]) | st.lists(st.integers(1, 60), min_size=1, max_size=6)
objects = st.dictionaries(texts, st.none() | st.integers() | texts | st.lists(texts), max_size=3)
arguments = st.builds(json.dumps, objects, indent=st.none() | st.just(1))
calls = st.builds(ToolCall, names, names, arguments)
tools = st.builds(
    Tool, names, texts, st.fixed_dictionaries({"type": st.just("object"), "p": objects})
)


@st.composite
def requests(draw: st.DrawFn, api: Api) -> Request:
    messages = [Message("system", draw(texts))] if draw(st.booleans()) else []
    many = api == "messages"
    flags = st.none() | st.booleans() if many else st.none()
    results = st.lists(
        st.builds(ToolResult, names, texts, flags), min_size=1, max_size=3 if many else 1
    )
    for _ in range(draw(st.integers(0, 3))):
        messages.append(Message("user", draw(texts)))
        messages.append(Message("assistant", draw(texts), tuple(draw(st.lists(calls, max_size=2)))))
        after = draw(texts) if many else ""
        messages.append(Message("tool", after, tool_results=tuple(draw(results))))
    stream = draw(st.booleans())
    limits = st.integers(1, 10**6)
    return Request(
        api=api,
        model=draw(names),
        messages=tuple(messages),
        tools=tuple(draw(st.lists(tools, max_size=2))),
        stream=stream,
        max_tokens=draw(limits if many else st.none() | limits),
        previous_id="" if api == "chat_completions" else draw(texts),
        conversation=draw(texts) if api == "responses" else "",
        wants_usage=draw(st.booleans()) if stream and api == "chat_completions" else True,
    )


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    count = st.integers(0, 10**6)
    read, write = draw(count), draw(count)
    return Usage(draw(count) + read + write, draw(count), read, write, draw(count))


@st.composite
def turns(draw: st.DrawFn, api: Api) -> Turn:
    asked = tuple(draw(st.lists(calls, max_size=3)))
    natural = "tool_calls" if asked else "stop"
    finish: Any = draw(st.sampled_from([natural, "length", "content_filter"]))
    refusable = api != "messages" or finish == "content_filter"
    return Turn(
        api=api,
        id=draw(names),
        model=draw(names),
        text=draw(texts),
        refusal=draw(texts) if refusable else "",
        tool_calls=asked,
        finish=finish,
        usage=draw(usages() if api == "messages" else st.none() | usages()),
        created=0 if api == "messages" else draw(st.integers(0, 2**31)),
    )


def cut(body: bytes, pattern: list[int]) -> Iterator[bytes]:
    start = 0
    for size in itertools.cycle(pattern):
        if start >= len(body):
            return
        yield body[start : start + size]
        start += size


def decode_stream(api: Api, chunks: Iterator[bytes]) -> tuple[Turn, bool]:
    decoder = CODECS[api].stream_decoder()
    for chunk in chunks:
        decoder.feed(chunk)
    return decoder.turn(), decoder.output_seen


@every_api
@some
@given(data=st.data())
def test_a_request_is_read_as_it_was_written(api: Api, data: st.DataObject) -> None:
    request = data.draw(requests(api))
    assert CODECS[api].decode_request(CODECS[api].encode_request(request)) == request


@every_api
@some
@given(data=st.data())
def test_a_response_is_read_as_it_was_written(api: Api, data: st.DataObject) -> None:
    turn = data.draw(turns(api))
    body = CODECS[api].encode_response(turn)
    assert CODECS[api].decode_response(body) == turn
    assert CODECS[api].usage_of(body) == turn.usage


@every_api
@some
@given(data=st.data(), pattern=sizes, end=st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_a_stream_is_read_as_it_was_written_however_it_is_chunked(
    api: Api, data: st.DataObject, pattern: list[int], end: bytes
) -> None:
    turn = data.draw(turns(api))
    events = list(CODECS[api].encode_stream(turn))
    body = b"".join(event for event, _ in events).replace(b"\n", end)
    got, seen = decode_stream(api, cut(body, pattern))
    assert got == turn
    refused = turn.refusal and api != "messages"  # there a refusal stands with the stop reason
    assert seen is bool(turn.text or turn.tool_calls or refused)
    if seen and turn.usage is not None:
        assert sum(tokens for _, tokens in events) == turn.usage.output


@every_api
@some
@given(data=st.data(), pattern=sizes, where=st.floats(0, 1))
def test_a_stream_cut_anywhere_reads_the_same_in_any_chunking(
    api: Api, data: st.DataObject, pattern: list[int], where: float
) -> None:
    turn = data.draw(turns(api))
    body = b"".join(event for event, _ in CODECS[api].encode_stream(turn, usage=False))
    part = body[: int(len(body) * where)]
    whole, _ = decode_stream(api, iter([part]))
    assert decode_stream(api, cut(part, pattern))[0] == whole
    assert turn.text.startswith(whole.text)
    assert len(part) == len(body) or whole.finish in ("unknown", turn.finish)


@every_api
@some
@given(body=st.binary(max_size=80) | st.text('\r\n:{}[]"date0 ').map(str.encode), pattern=sizes)
def test_no_bytes_make_a_decoder_raise(api: Api, body: bytes, pattern: list[int]) -> None:
    turn, _ = decode_stream(api, cut(b"data: " + body + b"\n\n", pattern))
    assert not turn.complete or b"[DONE]" in body


@some
@given(body=st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b"x"])).map(b"".join), pattern=sizes)
def test_the_splitter_loses_nothing_and_cuts_at_the_same_places(
    body: bytes, pattern: list[int]
) -> None:
    splitter = EventSplitter()
    blocks: list[bytes] = []
    for block in itertools.chain.from_iterable(map(splitter.feed, cut(body, pattern))):
        if block == b"\n":
            blocks[-1] += block
        else:
            blocks.append(block)
    assert b"".join(blocks) + splitter.held() == body
    assert blocks == EventSplitter().feed(body)


RAW_VALUES = [b"1.0", b"1e5", b'"\\u00e9"', b'{ "a" : [1 ,2] }', b"12345678901234567890", b"null"]
raw_fields = st.dictionaries(
    st.text("abc", min_size=1, max_size=4), st.sampled_from(RAW_VALUES), max_size=5
)


@every_api
@some
@given(fields=raw_fields, space=st.sampled_from([b"", b" ", b"\n  "]), limit=st.integers(1, 10**6))
def test_amending_leaves_the_bytes_of_other_fields(
    api: Api, fields: dict[str, bytes], space: bytes, limit: int
) -> None:
    given_fields = fields | {"stream": b"true", "model": b'"m"'}
    inside = (b",%b" % space).join(
        b'"%b":%b%b' % (name.encode(), space, value) for name, value in given_fields.items()
    )
    amended = CODECS[api].amend_request(
        b"{%b%b}" % (space, inside), max_tokens=limit, ask_usage=True
    )
    got = {
        name: bytes(value)
        for name, value in msgspec.json.decode(amended, type=dict[str, msgspec.Raw]).items()
    }
    added = {name: value for name, value in got.items() if name not in given_fields}
    assert list(got)[: len(given_fields)] == list(given_fields)
    assert {name: got[name] for name in given_fields} == given_fields
    assert added.pop("stream_options", b"") == (
        b'{"include_usage":true}' if api == "chat_completions" else b""
    )
    assert list(added.values()) == [b"%d" % limit]


@st.composite
def amendments(draw: st.DrawFn, request: Request) -> dict[str, Any]:
    offered = [tool.name for tool in request.tools]
    return {
        "max_tokens": draw(st.none() | st.integers(1, 99)),
        "ask_usage": draw(st.booleans()),
        "without_tools": draw(st.sets(st.sampled_from([*offered, "other"]))),
        "note": draw(texts),
    }


@every_api
@some
@given(data=st.data(), indent=st.none() | st.integers(0, 2))
def test_an_amended_request_is_read_as_asked_and_amending_it_again_changes_nothing(
    api: Api, data: st.DataObject, indent: int | None
) -> None:
    request = data.draw(requests(api))
    change = data.draw(amendments(request))
    body = json.dumps(json.loads(CODECS[api].encode_request(request)), indent=indent).encode()
    amended = CODECS[api].amend_request(body, **change)
    asked, read = CODECS[api].decode_request(body), CODECS[api].decode_request(amended)
    gone, note, limit = change["without_tools"], change["note"], change["max_tokens"]
    assert read.tools == tuple(tool for tool in request.tools if tool.name not in gone)
    assert read.max_tokens == (request.max_tokens if limit is None else limit)
    assert read.wants_usage == (request.wants_usage or change["ask_usage"])
    if note:
        said = [
            text for m in read.messages for text in (m.text, *(r.content for r in m.tool_results))
        ]
        assert any(text.endswith(note) for text in said)
        assert sum(message not in asked.messages for message in read.messages) <= 1
    else:
        assert read.messages == asked.messages
    assert CODECS[api].amend_request(amended, **change) is amended


LISTED = [
    ("a", b'{"name": "a"}'),
    ("b", b'{"type" : "b"}'),
    ("c", b'{"type":"t","name":"c", "x":[ 1.0 ]}'),
    ("a", b'{"name":"\\u0061"}'),
]
spaces = st.sampled_from([b"", b" ", b"\n\t"])


@every_api
@some
@given(data=st.data(), tools=st.lists(st.sampled_from(LISTED), min_size=1, max_size=5))
def test_cutting_tools_keeps_the_bytes_and_spaces_of_the_others(
    api: Api, data: st.DataObject, tools: list[tuple[str, bytes]]
) -> None:
    gone = data.draw(st.sets(st.sampled_from("abc")))
    spaced = [(name, data.draw(spaces) + tool) for name, tool in tools]
    body = b'{"x": [ 1.0 ],"tools":[%b ],"y":1e5}' % b",".join(tool for _, tool in spaced)
    left = [tool for name, tool in spaced if name not in gone]
    amended = CODECS[api].amend_request(body, without_tools=gone)
    got = msgspec.json.decode(amended, type=dict[str, msgspec.Raw])
    assert list(got) == (["x", "tools", "y"] if left else ["x", "y"])
    assert [bytes(got["x"]), bytes(got["y"])] == [b"[ 1.0 ]", b"1e5"]
    if left:
        first = spaced[0][1].partition(b"{")[0] + left[0].lstrip()  # the list opens as it did
        assert bytes(got["tools"]) == b"[%b ]" % b",".join([first, *left[1:]])
    if len(left) == len(tools):
        assert amended is body


SSE_EVENTS = [
    (b'data: {"choices":[{"index":0,"delta":{"content":"x"}}],"usage":null}', True),
    (b': ping "usage"', True),
    (b'event: x\ndata: {"usage": 1}', True),
    (b"data: [DONE]", True),
    (b'data: {"choices": [], "usage": null}', True),
    (b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}', False),
    (b'id: 1\ndata: {"choices": [],\ndata: "usage": {"prompt_tokens":1}}', False),
]


@some
@given(
    events=st.lists(
        st.tuples(st.sampled_from(SSE_EVENTS), st.sampled_from([b"\n", b"\r\n", b"\r"])),
        max_size=6,
    ),
    tail=st.sampled_from([b"", b"data: {", b'data: {"choices":[],"usage":{}}\n']),
    pattern=sizes,
)
def test_the_usage_chunk_is_hidden_and_nothing_else_in_any_chunking(
    events: list[tuple[tuple[bytes, bool], bytes]], tail: bytes, pattern: list[int]
) -> None:
    written = [(lines.replace(b"\n", end) + end + end, kept) for (lines, kept), end in events]
    stripper = CODECS["chat_completions"].usage_stripper()
    assert stripper is not None
    body = b"".join(event for event, _ in written) + tail
    got = b"".join(map(stripper.feed, cut(body, pattern))) + stripper.flush()
    assert got == b"".join(event for event, kept in written if kept) + tail


def test_codecs_that_always_tell_their_usage_have_nothing_to_hide() -> None:
    assert [CODECS[api].usage_stripper() for api in ("responses", "messages")] == [None, None]
