"""An answer that comes in drops: no silence is long enough for a read timeout, and all of it takes
for ever."""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from proofrig.faults._events import Chunks, events, has_events, resized
from proofrig.faults.fault import Count, Fault, Hit, Onward, Seconds
from proofrig.wire.answer import Answer, rechunked
from proofrig.wire.sse import parse_event

_PING = b": ping\n\n"
_PING_OF_MESSAGES = b'event: ping\ndata: {"type": "ping"}\n\n'


class Trickle(Fault):
    """Cuts a body into pieces of `bytes`, `ms` apart. With `pings`, a stream of events keeps its
    events whole, and before each come so many pings (comments; in Messages its own `ping` event),
    all `ms` apart: output hardly comes, silence never does. A body of one piece is not struck."""

    summary: ClassVar[str] = "an answer comes in drops"

    kind: Literal["trickle"] = "trickle"
    bytes: Count = Field(default=16, description="Bytes of a piece.")
    ms: Seconds = Field(default=100.0, description="Milliseconds between two pieces.")
    pings: Annotated[int, Field(strict=True, ge=0, le=100_000)] = Field(
        default=0, description="Pings before each event of a stream."
    )

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        answer = await onward()
        if self.pings and has_events(answer):
            return resized(answer, partial(self._pinged, hit))
        return rechunked(answer, partial(self._cut, hit))

    async def _cut(self, hit: Hit, chunks: Chunks) -> Chunks:
        first = True
        async for chunk in chunks:
            for start in range(0, len(chunk), self.bytes):
                if not first:
                    await self._wait(hit)
                first = False
                yield chunk[start : start + self.bytes]

    async def _pinged(self, hit: Hit, chunks: Chunks) -> Chunks:
        ping = _PING_OF_MESSAGES if hit.call.form == "messages" else _PING
        async for block in events(chunks):
            if parse_event(block) is not None:
                for _ in range(self.pings):
                    await self._wait(hit)
                    yield ping
                await self._wait(hit)
            yield block

    async def _wait(self, hit: Hit) -> None:
        hit.struck()
        await hit.sleep(self.ms / 1000)
