"""Anthropic Messages: requests and whole responses. Streams: `messages_stream`.

Rules:
1. `system` is read as a first message of that role, and a first system message is written there.
2. A user message that holds tool results is read with the role tool, as the other APIs have it.
3. Arguments keep the bytes of the `input` object. Written, text that is no object becomes
   `{"INVALID_JSON": text}`: this API can carry nothing else outside a stream.
4. `thread.previous_message_id` is the request's `previous_id`.
5. A body with an `error` instead of content is a turn that finished with that error.
6. A note to the model is a last text block of the last message that is not the assistant's, after
   its tool results; a content that is one text goes on with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from proofrig.wire._amend import cut_tools, note_in_messages
from proofrig.wire.codec import UsageStripper, WireError
from proofrig.wire.counts import Odd
from proofrig.wire.messages_stream import (
    FINISH,
    Block,
    MessagesStreamDecoder,
    StopDetails,
    WireUsage,
    encode_messages_stream,
    stop_fields,
    tool_call,
    usage_fields,
)
from proofrig.wire.parts import decode, error_text, fields_of, json_object, result_of, text_of
from proofrig.wire.turn import Api, Message, Request, Role, Tool, Turn, Usage

_DEFAULT_MAX_TOKENS = 4096  # the API demands a limit
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_encode = msgspec.json.Encoder().encode


class _Part(Block):
    """A block of a request."""

    tool_use_id: str | None = None
    content: Any = None
    is_error: bool | None = None


class _Message(msgspec.Struct):
    role: str = ""
    content: str | list[_Part] | None = None


class _Tool(msgspec.Struct):
    name: str = ""
    description: str | None = None
    input_schema: dict[str, Any] | None = None


class _Thread(msgspec.Struct):
    previous_message_id: str | None = None


class _Request(msgspec.Struct):
    model: str
    messages: list[_Message]
    system: Any = None
    tools: list[_Tool] | None = None
    stream: bool | None = None
    max_tokens: int | None = None
    thread: _Thread | None = None


class _Response(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    content: list[Block] | None = None
    stop_reason: str | None = None
    stop_details: StopDetails | None = None
    usage: WireUsage | Odd = None
    error: Any = None


class _UsageOnly(msgspec.Struct):
    usage: WireUsage | Odd = None


_REQUEST = msgspec.json.Decoder(_Request)
_RESPONSE = msgspec.json.Decoder(_Response)
_USAGE = msgspec.json.Decoder(_UsageOnly)


class Messages:
    """The codec of `POST /v1/messages`."""

    api: Api = "messages"
    paths: tuple[str, ...] = ("/v1/messages",)

    def decode_request(self, body: bytes) -> Request:
        """The request's values. Raises `WireError`."""
        wire = decode(_REQUEST, body, "a Messages request")
        messages = [_read_message(message) for message in wire.messages]
        if wire.system is not None:
            messages.insert(0, Message("system", text_of(wire.system)))
        return Request(
            api="messages",
            model=wire.model,
            messages=tuple(messages),
            tools=tuple(
                Tool(tool.name, tool.description or "", tool.input_schema or {})
                for tool in wire.tools or ()
            ),
            stream=bool(wire.stream),
            max_tokens=wire.max_tokens,
            previous_id=(wire.thread.previous_message_id or "") if wire.thread else "",
        )

    def encode_request(self, request: Request) -> bytes:
        """A request that says these values. Without a `max_tokens` one is set: the API demands
        it."""
        messages = request.messages
        limit = request.max_tokens
        fields: dict[str, Any] = {
            "model": request.model,
            "max_tokens": _DEFAULT_MAX_TOKENS if limit is None else limit,
        }
        if messages and messages[0].role == "system":
            fields["system"] = messages[0].text
            messages = messages[1:]
        fields["messages"] = [_write_message(message) for message in messages]
        if request.tools:
            fields["tools"] = [_write_tool(tool) for tool in request.tools]
        if request.stream:
            fields["stream"] = True
        if request.previous_id:
            fields["thread"] = {"type": "continue", "previous_message_id": request.previous_id}
        return _encode(fields)

    def decode_response(self, body: bytes) -> Turn:
        """The turn in a whole response. Raises `WireError`."""
        wire = decode(_RESPONSE, body, "a Messages response")
        if wire.content is None and not wire.error:
            raise WireError("expected a Messages response, got an object without content")
        blocks = wire.content or ()
        return Turn(
            api="messages",
            id=wire.id or "",
            model=wire.model or "",
            text="".join([block.text for block in blocks if block.text]),
            refusal=(wire.stop_details.explanation or "") if wire.stop_details else "",
            tool_calls=tuple([tool_call(block) for block in blocks if block.type == "tool_use"]),
            finish="error" if wire.error else FINISH.get(wire.stop_reason, "unknown"),
            usage=wire.usage.usage() if isinstance(wire.usage, WireUsage) else None,
            complete=bool(wire.error) or wire.stop_reason is not None,
            error=error_text(wire.error) if wire.error else "",
        )

    def encode_response(self, turn: Turn) -> bytes:
        """The turn as a whole response; a turn that ended in an error as an error body."""
        if turn.finish == "error":
            return self.encode_error(500, "", turn.error)
        fields: dict[str, Any] = {
            "id": turn.id,
            "type": "message",
            "role": "assistant",
            "model": turn.model,
            "content": _write_blocks(Message("assistant", turn.text, turn.tool_calls)),
        }
        fields |= stop_fields(turn)
        fields["usage"] = usage_fields(turn.usage or Usage())
        return _encode(fields)

    def stream_decoder(self) -> MessagesStreamDecoder:
        """A decoder for one stream."""
        return MessagesStreamDecoder()

    def encode_stream(self, turn: Turn, *, usage: bool = True) -> Iterator[tuple[bytes, int]]:
        """The turn as SSE events with their output tokens; this API always tells the usage."""
        return encode_messages_stream(turn)

    def encode_error(self, status: int, kind: str, message: str) -> bytes:
        """An error body; its type follows from the status, `kind` is `details.error_code`."""
        fallback = "api_error" if status >= 500 else "invalid_request_error"
        error: dict[str, Any] = {"type": _ERROR_TYPES.get(status, fallback), "message": message}
        if kind and kind != error["type"]:
            error["details"] = {"error_code": kind}
        return _encode({"type": "error", "error": error})

    def amend_request(
        self,
        body: bytes,
        *,
        max_tokens: int | None = None,
        ask_usage: bool = False,
        without_tools: Collection[str] = (),
        note: str = "",
    ) -> bytes:
        """The same request with a token limit, without tools and with a note; usage is always
        told here."""
        if max_tokens is None and not (without_tools or note):
            return body
        given = fields_of(body)
        fields = dict(given)
        if max_tokens is not None:
            fields["max_tokens"] = msgspec.Raw(_encode(max_tokens))
        if without_tools:
            cut_tools(fields, without_tools)
        if note:
            fields["messages"] = note_in_messages(fields.get("messages"), note)
        return body if fields == given else _encode(fields)

    def usage_stripper(self) -> UsageStripper | None:
        """None: every client of this API expects the usage."""
        return None

    def usage_of(self, body: bytes) -> Usage | None:
        """The usage of a whole response, None where there is none."""
        try:
            wire = _USAGE.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return wire.usage.usage() if isinstance(wire.usage, WireUsage) else None


