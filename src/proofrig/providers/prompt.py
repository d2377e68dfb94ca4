"""What a simulated model is asked and what it answers, and where its seeds and token counts
come from.

Rules:
1. A call's seed comes from the run's seed, the trial's seed, the model's name and how many turns
   the model has already taken in this conversation: never from the order of arrival. Without a
   trial's seed, the conversation itself stands in for it.
2. Ids of calls are no part of a conversation's digest: vendors and frameworks rewrite them.
3. Tokens are counted from text, four characters each: near what vendors count for English, and
   the same every time.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from hashlib import blake2b
from random import Random
from typing import Any, Protocol

import msgspec

from proofrig.errors import UsageError
from proofrig.wire.turn import Finish, Message, Tool, ToolCall, Turn, Usage

_encode = msgspec.json.Encoder(order="sorted").encode
_REPLY_KEYS = {"text", "tool_calls", "refusal", "finish"}


class Prompt:
    """One call of a model: the whole conversation, also where the agent sent only what is new.

    `turn` counts the model's turns before this one. `seed` is this call's own, and `rng` is
    seeded with it. `mistakes` multiplies the rates of a script's mistakes for this model."""

    def __init__(
        self,
        messages: tuple[Message, ...],
        tools: tuple[Tool, ...] = (),
        *,
        model: str = "",
        seed: int = 0,
        mistakes: float = 1.0,
    ) -> None:
        self.messages = messages
        self.tools = tools
        self.model = model
        self.seed = seed
        self.mistakes = mistakes
        self.turn = turns_in(messages)

    @cached_property
    def rng(self) -> Random:
        """Random numbers that are this call's own."""
        return Random(self.seed)

    def chance(self, *names: object) -> float:
        """A number in [0, 1) from the seed and these names; the same names, the same number."""
        return hash64(self.seed, *names) / 2**64

    @cached_property
    def user(self) -> str:
        """The text of the last message a user wrote."""
        return next(reversed(self.written), "")

    @cached_property
    def written(self) -> list[str]:
        """The texts that users wrote, also beside tool results."""
        return [m.text for m in self.messages if m.role in ("user", "tool") and m.text]

    @cached_property
    def system(self) -> str:
        """All system text."""
        return "\n".join(m.text for m in self.messages if m.role == "system")

    def tool_name(self, name: str) -> str:
        """`name` as the agent offers it: frameworks put a server's name before a tool's."""
        offered = [tool.name for tool in self.tools]
        if name in offered:
            return name
        return next((one for one in offered if same_tool(one, name)), name)

    @cached_property
    def answered(self) -> list[tuple[str, ToolCall, str]]:
        """Every tool result so far as (tool, call, result text), in the order they came back."""
        calls = {call.id: call for m in self.messages for call in m.tool_calls}
        results = [result for m in self.messages for result in m.tool_results]
        found = [(calls.get(result.call_id), result.content) for result in results]
        return [(call.name, call, content) for call, content in found if call is not None]

    @cached_property
    def just_answered(self) -> set[str]:
        """The tools whose results came after the model's last turn."""
        ids: set[str] = set()
        for message in reversed(self.messages):
            if message.role == "assistant":
                return {call.name for call in message.tool_calls if call.id in ids}
            ids.update(result.call_id for result in message.tool_results)
        return set()


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a simulated model answers; ids and token counts are filled in where they are missing."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    refusal: str = ""
    finish: Finish = "unknown"
    usage: Usage | None = None


class Model(Protocol):
    """A simulated model."""

    async def answer(self, prompt: Prompt) -> Reply:
        """Its turn. Whatever it raises becomes a 500 in the vendor's shape."""


def reply_of(value: Any) -> Reply:
    """A reply from what a model function may return: `Reply`, `Turn`, text, or a dict with `text`,
    `tool_calls` (each `name`, `arguments`, perhaps `id`), `refusal`, `finish`.
    Raises `UsageError`."""
    if isinstance(value, str):
        return Reply(value)
    if isinstance(value, Turn):
        value = Reply(value.text, value.tool_calls, value.refusal, value.finish, value.usage)
    try:
        if isinstance(value, Reply):
            return msgspec.convert(msgspec.to_builtins(value), Reply)
        if not isinstance(value, dict) or not value.keys() <= _REPLY_KEYS:
            got = sorted(map(str, value)) if isinstance(value, dict) else type(value).__name__
            raise UsageError(
                "expected a model to return text, a Turn, or a dict with some of "
                f"{sorted(_REPLY_KEYS)}, got {got}"
            )
        calls = [_call_of(call) for call in value.get("tool_calls") or ()]
        fields = {key: value[key] for key in ("text", "refusal", "finish") if value.get(key)}
        return msgspec.convert({**fields, "calls": msgspec.to_builtins(calls)}, Reply)
    except (msgspec.ValidationError, TypeError) as error:
        raise UsageError(f"expected a model's turn, got {value!r}: {error}") from None


def _call_of(call: Any) -> ToolCall:
    if isinstance(call, ToolCall):
        return call
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise UsageError(
            f"expected a tool call as a dict with `name` and `arguments`, got {call!r}"
        )
    arguments = call.get("arguments", {})
    text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
    return ToolCall(str(call.get("id", "")), call["name"], text)


def same_tool(offered: str, name: str) -> bool:
    """True when an offered tool means this name, whatever prefix a framework gave it."""
    return offered == name or offered.endswith((f"_{name}", f"-{name}", f".{name}", f"/{name}"))


def turns_in(messages: tuple[Message, ...]) -> int:
    """How many turns the model has taken: runs of assistant messages, as some APIs split one."""
    roles = [message.role for message in messages]
    return sum(
        role == "assistant" and (place == 0 or roles[place - 1] != "assistant")
        for place, role in enumerate(roles)
    )


def hash64(*parts: object) -> int:
    """64 bits from these parts, the same on every machine."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


def conversation_digest(messages: Iterable[Message]) -> str:
    """The conversation without ids, as 16 hex digits."""
    plain = [
        (
            message.role,
            message.text,
            [(call.name, call.arguments) for call in message.tool_calls],
            [result.content for result in message.tool_results],
        )
        for message in messages
    ]
    return blake2b(_encode(plain), digest_size=8).hexdigest()


def count_tokens(text: str) -> int:
    """Tokens of a text."""
    return (len(text) + 3) // 4


def input_tokens(messages: Iterable[Message], tools: Iterable[Tool] = ()) -> int:
    """Tokens of a conversation and the tools offered with it."""
    total = 3
    for message in messages:
        total += 4 + count_tokens(message.text)
        total += sum(4 + count_tokens(result.content) for result in message.tool_results)
        total += sum(_call_tokens(call) for call in message.tool_calls)
    return total + sum(8 + (len(_encode(tool)) + 3) // 4 for tool in tools)


def output_tokens(reply: Reply) -> int:
    """Tokens of a model's turn."""
    told = count_tokens(reply.text) + count_tokens(reply.refusal)
    return told + sum(_call_tokens(call) for call in reply.calls)


def _call_tokens(call: ToolCall) -> int:
    return 4 + count_tokens(call.name) + count_tokens(call.arguments)
