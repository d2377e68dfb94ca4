"""A tool's result comes late: after its caller has gone on, if it is not patient."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from proofrig.faults.fault import Fault, Hit, Onward, Seconds
from proofrig.wire.answer import Answer, read, rebodied
from proofrig.wire.outbound import Surface


class LateResult(Fault):
    """The tool is called once and at once; its result is held back for `by_s`."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("tool",)
    summary: ClassVar[str] = "a tool's result comes late"

    kind: Literal["late_result"] = "late_result"
    by_s: Seconds = Field(default=2.0, description="Seconds.")

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        answer = await onward()
        result = rebodied(answer, await read(answer))
        hit.struck(lasts_s=self.by_s)
        await hit.sleep(self.by_s)
        return result
