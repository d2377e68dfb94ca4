"""The head of an answer comes at once, its first output late."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

from pydantic import Field

from proofrig.faults._events import Chunks, has_events, role_of
from proofrig.faults.fault import Fault, Hit, Onward, Seconds
from proofrig.wire.answer import Answer, rechunked
from proofrig.wire.sse import EventSplitter


class SlowFirstToken(Fault):
    """Holds back the first event with output for `s`, and all that follows it; status, headers and
    the events before it pass at once. Of a body that is no stream of events it holds back the first
    byte. An answer without a body is not struck."""

    summary: ClassVar[str] = "the first output of an answer comes late"

    kind: Literal["slow_first_token"] = "slow_first_token"
    s: Seconds = Field(default=20.0, description="Seconds.")

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        answer = await onward()
        change = self._first_event if has_events(answer) else self._first_byte
        return rechunked(answer, partial(change, hit))

    async def _first_byte(self, hit: Hit, chunks: Chunks) -> Chunks:
        async for chunk in chunks:
            if not hit.fired:
                await self._wait(hit)
            yield chunk

    async def _first_event(self, hit: Hit, chunks: Chunks) -> Chunks:
        splitter = EventSplitter()
        came = cut = 0  # bytes before this chunk, and before the event that is looked at
        async for chunk in chunks:
            for block in () if hit.fired else splitter.feed(chunk):
                if role_of(hit.call.form, block) != "framing":
                    at = max(0, cut - came)
                    if at:
                        yield chunk[:at]
                    chunk = chunk[at:]
                    await self._wait(hit)
                    break
                cut += len(block)
            came += len(chunk)
            yield chunk

    async def _wait(self, hit: Hit) -> None:
        hit.struck(lasts_s=self.s)
        await hit.sleep(self.s)
