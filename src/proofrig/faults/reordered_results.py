"""Results of tools overtake each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import ClassVar, Literal

from pydantic import Field

from proofrig.faults.fault import Fault, Hit, Onward, Seconds
from proofrig.wire.answer import Answer, read, rebodied, rechunked
from proofrig.wire.outbound import Surface

_WAITING = "waiting"
_GOES_FIRST_S = 0.01  # what the result that overtakes is ahead


class ReorderedResults(Fault):
    """A result waits until the next one of its trial that fits has passed; where none comes within
    `within_s`, it is late. The tools are called once and at once."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("tool",)
    summary: ClassVar[str] = "a tool's result is overtaken by a later one"
    watches: ClassVar[bool] = True

    kind: Literal["reordered_results"] = "reordered_results"
    within_s: Seconds = Field(default=2.0, description="Seconds that a result waits, at most.")

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        answer = await onward()
        if hit.idle:
            return rechunked(answer, lambda chunks: _followed(hit, chunks))
        result = rebodied(answer, await read(answer))
        if _overtakes(hit):
            hit.spare()
            return result
        by = await self._next(hit)
        if by:
            hit.struck(lasts_s=_GOES_FIRST_S, overtaken_by=by)
            await hit.sleep(_GOES_FIRST_S)
        else:
            hit.struck()
        return result

    async def _next(self, hit: Hit) -> str:
        """Wait for the result that overtakes: its action, "" when none came in time."""
        overtaken: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        hit.memory[_WAITING] = overtaken
        sleeping = asyncio.ensure_future(hit.sleep(self.within_s))
        try:
            await asyncio.wait((overtaken, sleeping), return_when=asyncio.FIRST_COMPLETED)
            if sleeping.done():
                sleeping.result()  # raises what ended it
            return overtaken.result() if overtaken.done() else ""
        finally:
            sleeping.cancel()
            if hit.memory.get(_WAITING) is overtaken:
                del hit.memory[_WAITING]


async def _followed(hit: Hit, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield chunk
    _overtakes(hit)


def _overtakes(hit: Hit) -> bool:
    """This result has passed; True when one waited for that."""
    waiting: asyncio.Future[str] | None = hit.memory.pop(_WAITING, None)
    if waiting is None or waiting.done():
        return False
    waiting.set_result(hit.call.action)
    return True
