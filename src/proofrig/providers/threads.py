"""Conversations that a vendor holds: `previous_response_id` and Anthropic's threads.

Rules:
1. A conversation belongs to its tenant; another tenant's id is unknown, as is one that was
   forgotten. The oldest are forgotten first.
2. Each reply keeps only what was new and points to the reply it continues, so that memory grows
   with what was said and not with how often it was read.
3. A continuation's own system text takes the place of those before it; tools that are not sent
   again stay as they were.
"""

from __future__ import annotations

import msgspec

from proofrig.wire.continuation import joined
from proofrig.wire.turn import Message, Request, Tool

MOST_HELD = 50_000  # replies


class Held(msgspec.Struct, frozen=True):
    """A reply with what was asked just before it."""

    said: tuple[Message, ...]
    tools: tuple[Tool, ...]
    before: Held | None


class Threads:
    """What was said before each reply that may be continued."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], Held] = {}

    def find(self, tenant: str, reply_id: str) -> Held | None:
        """The reply with this id, None when this tenant has none."""
        return self._held.get((tenant, reply_id))

    def keep(
        self, tenant: str, reply_id: str, request: Request, reply: Message, before: Held | None
    ) -> None:
        """Hold a reply, so that it can be continued."""
        tools = request.tools or (before.tools if before else ())
        self._held[(tenant, reply_id)] = Held((*request.messages, reply), tools, before)
        if len(self._held) > MOST_HELD:
            del self._held[next(iter(self._held))]


def whole(request: Request, before: Held | None) -> tuple[tuple[Message, ...], tuple[Tool, ...]]:
    """All messages of a conversation up to this request, and the tools it may use."""
    if before is None:
        return request.messages, request.tools
    parts = [request.messages]
    held: Held | None = before
    while held is not None:
        parts.append(held.said)
        held = held.before
    return joined(reversed(parts)), request.tools or before.tools
