"""OpenAI Responses: requests and whole responses. Streams: `responses_stream`.

Rules:
1. `instructions` is read as a first system message, and a first system message is written there.
2. The calls right after an assistant's message belong to it: input items are joined to messages
   as the other APIs have them. Reasoning and items of tools run by the provider are passed over.
3. A result is an item `*_call_output`; its `call_id` names the call.
4. `previous_response_id` is the request's `previous_id`; `conversation` is an id or an object that
   holds one.
5. A body with an `error` and no output is a turn that finished with that error.
6. A note to the model is a last user item; an input that is one text goes on with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from proofrig.wire._amend import cut_tools, note_in_content
from proofrig.wire.codec import UsageStripper, WireError
from proofrig.wire.counts import Odd
from proofrig.wire.parts import decode, error_text, fields_of, openai_error, result_of, text_of
from proofrig.wire.responses_stream import (
    Item,
    ResponsesStreamDecoder,
    WireResponse,
    WireUsage,
    encode_responses_stream,
    output_items,
    response_fields,
    status_of,
)
from proofrig.wire.turn import Api, Message, Request, Role, Tool, Turn, Usage

_ROLES: dict[str | None, Role] = {
    "system": "system",
    "developer": "system",
    "assistant": "assistant",
}
_encode = msgspec.json.Encoder().encode


class _Tool(msgspec.Struct):
    type: str = ""
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Request(msgspec.Struct):
    model: str = ""  # a stored prompt may name it instead
    input: str | list[Item] | None = None
    instructions: Any = None
    tools: list[_Tool] | None = None
    stream: bool | None = None
    max_output_tokens: int | None = None
    previous_response_id: str | None = None
    conversation: Any = None


class _UsageOnly(msgspec.Struct):
    usage: WireUsage | Odd = None


_REQUEST = msgspec.json.Decoder(_Request)
_RESPONSE = msgspec.json.Decoder(WireResponse)
_USAGE = msgspec.json.Decoder(_UsageOnly)


class Responses:
    """The codec of `POST /responses`."""

    api: Api = "responses"
    paths: tuple[str, ...] = ("/responses",)

    def decode_request(self, body: bytes) -> Request:
        """The request's values. Raises `WireError`."""
        wire = decode(_REQUEST, body, "a Responses request")
        messages = _read_input(wire.input)
        if wire.instructions is not None:
            messages.insert(0, Message("system", text_of(wire.instructions)))
        return Request(
            api="responses",
            model=wire.model,
            messages=tuple(messages),
            tools=tuple(
                Tool(tool.name or tool.type, tool.description or "", tool.parameters or {})
                for tool in wire.tools or ()
            ),
            stream=bool(wire.stream),
            max_tokens=wire.max_output_tokens,
            previous_id=wire.previous_response_id or "",
            conversation="" if wire.conversation is None else _id_of(wire.conversation),
        )

    def encode_request(self, request: Request) -> bytes:
        """A request that says these values."""
        messages = request.messages
        fields: dict[str, Any] = {"model": request.model}
        if messages and messages[0].role == "system":
            fields["instructions"] = messages[0].text
            messages = messages[1:]
        fields["input"] = [item for message in messages for item in _write_message(message)]
        if request.tools:
            fields["tools"] = [_write_tool(tool) for tool in request.tools]
        if request.max_tokens is not None:
            fields["max_output_tokens"] = request.max_tokens
        if request.stream:
            fields["stream"] = True
        if request.previous_id:
            fields["previous_response_id"] = request.previous_id
        if request.conversation:
            fields["conversation"] = request.conversation
        return _encode(fields)

    def decode_response(self, body: bytes) -> Turn:
        """The turn in a whole response. Raises `WireError`."""
        wire = decode(_RESPONSE, body, "a Responses response")
        if wire.output is not None:
            return wire.turn(wire.output)
        if not wire.error:
            raise WireError("expected a Responses response, got an object without output")
        return Turn(api="responses", finish="error", error=error_text(wire.error))

    def encode_response(self, turn: Turn) -> bytes:
        """The turn as a whole response; one that ended in an error has the status failed."""
        return _encode(response_fields(turn, status_of(turn), output_items(turn)))

    def stream_decoder(self) -> ResponsesStreamDecoder:
        """A decoder for one stream."""
        return ResponsesStreamDecoder()

    def encode_stream(self, turn: Turn, *, usage: bool = True) -> Iterator[tuple[bytes, int]]:
        """The turn as SSE events with their output tokens; this API always tells the usage."""
        return encode_responses_stream(turn)

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
        """The same request with a token limit, without tools and with a note; usage is always
        told here."""
        if max_tokens is None and not (without_tools or note):
            return body
        given = fields_of(body)
        fields = dict(given)
        if max_tokens is not None:
            fields["max_output_tokens"] = msgspec.Raw(_encode(max_tokens))
        if without_tools:
            cut_tools(fields, without_tools)
        if note:
            item = {"type": "message", "role": "user", "content": note}
            fields["input"] = note_in_content(fields.get("input"), note, item)
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


def _id_of(conversation: Any) -> str:
    """The id of a conversation, given as text or as an object; one that cannot be read has a name
    all the same, for the request goes on from something."""
    given = conversation.get("id") if isinstance(conversation, dict) else conversation
    return given if isinstance(given, str) else "unreadable"


def _read_input(given: str | list[Item] | None) -> list[Message]:
    if isinstance(given, str):
        return [Message("user", given)]
    messages: list[Message] = []
    for item in given or ():
        if item.is_call():
            last = messages[-1] if messages else None
            if last is None or last.role != "assistant":
                messages.append(Message("assistant", tool_calls=(item.call(),)))
            else:
                calls = (*last.tool_calls, item.call())
                messages[-1] = Message("assistant", last.text, calls)
        elif item.type.endswith("_call_output"):
            result = result_of(item.call_id, item.output)
            messages.append(Message("tool", tool_results=(result,)))
        elif item.role is not None:
            messages.append(Message(_ROLES.get(item.role, "user"), text_of(item.content)))
    return messages


def _write_message(message: Message) -> Iterator[dict[str, Any]]:
    for result in message.tool_results:
        yield {
            "type": "function_call_output",
            "call_id": result.call_id,
            "output": result.content,
        }
    if message.text or not (message.tool_calls or message.tool_results):
        role = "user" if message.role == "tool" else message.role
        yield {"type": "message", "role": role, "content": message.text}
    for call in message.tool_calls:
        yield {
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
        }


def _write_tool(tool: Tool) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.schema,
        "strict": False,
    }


CODEC = Responses()
