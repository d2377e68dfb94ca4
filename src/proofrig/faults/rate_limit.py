"""Too many calls: 429, by a limit that calls share, or always.

Rules:
1. A limit counts the calls that pass, also those that cannot be struck. One that is refused is not
   carried out, and costs nothing.
2. `bucket`: `burst` calls at once, then `rate` per second. `window`: `calls` in any stretch of
   `seconds`. `concurrency`: so many whose answers have not ended.
3. What a client is told to wait is `wait_s`, or else how long it really is until the next may pass.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Annotated, ClassVar, Literal, Protocol, Self

from pydantic import Field, PrivateAttr, model_validator

from proofrig.faults._forms_errors import (
    HUGE_S,
    RetryAfter,
    error_answer,
    failed_result,
    retry_headers,
)
from proofrig.faults.fault import Count, Fault, Hit, Onward, Seconds, Settings
from proofrig.wire.answer import Answer, rechunked
from proofrig.wire.outbound import Surface

_SHORT_S = 1.0  # a wait, where nobody can know how long it is
Positive = Annotated[float, Field(gt=0, le=1_000_000)]


class Bucket(Settings):
    """`rate` calls per second on average, `burst` at once."""

    rate: Positive
    burst: Count = 1


class Window(Settings):
    """`calls` in any stretch of `seconds`."""

    calls: Count
    seconds: Positive


class Limit(Settings):
    """One of the three."""

    bucket: Bucket | None = None
    window: Window | None = None
    concurrency: Count | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in ("bucket", "window", "concurrency") if getattr(self, name)]
        if len(given) != 1:
            said = ", ".join(given) or "none"
            raise ValueError(f"expected one of bucket, window and concurrency, got {said}")
        return self

    def fresh(self) -> _Limiter:
        """The limit, with nothing used of it."""
        if self.bucket is not None:
            return _Tokens(self.bucket)
        if self.window is not None:
            return _Times(self.window)
        return _Slots(self.concurrency or 1)


class RateLimit(Fault):
    """Answers 429 in the vendor's form where `limit` says so; to MCP, a result that tells of it.
    All calls that fit share the limit, `per` tenant, trial, or all of them."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("llm", "tool", "egress")
    summary: ClassVar[str] = "429 where calls are too many"
    watches: ClassVar[bool] = True

    kind: Literal["rate_limit"] = "rate_limit"
    limit: Literal["always"] | Limit = Field(default="always", description="Which calls pass.")
    per: Literal["tenant", "trial", "all"] = Field(
        default="tenant", description="Whose calls share it."
    )
    retry_after: RetryAfter = Field(
        default="seconds",
        description="How the answer says when to try again; huge: an hour, in seconds.",
    )
    wait_s: Seconds | None = Field(
        default=None, description="Seconds that it says; default: the truth, as far as it is known."
    )
    should_retry: bool | None = Field(default=None, description="The header x-should-retry.")

    _shared: dict[str, _Limiter] = PrivateAttr(default_factory=dict)

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        limiter = self._limiter(hit)
        wait_s = _SHORT_S if limiter is None else limiter.take(hit.clock())
        if wait_s is None or hit.idle:
            hit.spare()
            return await _passed(limiter if wait_s is None else None, onward)
        if self.wait_s is not None:
            wait_s = self.wait_s
        elif self.retry_after == "huge":
            wait_s = HUGE_S
        hit.struck(status=429, retry_after=self.retry_after, wait_s=round(wait_s, 3))
        if hit.call.form == "mcp":
            said = "" if self.retry_after == "none" else f" Try again in {wait_s:g} seconds."
            return failed_result(f"429 Too Many Requests: rate limit reached.{said}")
        headers = retry_headers(self.retry_after, wait_s, self.should_retry)
        return error_answer(hit.call, 429, headers)

    def _limiter(self, hit: Hit) -> _Limiter | None:
        if self.limit == "always":
            return None
        if self.per == "trial":
            kept: dict[str, _Limiter] = hit.memory
            owner = "limit"
        else:
            kept = self._shared
            owner = hit.call.tenant if self.per == "tenant" else ""
        if owner not in kept:
            kept[owner] = self.limit.fresh()
        return kept[owner]


class _Limiter(Protocol):
    def take(self, now_ns: int) -> float | None:
        """None when a call may pass, which is counted; else seconds until one may."""

    def give_back(self) -> None:
        """A call that passed has ended."""


class _Tokens:
    """A bucket."""

    def __init__(self, limit: Bucket) -> None:
        self._limit = limit
        self._left = float(limit.burst)
        self._at_ns: int | None = None

    def take(self, now_ns: int) -> float | None:
        limit = self._limit
        passed_s = 0.0 if self._at_ns is None else max(0, now_ns - self._at_ns) / 1e9
        self._at_ns = now_ns
        self._left = min(float(limit.burst), self._left + passed_s * limit.rate)
        if self._left >= 1 - 1e-9:
            self._left -= 1
            return None
        return (1 - self._left) / limit.rate

    def give_back(self) -> None:
        pass


class _Times:
    """A window."""

    def __init__(self, limit: Window) -> None:
        self._limit = limit
        self._passed: deque[int] = deque()

    def take(self, now_ns: int) -> float | None:
        length_ns = round(self._limit.seconds * 1e9)
        while self._passed and self._passed[0] <= now_ns - length_ns:
            self._passed.popleft()
        if len(self._passed) < self._limit.calls:
            self._passed.append(now_ns)
            return None
        return (self._passed[0] + length_ns - now_ns) / 1e9

    def give_back(self) -> None:
        pass


class _Slots:
    """So many at a time."""

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self, now_ns: int) -> float | None:
        if self._left == 0:
            return _SHORT_S
        self._left -= 1
        return None

    def give_back(self) -> None:
        self._left += 1


async def _passed(limiter: _Limiter | None, onward: Onward) -> Answer:
    """The call carried out; its place is free again when its answer has ended."""
    if not isinstance(limiter, _Slots):
        return await onward()
    try:
        answer = await onward()
    except BaseException:
        limiter.give_back()
        raise
    return rechunked(_Held(answer, limiter), _as_they_come)


async def _as_they_come(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield chunk


class _Held:
    """An answer that holds a place until it is closed."""

    def __init__(self, answer: Answer, limiter: _Slots) -> None:
        self._answer = answer
        self._limiter: _Slots | None = limiter
        self.status = answer.status
        self.reason = answer.reason
        self.headers = answer.headers
        self.length = getattr(answer, "length", None)

    async def readany(self) -> bytes:
        return await self._answer.readany()

    def close(self) -> None:
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter.give_back()
        self._answer.close()
