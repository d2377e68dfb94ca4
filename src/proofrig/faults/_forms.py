"""What an answer carries, in each form: read whole, changed, and written again.

    chat_completions, responses, messages    a turn, as one object or as events
    tool                                     `{"result": value}`
    mcp                                      JSON-RPC messages, alone or as events; a call's result
    plain                                    JSON, or a text

Rules:
1. What is changed is read to its end first: a stream that a fault changes comes at once.
2. Only answers that are whole and good are changed. A failure, a turn without its end, what cannot
   be read, and what a change leaves as it is, pass as they came, and nothing was struck.
3. A JSON-RPC answer that is changed keeps its id. One that is given again has the id null: whose
   request it answers, the gateway knows.
4. A turn that is written again keeps what `Turn` holds; reasoning and the like are lost.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from proofrig.faults.fault import Hit, Onward
from proofrig.wire import CODECS
from proofrig.wire.answer import Answer, Made, read, rebodied, streams
from proofrig.wire.codec import Codec, WireError
from proofrig.wire.sse import EventSplitter, encode_event, parse_event
from proofrig.wire.turn import Turn

JSON = "application/json"
Facts = dict[str, Any]
# What a fault makes of a value, and the facts of that.
ChangeValue = Callable[[Any], tuple[Any, Facts]]
ChangeTurn = Callable[[Turn], tuple[Turn, Facts]]
_Rewrite = Callable[[Answer, bytes], tuple[bytes, Facts] | None]

_CODECS: Mapping[str, Codec] = {str(api): codec for api, codec in CODECS.items()}
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_encode = msgspec.json.encode


def codec_of(form: str) -> Codec | None:
    """The codec of a model's API; None for other forms."""
    return _CODECS.get(form)


async def with_turn(hit: Hit, onward: Onward, change: ChangeTurn, **facts: Any) -> Answer:
    """The call carried out, with the model's turn as `change` makes it."""
    codec = codec_of(hit.call.form)
    if codec is None:
        return await onward()

    def rewrite(answer: Answer, body: bytes) -> tuple[bytes, Facts] | None:
        streamed = streams(answer)
        turn = _turn(codec, body, streamed=streamed)
        if turn is None:
            return None
        changed, told = change(turn)
        if changed == turn:
            return None
        if not streamed:
            return codec.encode_response(changed), told
        events = codec.encode_stream(changed, usage=changed.usage is not None)
        return b"".join(event for event, _ in events), told

    return await _remade(hit, onward, rewrite, facts)


async def with_value(hit: Hit, onward: Onward, change: ChangeValue, **facts: Any) -> Answer:
    """The call carried out, with what a tool, or anything else but a model, gave as `change` makes
    it."""

    def rewrite(answer: Answer, body: bytes) -> tuple[bytes, Facts] | None:
        if hit.call.form == "tool":
            return _in_json(body, lambda value: _in_tool(value, change))
        if hit.call.form == "plain":
            return _in_plain(answer, body, change)
        return _everywhere(answer, body, lambda value: _in_messages(value, change))

    return await _remade(hit, onward, rewrite, facts)


async def with_json(hit: Hit, onward: Onward, change: ChangeValue, **facts: Any) -> Answer:
    """The call carried out, with its whole body, or each of its events, as `change` makes it."""
    return await _remade(hit, onward, lambda a, body: _everywhere(a, body, change), facts)


async def _remade(hit: Hit, onward: Onward, rewrite: _Rewrite, facts: Facts) -> Answer:
    answer = await onward()
    if answer.status >= 300 or (hit.call.form == "plain" and streams(answer)):
        return answer
    body = await read(answer)
    plain = decompressed(body, answer.headers.get("content-encoding", ""))
    made = None if plain is None else rewrite(answer, plain)
    if made is None:
        return as_it_came(answer, body)
    changed, told = made
    hit.struck(**facts, **told)
    return rebodied(answer, changed)


def as_it_came(answer: Answer, body: bytes) -> Made:
    """An answer that was read, as if it had not been."""
    made = Made(answer.status, body, answer.headers, source=answer)
    made.reason = answer.reason
    return made


