"""OpenAI Chat Completions: requests and whole responses. Streams: `chat_completions_stream`.

Rules:
1. `developer` is read as the role system; a role that is not known is read as user.
2. A tool's result is a message of its own, with one result; its text is in the result.
3. Only the first choice is read; `usage` covers all of them.
4. A body with an `error` instead of choices is a turn that finished with that error.
5. A note to the model goes on in the last message that is not the assistant's, a tool's result
   too: no other place is allowed by every server that speaks this API.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from proofrig.wire._amend import cut_tools, note_in_messages
from proofrig.wire.chat_completions_stream import (
    FINISH,
    ChatStreamDecoder,
    ChatUsageStripper,
    WireUsage,
    encode_chat_stream,
    finish_reason,
    usage_fields,
)
from proofrig.wire.codec import WireError
from proofrig.wire.counts import Odd
from proofrig.wire.parts import (
    call_of,
    decode,
    error_text,
    fields_of,
    openai_error,
    result_of,
    splice,
    text_of,
    unix_seconds,
)
from proofrig.wire.turn import Api, Message, Request, Role, Tool, ToolCall, Turn, Usage

_LIMITS = ("max_completion_tokens", "max_tokens")
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_encode = msgspec.json.Encoder().encode


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: Any = None
    input: Any = None  # of a custom tool


class _Call(msgspec.Struct):
    id: str | None = None
    function: _Function | None = None
    custom: _Function | None = None


class _Message(msgspec.Struct):
    role: str = ""
    content: Any = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None

    def calls(self) -> tuple[ToolCall, ...]:
        if not self.tool_calls:
            return ()
        return tuple(map(_read_call, self.tool_calls))


class _ToolFunction(msgspec.Struct):
    name: str = ""
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Tool(msgspec.Struct):
    type: str | None = None
    function: _ToolFunction | None = None
    custom: _ToolFunction | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Request(msgspec.Struct):
    model: str
    messages: list[_Message]
    tools: list[_Tool] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    finish_reason: str | None = None


class _Response(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    created: Any = None
    choices: list[_Choice] | None = None
    usage: WireUsage | Odd = None
    error: Any = None


class _UsageOnly(msgspec.Struct):
    usage: WireUsage | Odd = None


_REQUEST = msgspec.json.Decoder(_Request)
_RESPONSE = msgspec.json.Decoder(_Response)
_USAGE = msgspec.json.Decoder(_UsageOnly)


class ChatCompletions:
    """The codec of `POST /chat/completions`."""

    api: Api = "chat_completions"
    paths: tuple[str, ...] = ("/chat/completions",)

    def decode_request(self, body: bytes) -> Request:
        """The request's values. Raises `WireError`."""
        wire = decode(_REQUEST, body, "a Chat Completions request")
        stream = bool(wire.stream)
        options = wire.stream_options
        limit = wire.max_completion_tokens
        return Request(
            api="chat_completions",
            model=wire.model,
            messages=tuple(map(_read_message, wire.messages)),
            tools=tuple(map(_read_tool, wire.tools or ())),
            stream=stream,
            max_tokens=wire.max_tokens if limit is None else limit,
            wants_usage=not stream or (options is not None and bool(options.include_usage)),
        )

    def encode_request(self, request: Request) -> bytes:
        """A request that says these values; several results of one message become messages."""
        fields: dict[str, Any] = {"model": request.model}
        fields["messages"] = [wire for m in request.messages for wire in _write_message(m)]
        if request.tools:
            fields["tools"] = [_write_tool(tool) for tool in request.tools]
        if request.max_tokens is not None:
            fields["max_completion_tokens"] = request.max_tokens
        if request.stream:
            fields["stream"] = True
            if request.wants_usage:
                fields["stream_options"] = {"include_usage": True}
        return _encode(fields)

    def decode_response(self, body: bytes) -> Turn:
        """The turn in a whole response. Raises `WireError`."""
        wire = decode(_RESPONSE, body, "a Chat Completions response")
        if wire.choices is None and not wire.error:
            raise WireError("expected a Chat Completions response, got an object without choices")
        choice = wire.choices[0] if wire.choices else _Choice()
        message = choice.message or _Message()
        return Turn(
            api="chat_completions",
            id=wire.id or "",
            model=wire.model or "",
            text=text_of(message.content),
            refusal=message.refusal or "",
            tool_calls=message.calls(),
            finish="error" if wire.error else FINISH.get(choice.finish_reason, "unknown"),
            usage=wire.usage.usage() if isinstance(wire.usage, WireUsage) else None,
            complete=bool(wire.error) or choice.finish_reason is not None,
            error=error_text(wire.error) if wire.error else "",
            created=unix_seconds(wire.created),
        )

    def encode_response(self, turn: Turn) -> bytes:
        """The turn as a whole response; a turn that ended in an error as an error body."""
        if turn.finish == "error":
            return self.encode_error(500, "", turn.error)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": turn.text or None,
            "refusal": turn.refusal or None,
        }
        if turn.tool_calls:
            message["tool_calls"] = [_write_call(call) for call in turn.tool_calls]
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": finish_reason(turn),
        }
        fields: dict[str, Any] = {
            "id": turn.id,
            "object": "chat.completion",
            "created": turn.created,
            "model": turn.model,
            "choices": [choice],
        }
        if turn.usage is not None:
            fields["usage"] = usage_fields(turn.usage)
        return _encode(fields)

    def stream_decoder(self) -> ChatStreamDecoder:
        """A decoder for one stream."""
        return ChatStreamDecoder()

    def encode_stream(self, turn: Turn, *, usage: bool = True) -> Iterator[tuple[bytes, int]]:
        """The turn as SSE events with their output tokens; the usage chunk only if asked for."""
        return encode_chat_stream(turn, usage=usage)

    def encode_error(self, status: int, kind: str, message: str) -> bytes:
        """An error body; `kind` is its code, its type follows from the status."""
        return openai_error(status, kind, message)

    def amend_request(
        self,
        body: bytes,
        *,
        max_tokens: int | None = None,
        ask_usage: bool = False,
        without_tools: Collection[str] = (),
        note: str = "",
    ) -> bytes:
        """The same request with a token limit, if it streams with usage asked for, without tools
        and with a note. The limit goes where the request has one, else into
        `max_completion_tokens`."""
        if max_tokens is None and not (ask_usage or without_tools or note):
            return body
        given = fields_of(body)
        fields = dict(given)
        if max_tokens is not None:
            limit = msgspec.Raw(_encode(max_tokens))
            for name in [name for name in _LIMITS if name in fields] or _LIMITS[:1]:
                fields[name] = limit
        if ask_usage and bytes(fields.get("stream", b"")) == b"true":
            options = bytes(fields.get("stream_options", b"null"))
            inside = b"{}" if options == b"null" else options
            fields["stream_options"] = msgspec.Raw(splice(inside, include_usage=True))
        if without_tools:
            cut_tools(fields, without_tools)
        if note:
            fields["messages"] = note_in_messages(fields.get("messages"), note)
        return body if fields == given else _encode(fields)

    def usage_stripper(self) -> ChatUsageStripper:
        """Hides the usage chunk of one stream."""
        return ChatUsageStripper()

    def usage_of(self, body: bytes) -> Usage | None:
        """The usage of a whole response, None where there is none."""
        try:
            wire = _USAGE.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return wire.usage.usage() if isinstance(wire.usage, WireUsage) else None


