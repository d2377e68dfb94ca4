"""OpenAI Responses as a stream: events to a turn, a turn to events.

Rules:
1. The `response` object of the terminal event (completed, incomplete, failed) is the truth. When
   the stream was cut, or that object holds no output, the output is rebuilt from
   `output_item.added`, the deltas and `output_item.done`, keyed by `output_index`.
2. Calls are joined on `call_id`, never on an item's `id`. A call that has no `call_id` was run by
   the provider itself (web search, code interpreter, remote MCP) and is no call of the agent's.
3. A finish is not on the wire: completed means stop, or tool_calls when there are any.
4. An `error` event ends the turn without a terminal event.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from proofrig.wire.counts import Odd, whole_counts
from proofrig.wire.parts import call_of, error_text, pace_of, pieces, text_of, unix_seconds
from proofrig.wire.sse import EventReader, encode_event
from proofrig.wire.turn import Finish, ToolCall, Turn, Usage

_TERMINAL = ("response.completed", "response.incomplete", "response.failed")
_ENDED = ("completed", "incomplete", "failed", "cancelled")
_REASONS: dict[str | None, Finish] = {
    "max_output_tokens": "length",
    "content_filter": "content_filter",
}
_encode = msgspec.json.Encoder().encode


class _InputDetails(msgspec.Struct, gc=False):
    cached_tokens: Any = None
    cache_write_tokens: Any = None


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: Any = None


class WireUsage(msgspec.Struct, gc=False):
    """`usage` as it stands in a response object."""

    input_tokens: Any = None
    output_tokens: Any = None
    input_tokens_details: _InputDetails | Odd = None
    output_tokens_details: _OutputDetails | Odd = None

    def usage(self) -> Usage | None:
        """The same in proofrig's terms; here the input counts cached tokens already."""
        given, made = self.input_tokens_details, self.output_tokens_details
        read, written = 0, 0
        if isinstance(given, _InputDetails):
            read, written = given.cached_tokens, given.cache_write_tokens
        counts = whole_counts(
            self.input_tokens,
            self.output_tokens,
            read,
            written,
            made.reasoning_tokens if isinstance(made, _OutputDetails) else 0,
        )
        return None if counts is None else Usage(*counts)


class Item(msgspec.Struct):
    """An item of a request's input or a response's output, of any type."""

    type: str = ""
    role: str | None = None
    content: Any = None
    call_id: str | None = None
    name: str | None = None
    arguments: Any = None
    input: Any = None  # of custom_tool_call
    action: Any = None  # of shell_call, computer_call
    operation: Any = None  # of apply_patch_call
    output: Any = None

    def is_call(self) -> bool:
        """True for a call that the agent must run."""
        return self.call_id is not None and self.type.endswith("_call")

    def call(self) -> ToolCall:
        """The call in this item."""
        given = (self.arguments, self.input, self.action, self.operation)
        arguments = next((one for one in given if one is not None), None)
        return call_of(self.call_id, self.name or self.type.removesuffix("_call"), arguments)


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class WireResponse(msgspec.Struct):
    """A response object, whole or inside an event."""

    id: str | None = None
    model: str | None = None
    created_at: Any = None
    status: str | None = None
    output: list[Item] | None = None
    usage: WireUsage | Odd = None
    incomplete_details: _Incomplete | None = None
    error: Any = None

    def turn(self, output: Iterable[Item]) -> Turn:
        """The turn that this object and these output items are."""
        items = list(output)
        calls = tuple([item.call() for item in items if item.is_call()])
        messages = [item.content for item in items if item.type == "message"]
        ended = self.status in _ENDED or (self.status is None and self.output is not None)
        return Turn(
            api="responses",
            id=self.id or "",
            model=self.model or "",
            text="".join(map(text_of, messages)),
            refusal="".join(map(_refusal_of, messages)),
            tool_calls=calls,
            finish=self._finish(bool(calls)) if ended else "unknown",
            usage=self.usage.usage() if isinstance(self.usage, WireUsage) else None,
            complete=ended,
            error=error_text(self.error) if self.error else "",
            created=unix_seconds(self.created_at),
        )

    def _finish(self, called: bool) -> Finish:
        if self.error or self.status in ("failed", "cancelled"):
            return "error"
        if self.status == "incomplete":
            details = self.incomplete_details
            return _REASONS.get(details.reason if details else None, "unknown")
        return "tool_calls" if called else "stop"