def _read_message(wire: _Message) -> Message:
    role: Role = "user"
    if wire.role in ("assistant", "system"):
        role = "assistant" if wire.role == "assistant" else "system"
    if isinstance(wire.content, str) or wire.content is None:
        return Message(role, wire.content or "")
    parts = wire.content
    results = [
        result_of(part.tool_use_id, part.content, part.is_error)
        for part in parts
        if part.type == "tool_result"
    ]
    return Message(
        "tool" if results else role,
        "".join([part.text for part in parts if part.text]),
        tuple([tool_call(part) for part in parts if part.type == "tool_use"]),
        tuple(results),
    )


def _write_blocks(message: Message) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for result in message.tool_results:
        block: dict[str, Any] = {
            "type": "tool_result",
            "tool_use_id": result.call_id,
            "content": result.content,
        }
        if result.is_error is not None:
            block["is_error"] = result.is_error
        blocks.append(block)
    if message.text:
        blocks.append({"type": "text", "text": message.text})
    for call in message.tool_calls:
        arguments = json_object(call.arguments)
        blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "input": arguments})
    return blocks


def _write_message(message: Message) -> dict[str, Any]:
    role = "user" if message.role == "tool" else message.role
    if message.tool_calls or message.tool_results:
        return {"role": role, "content": _write_blocks(message)}
    return {"role": role, "content": message.text}


def _write_tool(tool: Tool) -> dict[str, Any]:
    schema = tool.schema or {"type": "object"}
    return {"name": tool.name, "description": tool.description, "input_schema": schema}


CODEC = Messages()
