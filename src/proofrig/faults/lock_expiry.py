"""A lock is taken from its holder, as if its time-to-live had run out."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from proofrig.faults.fault import Fault, Hit, Onward
from proofrig.wire.answer import Answer
from proofrig.wire.outbound import Surface

ACQUIRE = "lock.acquire"


class LockExpiry(Fault):
    """The trial loses its lock as soon as it has acquired it; or, with `service`, when it makes any
    call that `on` names. Others may take it then, under a higher fencing token. A trial that holds
    none is not struck."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("service", "llm", "tool", "egress")
    summary: ClassVar[str] = "a lock is taken from its holder"

    kind: Literal["lock_expiry"] = "lock_expiry"
    service: str = Field(
        default="", description="The lock; default: the one that the call acquires."
    )
    key: str = Field(default="*", description="Of its keys, those that fit this glob.")

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        if self.service:
            self._expire(hit, self.service)
            return await onward()
        answer = await onward()
        if hit.call.name == ACQUIRE:
            self._expire(hit, hit.call.service)
        return answer

    def _expire(self, hit: Hit, service: str) -> None:
        expire = getattr(hit.around.services.get(service), "expire", None)
        lost = expire(hit.call.trial, self.key) if expire is not None else []
        if lost:
            hit.struck(service=service, keys=lost)
