"""The answer begins late."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from proofrig.faults.fault import Fault, Hit, Onward, Seconds
from proofrig.wire.answer import Answer
from proofrig.wire.outbound import Surface


class Latency(Fault):
    """Waits `ms`, give or take `jitter_ms` (uniform), before the call is passed on."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("llm", "tool", "egress", "service")
    summary: ClassVar[str] = "the call is passed on late"

    kind: Literal["latency"] = "latency"
    ms: Seconds = Field(default=1_000.0, description="Milliseconds.")
    jitter_ms: Seconds = Field(default=0.0, description="More or less than `ms`, at most.")

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        wait_s = max(0.0, self.ms + hit.rng.uniform(-1, 1) * self.jitter_ms) / 1000
        hit.struck(lasts_s=wait_s)
        await hit.sleep(wait_s)
        return await onward()
