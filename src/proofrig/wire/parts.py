"""Small steps that every codec takes: content to text, arguments to text, pacing, splicing.

Rules:
1. Content may be text, a list of parts or nothing; parts without text (images, files, audio, what
   comes next year) are passed over. A message's parts are pieces of one text and joined as they
   are. A tool result's are texts of their own, such as the elements of a list: one per line.
2. Splicing decodes only the outermost object; the values in it keep their bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from proofrig.wire.codec import WireError
from proofrig.wire.turn import ToolCall, ToolResult, Usage

T = TypeVar("T")
_PIECE = re.compile(r"\s*\S{1,6}|\s+")
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


def decode(decoder: msgspec.json.Decoder[T], body: bytes, what: str) -> T:
    """The body as a value. Raises `WireError` saying what was expected and where it went wrong."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        start = body[:60].decode("utf-8", "backslashreplace")
        raise WireError(f"expected {what} as JSON, got {start!r}: {error}") from error


def text_of(content: Any, between: str = "") -> str:
    """The text in a message's content or in a tool's result, its parts joined by `between`."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [part.get("text") if isinstance(part, dict) else part for part in content]
    return between.join([text for text in texts if isinstance(text, str)])


def json_text(value: Any) -> str:
    """Arguments as the text they are on the wire; what is not text is written as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else _encode(value).decode()


def json_object(text: str) -> msgspec.Raw:
    """Arguments for an API that carries an object. Text that is no JSON object, which models do
    write, travels as `{"INVALID_JSON": text}`, as Pydantic AI sends it."""
    try:
        _FIELDS.decode(text or "{}")
    except (msgspec.DecodeError, RecursionError):
        return msgspec.Raw(_encode({"INVALID_JSON": text}))
    return msgspec.Raw((text or "{}").encode())


def error_text(error: Any) -> str:
    """What an error object says: its message, or whatever it has."""
    if isinstance(error, dict):
        said = error.get("message") or error.get("code") or error.get("type")
        return said if isinstance(said, str) else json_text(error)
    return json_text(error)


def unix_seconds(value: Any) -> int:
    """A time as servers write it (whole, with fractions, not at all), in whole seconds; 0 for
    what is no time."""
    return int(value) if isinstance(value, int | float) and 0 <= value < 1 << 40 else 0


def pieces(text: str) -> list[str]:
    """Text cut about as a model's tokens are; joined, it is the text again."""
    return _PIECE.findall(text)


class Pace:
    """Deals a turn's output tokens to the pieces of its stream, so that they add up to what the
    usage says; without usage each piece is one token."""

    __slots__ = ("_count", "_given", "_total")

    def __init__(self, count: int, usage: Usage | None) -> None:
        self._count = max(count, 1)
        self._total = count if usage is None else usage.output
        self._given = 0

    def next(self) -> int:
        """The tokens that the next piece carries."""
        before = self._total * self._given // self._count
        self._given += 1
        return self._total * self._given // self._count - before


def pace_of(text: str, refusal: str, calls: Sequence[ToolCall], usage: Usage | None) -> Pace:
    """The pace of a stream that carries these, each cut by `pieces`."""
    texts = [text, refusal, *(call.arguments for call in calls)]
    return Pace(sum(len(pieces(one)) for one in texts), usage)


def splice(body: bytes, **changes: Any) -> bytes:
    """The object in `body` with these fields set; all other values keep their bytes and place."""
    fields = fields_of(body)
    for name, value in changes.items():
        fields[name] = msgspec.Raw(_encode(value))
    return _encode(fields)


def fields_of(body: bytes) -> dict[str, msgspec.Raw]:
    """The fields of the object in `body`, their values as bytes. Raises `WireError`."""
    return decode(_FIELDS, body, "a request object")


def call_of(identity: str | None, name: str | None, arguments: Any) -> ToolCall:
    """A tool call from fields that may be missing."""
    return ToolCall(identity or "", name or "", json_text(arguments))


def result_of(call_id: str | None, content: Any, is_error: bool | None = None) -> ToolResult:
    """A tool result from fields that may be missing."""
    return ToolResult(call_id or "", text_of(content, "\n"), is_error)


def openai_error(status: int, kind: str, message: str) -> bytes:
    """An error body as OpenAI's APIs write it; `kind` is its `code`."""
    if status == 429:
        family = "insufficient_quota" if kind == "insufficient_quota" else "requests"
    else:
        family = "server_error" if status >= 500 else "invalid_request_error"
    error = {"message": message, "type": family, "param": None, "code": kind or None}
    return _encode({"error": error})
