"""Connections of the provider's pool are held by nobody, as a leak holds them."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from proofrig.faults.fault import Count, Fault, Hit, Onward, Seconds
from proofrig.wire.answer import Answer
from proofrig.wire.outbound import Surface


class PoolHold(Fault):
    """Takes up to so many `connections` that are free for `for_s`; everyone else shares the rest.
    The call itself is passed on. A provider without a cap of connections cannot be struck, nor can
    one of which none is free."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("llm",)
    summary: ClassVar[str] = "connections of the provider's pool are held"

    kind: Literal["pool_hold"] = "pool_hold"
    connections: Count = Field(default=1, description="How many.")
    for_s: Seconds = Field(default=10.0, description="Seconds.")

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        held = 0
        while held < self.connections:
            give_back = hit.around.hold(hit.call, 1)
            if give_back is None:  # no cap, or none is free
                break
            held += 1
            hit.undo(self.for_s, give_back)
        if held:
            hit.struck(lasts_s=self.for_s, connections=held)
        return await onward()