def _refusal_of(content: Any) -> str:
    if not isinstance(content, list):
        return ""
    said = [part.get("refusal") for part in content if isinstance(part, dict)]
    return "".join([one for one in said if isinstance(one, str)])


class _Event(msgspec.Struct):
    type: str = ""
    response: WireResponse | None = None
    output_index: int = 0
    item: Item | None = None
    delta: Any = None
    error: Any = None
    message: str | None = None
    code: str | None = None


_EVENT = msgspec.json.Decoder(_Event)


class _OpenItem:
    """An output item whose deltas are still coming."""

    __slots__ = ("arguments", "item", "refusal", "text")

    def __init__(self) -> None:
        self.item = Item(type="message")
        self.text: list[str] = []
        self.refusal: list[str] = []
        self.arguments: list[str] = []

    def built(self) -> Item:
        """The item with what its deltas brought; a finished item came whole."""
        if self.arguments:
            return msgspec.structs.replace(self.item, arguments="".join(self.arguments), input=None)
        if self.text or self.refusal:
            parts = [{"text": "".join(self.text)}, {"refusal": "".join(self.refusal)}]
            return msgspec.structs.replace(self.item, content=parts)
        return self.item


class ResponsesStreamDecoder:
    """Reads a Responses stream as it passes."""

    def __init__(self) -> None:
        self._reader = EventReader()
        self._response = WireResponse()
        self.ended = False
        self.reasoning_bytes = 0
        self._items: dict[int, _OpenItem] = {}
        self._error = ""
        self.output_seen = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body; never raises."""
        for raw in self._reader.feed(chunk):
            try:
                event = _EVENT.decode(raw.data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            kind = event.type or raw.name
            if kind.endswith(".delta"):
                self._take_delta(kind, event)
            elif event.response is not None:
                self._response = event.response
                self.ended = kind in _TERMINAL
            elif event.item is not None:
                self._take_item(kind, event.output_index, event.item)
            elif kind == "error":
                self._error = event.message or error_text(event.error) or event.code or "error"

    def _open(self, index: int) -> _OpenItem:
        found = self._items.get(index)
        if found is None:
            found = self._items[index] = _OpenItem()
        return found

    def _take_item(self, kind: str, index: int, item: Item) -> None:
        if kind == "response.output_item.done":
            self._items[index] = _OpenItem()
        if item.type.endswith("_call"):
            self.output_seen = True
        self._open(index).item = item

    def _take_delta(self, kind: str, event: _Event) -> None:
        if not event.delta or not isinstance(event.delta, str):
            return
        self.output_seen = True
        if kind == "response.output_text.delta":
            self._open(event.output_index).text.append(event.delta)
        elif kind == "response.refusal.delta":
            self._open(event.output_index).refusal.append(event.delta)
        elif kind in (
            "response.function_call_arguments.delta",
            "response.custom_tool_call_input.delta",
        ):
            self._open(event.output_index).arguments.append(event.delta)
        elif kind.startswith("response.reasoning"):
            self.reasoning_bytes += len(event.delta.encode())

    def turn(self) -> Turn:
        """The turn as far as it was seen."""
        response = self._response
        output: Iterable[Item] = response.output or ()
        if not self.ended or not response.output:
            output = [self._items[index].built() for index in sorted(self._items)]
        turn = response.turn(output)
        if self._error:
            return msgspec.structs.replace(turn, finish="error", error=self._error, complete=False)
        if not self.ended:
            return msgspec.structs.replace(turn, finish="unknown", complete=False)
        return msgspec.structs.replace(turn, complete=True)


def usage_fields(usage: Usage) -> dict[str, Any]:
    """`usage` as this API writes it."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


