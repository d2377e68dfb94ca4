"""OpenAI Chat Completions as a stream: chunks to a turn, a turn to chunks, the usage chunk hidden.

Rules:
1. Only the choice of index 0 is read; tool calls are keyed by their `index`, and an index that
   comes back with another id (some servers number every call 0) is another call.
2. The terminal event is a `finish_reason` or `[DONE]`; an `error` in a chunk ends the turn.
3. Events that are not a chunk's JSON are passed over.
4. The usage chunk has no choices and a usage; nothing else is ever taken out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from proofrig.wire.counts import Odd, whole_counts
from proofrig.wire.parts import error_text, json_text, pace_of, pieces, unix_seconds
from proofrig.wire.sse import EventReader, EventSplitter, encode_event, parse_event
from proofrig.wire.turn import Finish, ToolCall, Turn, Usage

FINISH: dict[str | None, Finish] = {
    "stop": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "content_filter": "content_filter",
}
_DONE = b"[DONE]"
_HAS_CHOICE = re.compile(rb'"choices"\s*:\s*\[\s*\{')  # what a usage chunk has not
_encode = msgspec.json.Encoder().encode


class _InputDetails(msgspec.Struct, gc=False):
    cached_tokens: Any = None
    cache_write_tokens: Any = None


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: Any = None


class WireUsage(msgspec.Struct, gc=False):
    """`usage` as it stands in responses and in the usage chunk."""

    prompt_tokens: Any = None
    completion_tokens: Any = None
    prompt_tokens_details: _InputDetails | Odd = None
    completion_tokens_details: _OutputDetails | Odd = None

    def usage(self) -> Usage | None:
        """The same in proofrig's terms; here the input counts cached tokens already."""
        given, made = self.prompt_tokens_details, self.completion_tokens_details
        read, written = 0, 0
        if isinstance(given, _InputDetails):
            read, written = given.cached_tokens, given.cache_write_tokens
        counts = whole_counts(
            self.prompt_tokens,
            self.completion_tokens,
            read,
            written,
            made.reasoning_tokens if isinstance(made, _OutputDetails) else 0,
        )
        return None if counts is None else Usage(*counts)


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: Any = None
    input: Any = None  # of a custom tool


