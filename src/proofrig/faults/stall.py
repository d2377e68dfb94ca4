"""An answer that stops in the middle, and goes on much later."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from proofrig.faults._events import Amount, Midway
from proofrig.faults.fault import Hit, Onward, Seconds
from proofrig.wire.answer import Answer


class Stall(Midway):
    """Nothing comes for `for_s` after `after_events` (of a stream of events) or `after_bytes` (of
    any other body); then the rest. The connection stays open. A body that is not longer than that
    is not struck."""

    summary: ClassVar[str] = "an answer stops in the middle"

    kind: Literal["stall"] = "stall"
    after_events: Amount | None = Field(
        default=1, description="Of a stream of events: so many, with data, come first."
    )
    after_bytes: Amount | None = Field(
        default=0, description="Of any other body: so many bytes come first."
    )
    for_s: Seconds = Field(
        default=600.0, description="Seconds. The default is longer than most agents are given."
    )

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        async def stop() -> None:
            hit.struck(lasts_s=self.for_s)
            await hit.sleep(self.for_s)

        return self.midway(hit, await onward(), stop)
