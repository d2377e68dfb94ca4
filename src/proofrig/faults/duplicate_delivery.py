"""Delivered twice: a request, as under at-least-once delivery, or a result."""

from __future__ import annotations

from contextlib import suppress
from typing import ClassVar, Literal

from pydantic import Field

from proofrig.errors import ProviderError
from proofrig.faults.fault import Fault, Hit, Onward
from proofrig.wire.answer import Answer, Cut, read, rebodied
from proofrig.wire.outbound import Surface


class DuplicateDelivery(Fault):
    """A `request` is carried out twice, and its agent gets the first answer. A `result` comes a
    second time, right after the first: only messages can, so only those of MCP over stdio do."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("tool", "egress")
    summary: ClassVar[str] = "a request, or a result, is delivered twice"

    kind: Literal["duplicate_delivery"] = "duplicate_delivery"
    what: Literal["request", "result"] = Field(
        default="request", description="What comes twice: to the tool or host, or to the agent."
    )

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        if self.what == "result":
            return await self._result(hit, onward)
        answer = await onward()
        first = rebodied(answer, await read(answer))
        hit.struck(what=self.what)
        with suppress(Cut, ProviderError):  # how that ends is nobody's business
            again = await onward()
            try:
                await read(again)  # to its end: what hears only half of it may do only half
            finally:
                again.close()
        return first

    async def _result(self, hit: Hit, onward: Onward) -> Answer:
        answer = await onward()
        # A line of stdio has no method; what came over HTTP has.
        if hit.call.form != "mcp" or hit.call.method:
            return answer
        line = (await read(answer)).strip()
        hit.struck(what=self.what)
        return rebodied(answer, line + b"\n" + line)
