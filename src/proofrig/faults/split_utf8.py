"""A character whose bytes come in two chunks."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

from pydantic import Field

from proofrig.faults._events import Chunks, is_text
from proofrig.faults.fault import Count, Fault, Hit, Onward, Seconds
from proofrig.wire.answer import Answer, rechunked


class SplitUtf8(Fault):
    """Cuts chunks after the first byte of characters that have several, and lets the rest come `ms`
    later. The bytes stay the same: a reader that is right does not see it. A body that has no such
    character, or writes it as an escape, is not struck."""

    summary: ClassVar[str] = "a character comes in two chunks"

    kind: Literal["split_utf8"] = "split_utf8"
    splits: Count = Field(default=4, description="At most so many in a body.")
    ms: Seconds = Field(
        default=20.0, description="Milliseconds between the two, so that they do not come together."
    )

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        answer = await onward()
        return rechunked(answer, partial(self._cut, hit)) if is_text(answer) else answer

    async def _cut(self, hit: Hit, chunks: Chunks) -> Chunks:
        left = self.splits
        async for chunk in chunks:
            while left and (at := _inside(chunk)):
                left -= 1
                hit.struck()
                yield chunk[:at]
                await hit.sleep(self.ms / 1000)
                chunk = chunk[at:]
            yield chunk


def _inside(chunk: bytes) -> int:
    """A place between two bytes of one character; 0 when there is none."""
    for at, byte in enumerate(chunk[:-1], 1):
        if byte >= 0xC2 and 0x80 <= chunk[at] < 0xC0:
            return at
    return 0
