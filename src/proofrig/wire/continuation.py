"""A conversation that was continued by id, put together from its parts.

Rules:
1. A part is what one request sent and, but for the last, the reply to it.
2. Instructions sent with a continuation take the place of those before, as vendors have it: where
   several parts open with a system message, the last of them alone stays, at the front.
3. A continuation that sends none leaves those before: the values do not tell instructions, which
   vendors then drop, from a system message among the input, which they keep.
"""

from __future__ import annotations

from collections.abc import Iterable

from proofrig.wire.turn import Message


def joined(parts: Iterable[tuple[Message, ...]]) -> tuple[Message, ...]:
    """All messages of a conversation; `parts` oldest first."""
    opening: tuple[Message, ...] = ()
    said: list[Message] = []
    for part in parts:
        opens = bool(part) and part[0].role == "system"
        if opens:
            opening = part[:1]
        said += part[1:] if opens else part
    return (*opening, *said)
