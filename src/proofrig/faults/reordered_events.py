"""Events that come in another order."""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from proofrig.faults._events import Chunks, Which, events, has_events, role_of, wanted
from proofrig.faults.fault import Fault, Hit, Onward
from proofrig.wire.answer import Answer, rechunked


class ReorderedEvents(Fault):
    """Shuffles server-sent events, `window` at a time; a window comes when its last event is here.
    Events that stay where they are end a window. A window of equal events is not struck, nor is
    what is no stream of events."""

    summary: ClassVar[str] = "events of a stream come in another order"

    kind: Literal["reordered_events"] = "reordered_events"
    window: Annotated[int, Field(strict=True, ge=2, le=10_000)] = Field(
        default=4, description="Events that are shuffled among themselves."
    )
    which: Which = Field(
        default="output",
        description="`output`: pieces of text and of arguments; `all`: also what frames them.",
    )
    terminal: bool = Field(default=False, description="Also the last event of the turn.")

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        answer = await onward()
        if not has_events(answer):
            return answer
        return rechunked(answer, partial(self._shuffled, hit))

    async def _shuffled(self, hit: Hit, chunks: Chunks) -> Chunks:
        window: list[bytes] = []
        async for block in events(chunks):
            if self._moves(hit.call.form, block):
                window.append(block)
                if len(window) < self.window:
                    continue
                block = b""
            if window:
                yield b"".join(self._order(hit, window))
                window = []
            if block:
                yield block
        if window:
            yield b"".join(self._order(hit, window))

    def _moves(self, form: str, block: bytes) -> bool:
        if role_of(form, block) == "end":
            return self.terminal
        return wanted(self.which, form, block)

    def _order(self, hit: Hit, window: list[bytes]) -> list[bytes]:
        order = list(window)
        hit.rng.shuffle(order)
        if order == window:  # chance may leave all in place
            order.append(order.pop(0))
        if order != window:
            hit.struck(window=len(window))
        return order