class _CallDelta(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    custom: _Function | None = None


class _Delta(msgspec.Struct):
    content: Any = None
    refusal: str | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: list[_CallDelta] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    created: Any = None
    choices: list[_Choice] | None = None
    usage: WireUsage | Odd = None
    error: Any = None


class _UsageChunk(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None
    usage: WireUsage | Odd = None


_CHUNK = msgspec.json.Decoder(_Chunk)
_USAGE_CHUNK = msgspec.json.Decoder(_UsageChunk)


class _OpenCall:
    """A tool call whose fragments are still coming."""

    __slots__ = ("arguments", "id", "index", "name")

    def __init__(self, index: int) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []

    def add(self, delta: _CallDelta) -> None:
        self.id = self.id or delta.id or ""
        function = delta.function or delta.custom
        if function is not None:
            self.name = self.name or function.name or ""
            self.arguments.append(json_text(function.arguments or function.input))


class ChatStreamDecoder:
    """Reads a chat stream as it passes."""

    def __init__(self) -> None:
        self._reader = EventReader()
        self._head = ("", "", 0)
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._calls: list[_OpenCall] = []
        self._open: dict[int, _OpenCall] = {}
        self._finish: str | None = None
        self.ended = False
        self.reasoning_bytes = 0
        self._usage: WireUsage | None = None
        self._error = ""
        self.output_seen = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body; never raises."""
        for event in self._reader.feed(chunk):
            if event.data == _DONE:
                self.ended = True
                continue
            try:
                self._take(_CHUNK.decode(event.data))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue

    def _take(self, chunk: _Chunk) -> None:
        if not self._head[0]:
            self._head = (chunk.id or "", chunk.model or "", unix_seconds(chunk.created))
        if isinstance(chunk.usage, WireUsage):
            self._usage = chunk.usage
        if chunk.error:
            self._error = error_text(chunk.error)
        for choice in chunk.choices or ():
            if choice.index == 0:
                self._finish = choice.finish_reason or self._finish
                if choice.delta is not None:
                    self._take_delta(choice.delta)

    def _take_delta(self, delta: _Delta) -> None:
        if delta.content and isinstance(delta.content, str):
            self._text.append(delta.content)
            self.output_seen = True
        if delta.refusal:
            self._refusal.append(delta.refusal)
            self.output_seen = True
        if reasoning := delta.reasoning_content or delta.reasoning:
            self.reasoning_bytes += len(json_text(reasoning).encode())
            self.output_seen = True
        for fragment in delta.tool_calls or ():
            self._call_for(fragment).add(fragment)
            self.output_seen = True

    def _call_for(self, fragment: _CallDelta) -> _OpenCall:
        index = fragment.index
        if index is None:  # a server that leaves the index out starts a call with its id
            index = len(self._calls) if fragment.id or not self._calls else self._calls[-1].index
        call = self._open.get(index)
        if call is None or (fragment.id and call.id and fragment.id != call.id):
            call = self._open[index] = _OpenCall(index)
            self._calls.append(call)
        return call

    def turn(self) -> Turn:
        """The turn as far as it was seen."""
        calls = sorted(self._calls, key=lambda call: call.index)
        identity, model, created = self._head
        return Turn(
            api="chat_completions",
            id=identity,
            model=model,
            text="".join(self._text),
            refusal="".join(self._refusal),
            tool_calls=tuple(ToolCall(c.id, c.name, "".join(c.arguments)) for c in calls),
            finish="error" if self._error else FINISH.get(self._finish, "unknown"),
            usage=None if self._usage is None else self._usage.usage(),
            complete=not self._error and (self.ended or self._finish is not None),
            error=self._error,
            created=created,
        )


class ChatUsageStripper:
    """Takes the usage chunk out of a chat stream; every other byte passes as it came, and as soon
    as it is known not to be of that chunk."""

    def __init__(self) -> None:
        self._splitter = EventSplitter()
        self._dropped = False
        self._open = b""  # of the event that has not ended
        self._passed = 0  # how many of its bytes have passed

    def feed(self, chunk: bytes) -> bytes:
        """The bytes to pass on now. Holds back at most one unfinished event."""
        kept = []
        blocks = self._splitter.feed(chunk)
        for block in blocks:
            if block != b"\n":  # a lone LF ends the block before it and shares its fate
                self._dropped = not self._passed and _is_usage_chunk(block)
            if not self._dropped:
                kept.append(block[self._passed :])
            self._passed = 0
        self._open = data = (self._open + chunk)[sum(map(len, blocks)) :]
        if data and (self._passed or _HAS_CHOICE.search(data)):
            kept.append(data[self._passed :])
            self._passed = len(data)
        return b"".join(kept)

    def flush(self) -> bytes:
        """What is still held back when the body ended."""
        return self._splitter.held()[self._passed :]


def _is_usage_chunk(block: bytes) -> bool:
    if b'"usage"' not in block:
        return False
    event = parse_event(block)
    if event is None:
        return False
    try:
        chunk = _USAGE_CHUNK.decode(event.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return chunk.usage is not None and chunk.choices is not None and not chunk.choices


def usage_fields(usage: Usage) -> dict[str, Any]:
    """`usage` as this API writes it."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def finish_reason(turn: Turn) -> str:
    """The turn's finish as this API names it; it has no name for an unknown one."""
    if turn.finish in ("unknown", "error"):
        return "tool_calls" if turn.tool_calls else "stop"
    return turn.finish


def encode_chat_stream(turn: Turn, *, usage: bool) -> Iterator[tuple[bytes, int]]:
    """The turn as SSE events with the output tokens of each. A turn that ended in an error ends
    with an error chunk, without `[DONE]`."""
    base: dict[str, Any] = {
        "id": turn.id,
        "object": "chat.completion.chunk",
        "created": turn.created,
        "model": turn.model,
    }
    silent = {"usage": None} if usage else {}  # what OpenAI writes once usage was asked for

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return encode_event(_encode(base | {"choices": [choice]} | silent))

    pace = pace_of(turn.text, turn.refusal, turn.tool_calls, turn.usage)
    yield chunk({"role": "assistant", "content": "", "refusal": None}), 0
    for piece in pieces(turn.text):
        yield chunk({"content": piece}), pace.next()
    for piece in pieces(turn.refusal):
        yield chunk({"refusal": piece}), pace.next()
    for index, call in enumerate(turn.tool_calls):
        function = {"name": call.name, "arguments": ""}
        opening = {"index": index, "id": call.id, "type": "function", "function": function}
        yield chunk({"tool_calls": [opening]}), 0
        for piece in pieces(call.arguments):
            fragment = {"index": index, "function": {"arguments": piece}}
            yield chunk({"tool_calls": [fragment]}), pace.next()
    if turn.finish == "error":
        error = {"message": turn.error, "type": "server_error", "param": None, "code": None}
        yield encode_event(_encode({"error": error})), 0
        return
    yield chunk({}, finish_reason(turn)), 0
    if usage and turn.usage is not None:
        yield encode_event(_encode(base | {"choices": [], "usage": usage_fields(turn.usage)})), 0
    yield encode_event(_DONE), 0
