"""Anthropic Messages as a stream: events to a turn, a turn to events.

Rules:
1. Content blocks are keyed by their `index`. Only `text` and `tool_use` blocks are read; thinking
   and blocks of tools that the provider runs itself are passed over.
2. Arguments are the joined `partial_json` fragments, else the `input` the block began with.
3. Counts in `message_delta` are totals: each that is there replaces the one before.
4. The terminal event is `message_stop`. An `error` event ends the turn under status 200.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from proofrig.wire.counts import Odd, whole_counts
from proofrig.wire.parts import error_text, pace_of, pieces
from proofrig.wire.sse import EventReader, encode_event
from proofrig.wire.turn import Finish, ToolCall, Turn, Usage

FINISH: dict[str | None, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
_STOP_REASONS: dict[Finish, str] = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",
}
_encode = msgspec.json.Encoder().encode


class _OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: Any = None


class WireUsage(msgspec.Struct, gc=False):
    """`usage` as it stands in responses, `message_start` and `message_delta`."""

    input_tokens: Any = None
    output_tokens: Any = None
    cache_creation_input_tokens: Any = None
    cache_read_input_tokens: Any = None
    output_tokens_details: _OutputDetails | Odd = None

    def update(self, later: WireUsage) -> None:
        """Take over the totals that `later` has."""
        for name in self.__struct_fields__:
            value = getattr(later, name)
            if value is not None:
                setattr(self, name, value)

    def usage(self) -> Usage | None:
        """The same in proofrig's terms, where the input counts cached tokens too."""
        made = self.output_tokens_details
        counts = whole_counts(
            self.input_tokens,
            self.output_tokens,
            self.cache_read_input_tokens,
            self.cache_creation_input_tokens,
            made.thinking_tokens if isinstance(made, _OutputDetails) else 0,
        )
        if counts is None:
            return None
        fresh, output, read, write, reasoning = counts
        return Usage(fresh + read + write, output, read, write, reasoning)


class StopDetails(msgspec.Struct, gc=False):
    """Why a refusal was a refusal."""

    explanation: str | None = None


class Block(msgspec.Struct):
    """A content block of a response; fields of other kinds of blocks are passed over."""

    type: str = ""
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw(b"")


class _Delta(msgspec.Struct):
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None
    stop_details: StopDetails | None = None


