"""A memory or a cache forgets everything, as after a restart."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from proofrig.faults.fault import Fault, Hit, Onward
from proofrig.wire.answer import Answer
from proofrig.wire.outbound import Surface


class CacheFlush(Fault):
    """Empties the service before the call is passed on, for everyone. One that holds nothing is not
    struck."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("service", "llm", "tool", "egress")
    summary: ClassVar[str] = "a memory or a cache forgets everything"

    kind: Literal["cache_flush"] = "cache_flush"
    service: str = Field(description="A `kv` or a `semantic_cache` of the suite.")

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        flush = getattr(hit.around.services.get(self.service), "flush", None)
        if flush is not None and (entries := flush()):
            hit.struck(service=self.service, entries=entries)
        return await onward()