def output_items(turn: Turn) -> list[dict[str, Any]]:
    """The turn's output: a message when there is text or a refusal, then the calls."""
    base = turn.id.removeprefix("resp_")
    content: list[dict[str, Any]] = []
    if turn.text:
        part = {"type": "output_text", "text": turn.text, "annotations": [], "logprobs": []}
        content.append(part)
    if turn.refusal:
        content.append({"type": "refusal", "refusal": turn.refusal})
    items: list[dict[str, Any]] = []
    if content or not turn.tool_calls:
        items.append(
            {
                "type": "message",
                "id": f"msg_{base}",
                "role": "assistant",
                "status": "completed",
                "content": content,
            }
        )
    for index, call in enumerate(turn.tool_calls):
        items.append(
            {
                "type": "function_call",
                "id": f"fc_{base}_{index}",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
                "status": "completed",
            }
        )
    return items


def response_fields(turn: Turn, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    """The response object in this state. `usage` comes with its end."""
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(turn.finish)
    ended = status != "in_progress"
    failed = status == "failed"
    return {
        "id": turn.id,
        "object": "response",
        "created_at": turn.created,
        "status": status,
        "model": turn.model,
        "output": output,
        "error": {"code": "server_error", "message": turn.error} if failed else None,
        "incomplete_details": {"reason": reason} if status == "incomplete" else None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage_fields(turn.usage) if ended and turn.usage is not None else None,
    }


def status_of(turn: Turn) -> str:
    """The status a turn ends in."""
    if turn.finish == "error":
        return "failed"
    return "incomplete" if turn.finish in ("length", "content_filter") else "completed"


class _Events:
    """Writes events, each with the next sequence number."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def __call__(self, kind: str, **fields: Any) -> bytes:
        head = {"type": kind, "sequence_number": next(self._numbers)}
        return encode_event(_encode(head | fields), kind)


def encode_responses_stream(turn: Turn) -> Iterator[tuple[bytes, int]]:
    """The turn as SSE events with the output tokens of each, from created to a terminal event."""
    event = _Events()
    begun = response_fields(turn, "in_progress", [])
    yield event("response.created", response=begun), 0
    yield event("response.in_progress", response=begun), 0
    pace = pace_of(turn.text, turn.refusal, turn.tool_calls, turn.usage)
    items = output_items(turn)
    for index, item in enumerate(items):
        opened = item | {"status": "in_progress"}
        if item["type"] == "message":
            opened["content"] = []
            events = _message_events(event, index, item)
        else:
            opened["arguments"] = ""
            events = _call_events(event, index, item)
        yield event("response.output_item.added", output_index=index, item=opened), 0
        for data, counts in events:
            yield data, pace.next() if counts else 0
        yield event("response.output_item.done", output_index=index, item=item), 0
    status = status_of(turn)
    yield event(f"response.{status}", response=response_fields(turn, status, items)), 0


def _message_events(
    event: _Events, index: int, item: dict[str, Any]
) -> Iterator[tuple[bytes, bool]]:
    for place, part in enumerate(item["content"]):
        field = "text" if part["type"] == "output_text" else "refusal"
        kind = f"response.{part['type']}"
        where = {"item_id": item["id"], "output_index": index, "content_index": place}
        extra: dict[str, Any] = {"logprobs": []} if field == "text" else {}
        yield event("response.content_part.added", part=part | {field: ""}, **where), False
        for piece in pieces(part[field]):
            yield event(f"{kind}.delta", delta=piece, **where, **extra), True
        yield event(f"{kind}.done", **{field: part[field]}, **where, **extra), False
        yield event("response.content_part.done", part=part, **where), False


def _call_events(event: _Events, index: int, item: dict[str, Any]) -> Iterator[tuple[bytes, bool]]:
    where = {"item_id": item["id"], "output_index": index}
    kind = "response.function_call_arguments"
    for piece in pieces(item["arguments"]):
        yield event(f"{kind}.delta", delta=piece, **where), True
    whole = {"arguments": item["arguments"], "name": item["name"]}
    yield event(f"{kind}.done", **whole, **where), False