def _read_call(call: _Call) -> ToolCall:
    if call.custom is not None:
        return call_of(call.id, call.custom.name, call.custom.input)
    function = call.function or _Function()
    return call_of(call.id, function.name, function.arguments)


def _read_message(wire: _Message) -> Message:
    role = _ROLES.get(wire.role, "user")
    if role == "tool":
        return Message(role, tool_results=(result_of(wire.tool_call_id, wire.content),))
    return Message(role, text_of(wire.content), wire.calls())


def _read_tool(wire: _Tool) -> Tool:
    function = wire.function or wire.custom or _ToolFunction(wire.type or "")
    return Tool(function.name, function.description or "", function.parameters or {})


def _write_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _write_message(message: Message) -> Iterator[dict[str, Any]]:
    for result in message.tool_results:
        yield {"role": "tool", "tool_call_id": result.call_id, "content": result.content}
    if message.role == "tool" and not message.text:
        return
    role = "user" if message.role == "tool" else message.role
    fields: dict[str, Any] = {"role": role, "content": message.text}
    if message.tool_calls:
        fields["content"] = message.text or None
        fields["tool_calls"] = [_write_call(call) for call in message.tool_calls]
    yield fields


def _write_tool(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.schema}
    return {"type": "function", "function": function}


CODEC = ChatCompletions()
