"""What payloads say, for people: prompts, answers and tool results as short texts.

Rules:
1. Payloads are read as plain JSON, whatever API they came from; what cannot be read is shown as it
   is, cut and cleaned.
2. Of a request only what is new to the model is shown: the messages after its last answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from proofrig.reports.words import cut

_DEPTH = 6
_TEXT_KEYS = ("text", "content", "output", "result", "structuredContent")


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was said: by whom, and an excerpt of it."""

    who: str
    text: str


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tool call that a model asked for; `arguments` is an excerpt of the JSON it wrote."""

    name: str
    arguments: str = ""


def turn(data: bytes | None, limit: int) -> tuple[str, list[Asked], str]:
    """A model's answer: its text, the tools it asked for, and the provider's error."""
    value = _json(data)
    if not isinstance(value, dict):
        return _raw(data, limit), [], ""
    calls = [
        Asked(cut(str(call.get("name", "")), 80), cut(str(call.get("arguments", "")), limit))
        for call in _dicts(value.get("tool_calls"))
    ]
    text = str(value.get("text") or value.get("refusal") or "")
    return cut(text, limit), calls, cut(str(value.get("error") or ""), limit)


def asked(data: bytes | None, limit: int) -> list[Said]:
    """What is new in a request: the messages after the model's last answer."""
    value = _json(data)
    if not isinstance(value, dict):
        return [Said("request", _raw(data, limit))] if data else []
    messages = value.get("messages", value.get("input", []))
    if isinstance(messages, str):
        return [Said("user", cut(messages, limit))]
    fresh: list[Said] = []
    first = True  # nothing was answered before: the instructions are new as well
    for message in reversed(list(_dicts(messages))):
        if _who(message) in ("assistant", "function_call", "reasoning"):
            first = False
            break
        fresh.append(Said(cut(_who(message), 20), cut(text_of(message), limit)))
    system = text_of(value.get("system") or value.get("instructions")) if first else ""
    return [Said("system", cut(system, limit))] * bool(system) + fresh[::-1]


def _who(message: dict[str, Any]) -> str:
    """Who speaks. Anthropic's tool results come as a user's message."""
    blocks = list(_dicts(message.get("content"))) if "content" in message else []
    if blocks and all(block.get("type") == "tool_result" for block in blocks):
        return "tool"
    who = str(message.get("role") or message.get("type") or "?")
    return "tool" if who == "function_call_output" else who


def result(data: bytes | None, limit: int) -> str:
    """A tool's result; of the content blocks of an MCP result, the text."""
    value = _json(data)
    if isinstance(value, dict) and isinstance(value.get("content"), list):
        return cut(text_of(value), limit)
    return _raw(data, limit)


def text_of(value: Any, depth: int = _DEPTH) -> str:
    """The text inside a JSON value, from the keys under which APIs keep it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and depth:
        return "\n".join(filter(None, (text_of(item, depth - 1) for item in value)))
    if isinstance(value, dict) and depth:
        for key in _TEXT_KEYS:
            if value.get(key):
                return text_of(value[key], depth - 1)
        if value.get("type"):
            return f"[{value['type']}]"
    return "" if value in (None, [], {}) else msgspec.json.encode(value).decode()


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, Iterable) and not isinstance(value, (str, dict)):
        yield from (item for item in value if isinstance(item, dict))


def _json(data: bytes | None) -> Any:
    try:
        return msgspec.json.decode(data) if data else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _raw(data: bytes | None, limit: int) -> str:
    return cut(data.decode("utf-8", "replace"), limit) if data else ""
