"""Bodies as they pass, for faults that strike in the middle of one.

Rules:
1. An event is what carries data; comments and lone names are none. Output is told from framing,
   and the end from both, by the form of the call, or where that is plain by the event's own; of
   others each event is output, and only `[DONE]` is known for an end.
2. A point lies inside a body only when something follows it that matters: not at its very end, and
   not behind the event that ends a turn, which the agent takes for the end.
3. Until its point a body passes chunk by chunk, as it came.
4. A compressed body is bytes, whatever it says that it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self

import msgspec
from pydantic import Field, model_validator

from proofrig.faults.fault import Fault, Hit, Onward
from proofrig.wire.answer import Answer, Cut, How, Made, read, rechunked, streams
from proofrig.wire.sse import EventSplitter, parse_event

Chunks = AsyncIterator[bytes]
Amount = Annotated[int, Field(strict=True, ge=0, le=100_000_000)]
# Of a whole, less than all of it.
Part = Annotated[float, Field(ge=0, lt=1)]
Which = Literal["output", "all"]
# What an event is to its turn: a piece of what the model writes, how it finishes, its last word.
Role = Literal["output", "finish", "end", "framing"]

_ENDS = (
    *("message_stop", "error"),
    *("response.completed", "response.incomplete", "response.failed"),
)
_TEXTS = ("text/", "json", "xml", "javascript")
_json = msgspec.json.Decoder()


def has_events(answer: Answer) -> bool:
    """True for server-sent events that can be read."""
    return streams(answer) and not _compressed(answer)


def is_text(answer: Answer) -> bool:
    """True when a body is text, in events or whole, by what its head says."""
    kind = answer.headers.get("content-type", "").lower()
    return any(one in kind for one in _TEXTS) and not _compressed(answer)


def _compressed(answer: Answer) -> bool:
    return answer.headers.get("content-encoding", "identity").strip().lower() != "identity"


def role_of(form: str, block: bytes) -> Role:
    """What a raw event is to its turn; `framing` for what carries no data."""
    event = parse_event(block)
    if event is None:
        return "framing"
    if event.data == b"[DONE]":
        return "end"
    try:
        value = _json.decode(event.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "output"
    if not isinstance(value, dict):
        return "output"
    if form in ("tool", "plain"):
        form = _form_of(value)
    if form == "mcp":
        return "output" if "method" in value else "end"
    if form == "chat_completions":
        return _in_chat(value)
    return _in_typed(value, event.name) if form else "output"


def _form_of(value: dict[str, Any]) -> str:
    """The form of an event that came as plain HTTP; "" for one of another kind."""
    if value.get("jsonrpc") == "2.0":
        return "mcp"
    if isinstance(value.get("choices"), list):
        return "chat_completions"
    kind = value.get("type")
    known = isinstance(kind, str) and kind.startswith(("response.", "message_", "content_block_"))
    return "responses" if known else ""


def _in_chat(chunk: dict[str, Any]) -> Role:
    if chunk.get("error"):
        return "end"
    choices = chunk.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return "finish" if chunk.get("usage") else "framing"
    if choices[0].get("finish_reason"):
        return "finish"
    delta = choices[0].get("delta")
    said = isinstance(delta, dict) and any(v for name, v in delta.items() if name != "role")
    return "output" if said else "framing"


def _in_typed(event: dict[str, Any], name: str) -> Role:
    kind = str(event.get("type") or name)
    if kind in _ENDS:
        return "end"
    if kind == "message_delta":
        return "finish"
    return "output" if kind == "content_block_delta" or kind.endswith(".delta") else "framing"


def wanted(which: Which, form: str, block: bytes) -> bool:
    """True for an event with output, or for any that carries data."""
    if which == "output":
        return role_of(form, block) == "output"
    return parse_event(block) is not None


async def each_event(change: Callable[[bytes], bytes], chunks: Chunks) -> Chunks:
    """A body with each of its raw events as `change` makes it; a chunk waits for the end of the
    event that it begins."""
    splitter = EventSplitter()
    async for chunk in chunks:
        if made := b"".join(map(change, splitter.feed(chunk))):
            yield made
    if rest := splitter.held():
        yield rest


async def events(chunks: Chunks) -> Chunks:
    """A body event by event, each with the blank line that ends it; last what is left over."""
    splitter = EventSplitter()
    async for chunk in chunks:
        for block in splitter.feed(chunk):
            yield block
    if rest := splitter.held():
        yield rest


class _Point:
    """Looks for a point in a body: after so many events, or so many bytes."""

    def __init__(self, form: str, after_events: int | None, after_bytes: int | None) -> None:
        self._form, self._events, self._bytes = form, after_events, after_bytes
        self._splitter = EventSplitter() if form else None  # "": a body without events
        self._seen = self._came = self._cut = 0
        self.ended = False

    def within(self, chunk: bytes) -> int | None:
        """How many bytes of the next chunk come before the point; None when it is not in there, or
        lies behind the end of the turn."""
        before, self._came = self._came, self._came + len(chunk)
        point = 0 if self._events == 0 else None
        if self._events is None and self._bytes is not None and self._bytes <= self._came:
            point = self._bytes
        for block in self._splitter.feed(chunk) if self._splitter else ():
            self._cut += len(block)
            if point is not None and point < self._cut:
                break
            if role_of(self._form, block) == "end":
                self.ended = True
                return None
            self._seen += parse_event(block) is not None
            if point is None and self._events is not None and self._seen >= self._events:
                point = self._cut
        return None if point is None else max(0, point - before)


class Midway(Fault):
    """Strikes at a point of a body: of server-sent events after `after_events`; of any other body,
    and of events where that is not given, after `after_bytes`. A body that is not longer than that
    passes as it came."""

    after_events: Amount | None = Field(
        default=None, description="Of a stream of events: so many, with data, come first."
    )
    after_bytes: Amount | None = Field(
        default=None, description="Of any other body: so many bytes come first."
    )

    def midway(self, hit: Hit, answer: Answer, then: Callable[[], Awaitable[None]]) -> Answer:
        """The same answer; `then` is awaited at the point, when something follows it."""
        stream = has_events(answer)
        events = self.after_events if stream else None
        if events is None and self.after_bytes is None:
            return answer
        point = _Point(hit.call.form if stream else "", events, self.after_bytes)
        return rechunked(answer, partial(_pausing, point, then))


async def _pausing(point: _Point, then: Callable[[], Awaitable[None]], chunks: Chunks) -> Chunks:
    found = passed = False
    async for chunk in chunks:
        at = None
        if not passed and not point.ended:
            at = 0 if found else point.within(chunk)
        if at is None:
            yield chunk
            continue
        found = True
        if at:
            yield chunk[:at]
        if at < len(chunk):
            passed = True
            await then()
            yield chunk[at:]


class Breaking(Midway):
    """Breaks the connection: before any byte of the answer, or at a point of its body."""

    how: ClassVar[How]

    executed: bool = Field(
        default=False,
        description="Before any byte: whether the call is carried out first and its answer is "
        "lost, or it never gets there.",
    )

    @model_validator(mode="after")
    def _is_before(self) -> Self:
        if self.executed and not self._before:
            raise ValueError(
                "expected `executed` without `after_events` and `after_bytes`: where an answer has "
                "begun, the call was carried out"
            )
        return self

    @property
    def _before(self) -> bool:
        return self.after_events is None and self.after_bytes is None

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        if not self._before:
            answer = await onward()

            async def cut() -> None:
                stream = self.after_events is not None and has_events(answer)
                after = {"after_events": self.after_events} if stream else {}
                hit.struck(where="midway", **(after or {"after_bytes": self.after_bytes}))
                raise Cut(self.how)

            return self.midway(hit, answer, cut)
        if self.executed:
            answer = await onward()
            await read(answer)
            answer.close()
        hit.struck(where="before", executed=self.executed)
        raise Cut(self.how)


def resized(answer: Answer, change: Callable[[Chunks], Chunks]) -> Made:
    """The same answer, its chunks as `change` makes them, and its length not said."""
    made = rechunked(answer, change)
    made.length = -1
    return made
