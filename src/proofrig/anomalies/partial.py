"""Text that came incomplete, and answers that pass it off as whole.

Rules:
1. An answer passes a text off when it consists of it or ends in it, and says nothing of it.
2. What was asked again and came whole is excused: a later whole text that holds the same words.
3. White space does not count. Of a text below `LEAST` characters only the whole answer counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

# The faults that leave a text incomplete. Not those that only delay it: where an agent did not wait
# for the end of it, the gateway says that it is not complete.
CUTTING = frozenset({"partial_response", "drop_terminal", "truncated_body", "close_early", "reset"})
LEAST = 24  # characters
TAIL = 120  # characters of its end that are looked for
_OWNS_UP = re.compile(
    r"\b(incomplete|not complete|partial(ly)?|truncated|unfinished|interrupted|broke off|"
    r"cut (off|short)|stopped (early|short)|missing|may not be (whole|complete)|"
    r"could(n't| not) (finish|complete|be (finished|completed))|(connection|stream) (was )?"
    r"(lost|closed|reset|dropped)|fail(ed|ure)?|error|unable|try again)\b",
    re.IGNORECASE,
)


def passed_off(answer: str, partial: str) -> bool:
    """True when the answer passes `partial`, a text that came incomplete, off as whole."""
    whole, part = squeezed(answer), squeezed(partial)
    if not part:
        return False
    tail = part[-TAIL:]
    if whole != part and (len(part) < LEAST or not whole.endswith(tail)):
        return False
    return not _OWNS_UP.search(whole.removesuffix(part).removesuffix(tail))


def excused(partial: str, later: Iterable[str]) -> bool:
    """True when a later text, which came whole, holds what came incomplete."""
    tail = squeezed(partial)[-TAIL:]
    return any(tail in squeezed(text) for text in later)


def squeezed(text: str) -> str:
    """The text with single spaces."""
    return " ".join(text.split())


def text_of_turn(data: bytes | None) -> str:
    """The text of a turn as the history keeps it; "" when it was not kept."""
    try:
        return _turn.decode(data or b"").text
    except (msgspec.DecodeError, RecursionError):
        return ""


def text_of_result(data: bytes | None) -> str:
    """The text of a tool's result: of MCP content its parts, of JSON text the text, else as it
    is."""
    if data is None:
        return ""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return data.decode("utf-8", "replace")
    if isinstance(value, dict) and isinstance(value.get("content"), list):
        return "\n".join(_text(part) for part in value["content"])
    return value if isinstance(value, str) else data.decode("utf-8", "replace")


def _text(part: Any) -> str:
    return str(part.get("text", "")) if isinstance(part, dict) else ""


class _Turn(msgspec.Struct):
    text: str = ""


_turn = msgspec.json.Decoder(_Turn)
