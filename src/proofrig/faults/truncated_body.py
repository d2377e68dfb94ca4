"""A body that is valid HTTP and ends in the middle of what it says."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

from pydantic import Field

from proofrig.faults._events import Amount, Chunks, Part, events, has_events, resized, role_of
from proofrig.faults._forms import as_it_came
from proofrig.faults.fault import Fault, Hit, Onward
from proofrig.wire.answer import Answer, read
from proofrig.wire.sse import parse_event


class TruncatedBody(Fault):
    """Ends a body after a `share` of it, or after so many `bytes`; its length says as much, and the
    connection stays in order. Of a stream of events, `after_events` come whole, the next one ends
    after that share or those bytes, and the stream with it. A body that is not longer is not
    struck."""

    summary: ClassVar[str] = "a body ends in the middle, as if it were whole"

    kind: Literal["truncated_body"] = "truncated_body"
    share: Part = Field(default=0.5, description="Of the body, or of the event that is cut.")
    bytes: Amount | None = Field(default=None, description="Bytes that are left, instead.")
    after_events: Amount = Field(
        default=1, description="Of a stream of events: so many, with data, come first."
    )

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        answer = await onward()
        if has_events(answer):
            return resized(answer, partial(self._in_an_event, hit))
        body = await read(answer)
        kept = self._kept(len(body))
        if kept >= len(body):
            return as_it_came(answer, body)
        hit.struck(bytes=kept, of=len(body))
        return as_it_came(answer, body[:kept])

    async def _in_an_event(self, hit: Hit, chunks: Chunks) -> Chunks:
        seen, ended = 0, False
        async for block in events(chunks):
            if parse_event(block) is not None and not ended:
                size = len(block.rstrip(b"\r\n"))
                if seen == self.after_events and (kept := self._kept(size)) < size:
                    hit.struck(bytes=kept, of=size, after_events=seen)
                    yield block[:kept]
                    return
                seen += 1
                ended = role_of(hit.call.form, block) == "end"
            yield block

    def _kept(self, size: int) -> int:
        return int(size * self.share) if self.bytes is None else self.bytes
