"""An old answer in the place of a new one: a cache that was not told.

Rules:
1. What is remembered is the first good answer to each call, in a trial. An equal call (name, host,
   path, arguments) gets it again; else, unless only `equal` calls match, another call of the same
   name, host and path does.
2. A trial's first call has no earlier one, and is not struck.
3. Calls are remembered from the first on, also where `nth` means only later ones to be struck. What
   `probability` and `when` leave out is not seen here.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Annotated, ClassVar, Literal

import msgspec
from pydantic import AfterValidator, Field

from proofrig.faults._forms import all_of, unaddressed
from proofrig.faults.fault import Fault, Hit, Onward, Target
from proofrig.wire.answer import Answer, Made, rechunked
from proofrig.wire.outbound import Outbound, Surface

_LARGEST = 4 << 20  # bytes of an answer that is remembered


class _FromTheFirst(Target):
    """A target that means all calls that fit, so that they are seen; which of them are struck,
    `Target.meant` says."""

    def meant(self, nth: int) -> bool:
        return True


def _from_the_first(given: Target) -> Target:
    return _FromTheFirst.model_validate(given.model_dump(exclude_none=True, by_alias=True))


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

    kind: Literal["stale_result"] = "stale_result"
    on: Annotated[Target, AfterValidator(_from_the_first)] = Field(
        default=_FromTheFirst(), description="What it strikes; default: whatever it can."
    )
    match: Literal["same", "equal"] = Field(
        default="same", description="Whose: of the same tool or place, or an equal call's only."
    )
    executed: bool = Field(default=False, description="The call is carried out all the same.")

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        place, exact = _keys(hit.call)
        kept: dict[str, _Kept] = hit.memory
        found = kept.get(exact) or (kept.get(place) if self.match == "same" else None)
        if found is None or not Target.meant(self.on, hit.nth):
            return _remembered(await onward(), kept, (place, exact), hit.nth)
        if self.executed:
            answer = await onward()
            await all_of(answer)
            answer.close()
        hit.struck(of=found.nth, equal=exact in kept, executed=self.executed)
        body = unaddressed(found.body) if hit.call.form == "mcp" else found.body
        return Made(found.status, body, found.headers)


def _keys(call: Outbound) -> tuple[str, str]:
    """What is called, and the same with what it is asked."""
    place = "\0".join((call.name, call.host, call.path, "stream" if call.stream else ""))
    return place, f"{place}\0{hashlib.blake2b(call.body, digest_size=16).hexdigest()}"


def _remembered(answer: Answer, kept: dict[str, _Kept], keys: tuple[str, str], nth: int) -> Answer:
    """The answer; what it was is kept once it has ended."""
    if answer.status >= 300 or all(key in kept for key in keys):
        return answer

    async def seen(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        parts, size = [], 0
        async for chunk in chunks:
            size += len(chunk)
            if size <= _LARGEST:
                parts.append(chunk)
            yield chunk
        if size <= _LARGEST:
            one = _Kept(dict(answer.headers), b"".join(parts), answer.status, nth)
            for key in keys:
                kept.setdefault(key, one)

    return rechunked(answer, seen)