def decompressed(body: bytes, encoding: str) -> bytes | None:
    """A body as it is meant; None when it is compressed in a way that is not known here."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in ("gzip", "x-gzip", "deflate"):
        return None
    try:
        return zlib.decompressobj(wbits=47).decompress(body)  # 47: gzip or zlib, as it begins
    except zlib.error:
        return None


def unaddressed(body: bytes) -> bytes:
    """JSON-RPC answers, alone or as events, without the ids of what they answered."""
    if (made := _in_json(body, _unaddressed)) is not None:
        return made[0]
    return (_in_events(body, _unaddressed) or (body,))[0]


def _unaddressed(value: Any) -> tuple[Any, Facts]:
    answers = isinstance(value, dict) and ("result" in value or "error" in value)
    return (value | {"id": None} if answers else value), {}


def parsed(text: bytes | str) -> Any:
    """JSON as a value. Raises ValueError."""
    try:
        return msgspec.json.decode(text)
    except _UNREADABLE as error:
        raise ValueError(str(error)) from error


def same(one: Any, other: Any) -> bool:
    """True when two values are the same JSON."""
    return _encode(one) == _encode(other)


def _turn(codec: Codec, body: bytes, *, streamed: bool) -> Turn | None:
    """A turn that came whole and without an error."""
    if streamed:
        decoder = codec.stream_decoder()
        decoder.feed(body)
        turn = decoder.turn()
    else:
        try:
            turn = codec.decode_response(body)
        except WireError:
            return None
    return turn if turn.complete and not turn.error else None


def _in_json(body: bytes, change: ChangeValue) -> tuple[bytes, Facts] | None:
    try:
        value = parsed(body)
    except ValueError:
        return None
    changed, facts = change(value)
    return None if same(changed, value) else (_encode(changed), facts)


def _everywhere(answer: Answer, body: bytes, change: ChangeValue) -> tuple[bytes, Facts] | None:
    return _in_events(body, change) if streams(answer) else _in_json(body, change)


def _in_events(body: bytes, change: ChangeValue) -> tuple[bytes, Facts] | None:
    splitter = EventSplitter()
    told: Facts | None = None
    out = []
    for block in [*splitter.feed(body), splitter.held()]:
        event = parse_event(block)
        made = None if event is None else _in_json(event.data, change)
        if made is None or event is None:
            out.append(block)
        else:
            out.append(_other_lines(block) + encode_event(made[0]))
            told = made[1] if told is None else told
    return None if told is None else (b"".join(out), told)


def _other_lines(block: bytes) -> bytes:
    """What an event says besides its data: its name, the id to go on from."""
    lines = (line for line in block.splitlines() if line and not line.startswith(b"data:"))
    return b"".join(line + b"\n" for line in lines)


def _in_plain(answer: Answer, body: bytes, change: ChangeValue) -> tuple[bytes, Facts] | None:
    kind = answer.headers.get("content-type", "")
    if "json" in kind:
        return _in_json(body, change)
    if not kind.startswith("text/"):
        return None
    text = body.decode("utf-8", "replace")
    changed, facts = change(text)
    if changed == text:
        return None
    return (changed.encode() if isinstance(changed, str) else _encode(changed)), facts


def _in_tool(body: Any, change: ChangeValue) -> tuple[Any, Facts]:
    if not isinstance(body, dict) or "result" not in body:
        return body, {}
    changed, facts = change(body["result"])
    return body | {"result": changed}, facts


def _in_messages(value: Any, change: ChangeValue) -> tuple[Any, Facts]:
    """In one JSON-RPC message, or in a batch."""
    if isinstance(value, list):
        made = [_in_messages(one, change) for one in value]
        return [one for one, _ in made], next((told for _, told in made if told), {})
    result = value.get("result") if isinstance(value, dict) else None
    if not isinstance(result, dict) or result.get("isError") is True:
        return value, {}
    changed, facts = _in_result(result, change)
    return value | {"result": changed}, facts


def _in_result(result: dict[str, Any], change: ChangeValue) -> tuple[Any, Facts]:
    """In the result of a call: its structured content where it has one, else its texts, each read
    as JSON when it holds an object or a list. Of what is no call, the result itself."""
    content, structured = result.get("content"), result.get("structuredContent")
    if isinstance(structured, dict):
        wrapped = list(structured) == ["result"]
        changed, facts = change(structured["result"] if wrapped else structured)
        whole = not wrapped and isinstance(changed, dict)
        parts = [_text_part(changed)]
        told = {"content": parts, "structuredContent": changed if whole else {"result": changed}}
        return result | told, facts
    if not isinstance(content, list):
        return change(result)
    texts = [part["text"] for part in content if _is_text(part)]
    others = [part for part in content if not _is_text(part)]
    values = [_meant(text) for text in texts]
    if len(values) == 1:
        changed, facts = change(values[0])
        new = values if same(changed, values[0]) else [changed]
    else:
        changed, facts = change(values)
        new = changed if isinstance(changed, list) else [changed]
    if same(new, values):
        return result, {}
    return result | {"content": [*map(_text_part, new), *others]}, facts


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)


def _meant(text: str) -> Any:
    if text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        return parsed(text)
    except ValueError:
        return text


def _text_part(value: Any) -> dict[str, Any]:
    text = value if isinstance(value, str) else _encode(value).decode()
    return {"type": "text", "text": text}
