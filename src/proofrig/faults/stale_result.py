"""An old answer in the place of a new one: a cache that was not told.

Rules:
1. What is remembered is the first good answer to each call, in a trial. An equal call (name, host,
   path, arguments) gets it again; else, unless only `equal` calls match, another call of the same
   name, host and path does.
2. A trial's first call has no earlier one, and is not struck.
3. Every call that fits is remembered, also those that `nth`, `probability`, `when` and `times`
   leave out; of a trial, 64 MiB at most.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any, ClassVar, Literal

import msgspec
from pydantic import Field

from proofrig.faults._forms import unaddressed
from proofrig.faults.fault import Fault, Hit, Onward
from proofrig.wire.answer import Answer, Made, read, rechunked
from proofrig.wire.outbound import Outbound, Surface

_LARGEST = 4 << 20  # bytes of an answer that is remembered
_MOST = 64 << 20  # bytes of all that are, in a trial


class _Kept(msgspec.Struct, frozen=True):
    """An answer as it came, and the number of its call."""

    headers: dict[str, str]
    body: bytes
    status: int
    nth: int


class StaleResult(Fault):
    """Gives the answer of an earlier call of the trial. The call is not carried out, or, with
    `executed`, carried out and its answer lost."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("llm", "tool", "egress")
    summary: ClassVar[str] = "the answer of an earlier call is given again"
    watches: ClassVar[bool] = True

    kind: Literal["stale_result"] = "stale_result"
    match: Literal["same", "equal"] = Field(
        default="same", description="Whose: of the same tool or place, or an equal call's only."
    )
    executed: bool = Field(default=False, description="The call is carried out all the same.")

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        place, exact = _keys(hit.call)
        kept: dict[str, _Kept] = hit.memory.setdefault("kept", {})
        found = kept.get(exact) or (kept.get(place) if self.match == "same" else None)
        if found is None:
            hit.spare()
        if found is None or hit.idle:
            return _remembered(await onward(), hit, kept, (place, exact))
        if self.executed:
            answer = await onward()
            await read(answer)
            answer.close()
        hit.struck(of=found.nth, equal=exact in kept, executed=self.executed)
        body = unaddressed(found.body) if hit.call.form == "mcp" else found.body
        return Made(found.status, body, found.headers)


def _keys(call: Outbound) -> tuple[str, str]:
    """What is called, and the same with what it is asked."""
    place = "\0".join((call.name, call.host, call.path, "stream" if call.stream else ""))
    return place, f"{place}\0{hashlib.blake2b(call.body, digest_size=16).hexdigest()}"


def _remembered(answer: Answer, hit: Hit, kept: dict[str, _Kept], keys: tuple[str, str]) -> Answer:
    """The answer; what it was is kept once it has ended."""
    if answer.status >= 300 or all(key in kept for key in keys):
        return answer
    memory: dict[str, Any] = hit.memory

    async def seen(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        parts, size = [], 0
        async for chunk in chunks:
            size += len(chunk)
            if size <= _LARGEST:
                parts.append(chunk)
            yield chunk
        if size <= _LARGEST and memory.get("bytes", 0) + size <= _MOST:
            memory["bytes"] = memory.get("bytes", 0) + size
            one = _Kept(dict(answer.headers), b"".join(parts), answer.status, hit.nth)
            for key in keys:
                kept.setdefault(key, one)

    return rechunked(answer, seen)