class _Message(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    usage: WireUsage | Odd = None


class _Event(msgspec.Struct):
    type: str = ""
    index: int = 0
    message: _Message | None = None
    content_block: Block | None = None
    delta: _Delta | None = None
    usage: WireUsage | Odd = None
    error: Any = None


_EVENT = msgspec.json.Decoder(_Event)


class MessagesStreamDecoder:
    """Reads a Messages stream as it passes."""

    def __init__(self) -> None:
        self._reader = EventReader()
        self._message = _Message()
        self._text: list[str] = []
        self._calls: dict[int, tuple[Block, list[str]]] = {}
        self._stop_reason: str | None = None
        self._refusal = ""
        self._usage: WireUsage | None = None
        self._error = ""
        self.ended = False
        self.reasoning_bytes = 0
        self.output_seen = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body; never raises."""
        for raw in self._reader.feed(chunk):
            try:
                event = _EVENT.decode(raw.data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            kind = event.type or raw.name
            if kind == "content_block_delta":
                self._take_delta(event)
            elif kind == "content_block_start":
                self._take_block(event)
            elif kind == "message_stop":
                self.ended = True
            elif kind == "error":
                self._error = error_text(event.error) or "error"
            else:
                self._take_message(event)

    def _take_message(self, event: _Event) -> None:
        if event.message is not None:
            self._message = event.message
            self._take_usage(event.message.usage)
        if event.delta is not None:
            self._stop_reason = event.delta.stop_reason or self._stop_reason
            if event.delta.stop_details is not None:
                self._refusal = event.delta.stop_details.explanation or ""
        self._take_usage(event.usage)

    def _take_usage(self, usage: WireUsage | Odd) -> None:
        if not isinstance(usage, WireUsage):
            return
        if self._usage is None:
            self._usage = usage
        else:
            self._usage.update(usage)

    def _take_block(self, event: _Event) -> None:
        block = event.content_block
        if block is None:
            return
        if block.type == "tool_use":
            self._calls[event.index] = (block, [])
        if block.text:
            self._text.append(block.text)
        if block.text or block.type not in ("text", "thinking"):
            self.output_seen = True

    def _take_delta(self, event: _Event) -> None:
        delta = event.delta
        if delta is None:
            return
        self.output_seen = True
        if delta.text:
            self._text.append(delta.text)
        if delta.thinking:
            self.reasoning_bytes += len(delta.thinking.encode())
        if delta.partial_json and event.index in self._calls:
            self._calls[event.index][1].append(delta.partial_json)

    def turn(self) -> Turn:
        """The turn as far as it was seen."""
        return Turn(
            api="messages",
            id=self._message.id or "",
            model=self._message.model or "",
            text="".join(self._text),
            refusal=self._refusal,
            tool_calls=tuple(
                tool_call(block, "".join(parts))
                for _, (block, parts) in sorted(self._calls.items())
            ),
            finish="error" if self._error else FINISH.get(self._stop_reason, "unknown"),
            usage=None if self._usage is None else self._usage.usage(),
            complete=self.ended and not self._error,
            error=self._error,
        )


def tool_call(block: Block, arguments: str = "") -> ToolCall:
    """The call in a `tool_use` block; without streamed arguments those the block holds."""
    text = arguments or bytes(block.input).decode() or "{}"
    return ToolCall(block.id or "", block.name or "", text)


def usage_fields(usage: Usage) -> dict[str, Any]:
    """`usage` as this API writes it: cached tokens beside the input."""
    return {
        "input_tokens": max(usage.input - usage.cache_read - usage.cache_write, 0),
        "output_tokens": usage.output,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    }


def stop_fields(turn: Turn) -> dict[str, Any]:
    """Why the turn ended, as this API writes it; a refusal's words are its explanation."""
    reason = "refusal" if turn.refusal else _STOP_REASONS.get(turn.finish)
    fields = {
        "stop_reason": reason or ("tool_use" if turn.tool_calls else "end_turn"),
        "stop_sequence": None,
    }
    if reason != "refusal":
        return fields
    details = {"type": "refusal", "category": None, "explanation": turn.refusal or None}
    return fields | {"stop_details": details}


def _event(kind: str, **fields: Any) -> bytes:
    return encode_event(_encode({"type": kind} | fields), kind)


def encode_messages_stream(turn: Turn) -> Iterator[tuple[bytes, int]]:
    """The turn as SSE events with the output tokens of each. A turn that ended in an error ends
    with an error event, without `message_stop`."""
    usage = usage_fields(turn.usage or Usage())
    message: dict[str, Any] = {
        "id": turn.id,
        "type": "message",
        "role": "assistant",
        "model": turn.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage | {"output_tokens": min(1, usage["output_tokens"])},
    }
    yield _event("message_start", message=message), 0
    pace = pace_of(turn.text, "", turn.tool_calls, turn.usage)
    index = 0
    if turn.text:
        block: dict[str, Any] = {"type": "text", "text": ""}
        yield _event("content_block_start", index=0, content_block=block), 0
        for piece in pieces(turn.text):
            delta = {"type": "text_delta", "text": piece}
            yield _event("content_block_delta", index=0, delta=delta), pace.next()
        yield _event("content_block_stop", index=0), 0
        index = 1
    for call in turn.tool_calls:
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        yield _event("content_block_start", index=index, content_block=block), 0
        for piece in pieces(call.arguments):
            delta = {"type": "input_json_delta", "partial_json": piece}
            yield _event("content_block_delta", index=index, delta=delta), pace.next()
        yield _event("content_block_stop", index=index), 0
        index += 1
    if turn.finish == "error":
        yield _event("error", error={"type": "api_error", "message": turn.error}), 0
        return
    yield _event("message_delta", delta=stop_fields(turn), usage=usage), 0
    yield _event("message_stop"), 0
