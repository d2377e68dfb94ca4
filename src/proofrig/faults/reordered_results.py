"""Results of tools overtake each other."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Literal

from pydantic import Field

from proofrig.faults.fault import Fault, Hit, Onward, Seconds
from proofrig.wire.answer import Answer, read, rebodied
from proofrig.wire.outbound import Surface

_WAITING = "waiting"
_GOES_FIRST_S = 0.01  # what the result that overtakes is ahead


class ReorderedResults(Fault):
    """A result waits until the next one of its trial that is struck has passed; where none comes
    within `within_s`, it is late. The tools are called once and at once."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("tool",)
    summary: ClassVar[str] = "a tool's result is overtaken by a later one"

    kind: Literal["reordered_results"] = "reordered_results"
    within_s: Seconds = Field(default=2.0, description="Seconds that a result waits, at most.")

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        answer = await onward()
        result = rebodied(answer, await read(answer))
        waiting: asyncio.Future[str] | None = hit.memory.pop(_WAITING, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(hit.call.action)
            return result
        overtaken = hit.memory[_WAITING] = asyncio.get_running_loop().create_future()
        sleeping = asyncio.ensure_future(hit.sleep(self.within_s))
        try:
            await asyncio.wait((overtaken, sleeping), return_when=asyncio.FIRST_COMPLETED)
            by = overtaken.result() if overtaken.done() else ""
            if by:
                hit.struck(lasts_s=_GOES_FIRST_S, overtaken_by=by)
                await hit.sleep(_GOES_FIRST_S)
            else:
                hit.struck()
        finally:
            sleeping.cancel()
            if hit.memory.get(_WAITING) is overtaken:
                del hit.memory[_WAITING]
        return result
