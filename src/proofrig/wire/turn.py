"""The small set of values that every model API is read into.

Rules:
1. A value holds what a trajectory needs; everything else stays in the bytes, which the gateway
   passes on untouched.
2. Tool arguments stay the JSON text the model wrote: models write broken JSON, and the history
   must show it. `ToolCall.parsed()` is for those who want the value.
3. `Usage.input` includes cached tokens, whatever the vendor counts (OpenTelemetry's rule).
4. `Turn.complete` is False when the body or stream ended before its terminal event.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Api = Literal["chat_completions", "responses", "messages"]
Role = Literal["system", "user", "assistant", "tool"]
Finish = Literal["stop", "tool_calls", "length", "content_filter", "error", "unknown"]


class ToolCall(msgspec.Struct, frozen=True):
    """A tool the model asked for. `arguments` is the JSON text as it was written."""

    id: str
    name: str
    arguments: str = "{}"

    def parsed(self) -> Any:
        """The arguments as a value, or None when the text is not JSON."""
        try:
            return msgspec.json.decode(self.arguments or "{}")
        except msgspec.DecodeError:
            return None


class ToolResult(msgspec.Struct, frozen=True):
    """What a tool gave back to the model. `is_error` is None where the API has no flag."""

    call_id: str
    content: str
    is_error: bool | None = None


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message of a conversation; it may hold text, tool calls and tool results at once."""

    role: Role
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()


class Tool(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tool offered to the model; `schema` is the JSON Schema of its arguments."""

    name: str
    description: str = ""
    schema: dict[str, Any] = {}


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one turn. `input` includes `cache_read` and `cache_write`; `output` includes
    `reasoning`."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an agent asked a model. `previous_id` is the id of the reply this one continues;
    then `messages` holds only what is new. `conversation` is the id of one that the provider keeps
    and the request goes on in. `max_tokens` is None when the agent set none."""

    api: Api
    model: str
    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()
    stream: bool = False
    max_tokens: int | None = None
    previous_id: str = ""
    wants_usage: bool = True  # False: a chat stream that did not ask for its usage
    conversation: str = ""


class Turn(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the model answered. `usage` is None when the provider did not say. `created` is the
    provider's time of the answer in Unix seconds, 0 where it does not say."""

    api: Api
    id: str = ""
    model: str = ""
    text: str = ""
    refusal: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: Finish = "unknown"
    usage: Usage | None = None
    complete: bool = True
    error: str = ""
    created: int = 0

    def as_message(self) -> Message:
        """The turn as the assistant message it becomes in the next request."""
        return Message(role="assistant", text=self.text, tool_calls=self.tool_calls)
