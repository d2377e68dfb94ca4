"""Conversations that continue by id, kept whole.

An agent may send only what is new and name the reply it goes on from (`previous_response_id`,
`thread.previous_message_id`). The history needs every request whole, so each reply's id leads to
the messages up to it.

Rules:
1. Each reply keeps what was new and names the reply before, so memory grows with what was said
   and not with its square.
2. Memory is bounded by `max_bytes` over all trials; the oldest replies go first. A request whose
   conversation is no longer whole is said to be incomplete, never guessed.
3. A trial's conversations are freed when it ends.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from proofrig.wire.continuation import joined
from proofrig.wire.turn import Message, Request, Turn


class Reply(msgspec.Struct, frozen=True):
    """One reply. before: the id of the reply before it, or empty. messages: what was new in its
    request. tokens: bounds what going on from here adds to the next request's input. size: bytes.
    """

    before: str
    messages: tuple[Message, ...]
    turn: Message
    tokens: int
    size: int


class Conversations:
    """Reply id to conversation, per trial."""

    def __init__(self, *, max_bytes: int = 64 << 20) -> None:
        self._max = max_bytes
        self._held = 0
        self._replies: OrderedDict[tuple[str, str], Reply] = OrderedDict()
        self._by_trial: dict[str, set[str]] = {}

    def tokens(self, trial: str, reply_id: str) -> int:
        """What going on from this reply adds to the input, at most; 0 for one not kept."""
        reply = self._replies.get((trial, reply_id))
        return 0 if reply is None else reply.tokens

    def whole(self, trial: str, request: Request) -> Request | None:
        """The request with its whole conversation in place of the id it goes on from; None when
        a part of it is not, or no longer, kept."""
        parts = [request.messages]
        reply_id = request.previous_id
        while reply_id:
            reply = self._replies.get((trial, reply_id))
            if reply is None:
                return None
            parts.append((*reply.messages, reply.turn))
            reply_id = reply.before
        messages = joined(reversed(parts))
        return msgspec.structs.replace(request, messages=messages, previous_id="")

    def keep(self, trial: str, request: Request, turn: Turn, *, size: int) -> None:
        """A turn answered a request of `size` bytes; a later request may go on from it."""
        if not turn.id or (trial, turn.id) in self._replies:
            return
        if turn.usage is not None:
            tokens = turn.usage.input + turn.usage.output
        else:
            tokens = size + len(turn.text) + self.tokens(trial, request.previous_id)
        cost = size + len(turn.text) + sum(len(call.arguments) for call in turn.tool_calls)
        reply = Reply(request.previous_id, request.messages, turn.as_message(), tokens, cost)
        self._replies[(trial, turn.id)] = reply
        self._by_trial.setdefault(trial, set()).add(turn.id)
        self._held += cost
        while self._held > self._max and len(self._replies) > 1:
            (old_trial, old_id), old = self._replies.popitem(last=False)
            self._by_trial[old_trial].discard(old_id)
            self._held -= old.size

    def end(self, trial: str) -> None:
        """Free a trial's conversations."""
        for reply_id in self._by_trial.pop(trial, ()):
            self._held -= self._replies.pop((trial, reply_id)).size

    def __len__(self) -> int:
        return len(self._replies)
