"""Rate limits per tenant, as model vendors enforce and announce them.

Rules:
1. Token buckets: full at first, refilled steadily, one minute's allowance deep (`burst` changes
   how deep the request bucket is). Time is passed in, seconds from any origin.
2. A request is admitted when it fits every limit of its tenant, all or none. A refused request
   takes nothing.
3. Tokens are held at admission by estimate and corrected when the turn is known; the bucket may
   then stand below zero, and new requests wait until it is refilled.
4. A request that could never fit is refused as such: waiting would not help.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from proofrig.wire.turn import Api

Limit = Literal["requests", "tokens", "too_large", "concurrent"]


class TenantLimits(BaseModel):
    """What one tenant may use; None is no limit. `burst`: requests at once, at most."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_minute: PositiveInt | None = None
    tokens_per_minute: PositiveInt | None = None
    concurrent: PositiveInt | None = None
    burst: PositiveInt | None = None


class Limits(TenantLimits):
    """The limits of every tenant, each counted apart; `tenants` gives some their own."""

    tenants: dict[str, TenantLimits] = Field(default_factory=dict)

    def of(self, tenant: str) -> TenantLimits:
        """The limits that hold for this tenant."""
        return self.tenants.get(tenant, self)


class Bucket:
    """A token bucket: `per_minute` flows in, at most `depth` is held."""

    __slots__ = ("_at", "_level", "depth", "per_minute")

    def __init__(self, per_minute: int, now: float, depth: int | None = None) -> None:
        self.per_minute = per_minute
        self.depth = depth or per_minute
        self._level = float(self.depth)
        self._at = now

    def level(self, now: float) -> float:
        """What is in it; below zero when more was used than was held."""
        if now > self._at:
            flowed = (now - self._at) * self.per_minute / 60
            self._level = min(self.depth, self._level + flowed)
            self._at = now
        return self._level

    def wait(self, amount: float, now: float) -> float:
        """Seconds until `amount` is there; 0 when it is, infinite when it never will be."""
        if amount > self.depth:
            return math.inf
        missing = amount - self.level(now)
        return missing * 60 / self.per_minute if missing > 1e-9 else 0.0

    def take(self, amount: float, now: float) -> None:
        """Take `amount`; a negative amount is put back, never above the depth."""
        self._level = min(self.depth, self.level(now) - amount)

    def full_in(self, now: float) -> float:
        """Seconds until it is full again."""
        return (self.depth - self.level(now)) * 60 / self.per_minute


class Refusal(msgspec.Struct, frozen=True):
    """Why a request was refused, and the seconds after which it would fit (infinite: never)."""

    limit: Limit
    retry_after: float
    allowed: int
    asked: int


class Meter:
    """One tenant against its limits."""

    __slots__ = ("in_flight", "limits", "peak", "requests", "tokens")

    def __init__(self, limits: TenantLimits, now: float) -> None:
        self.limits = limits
        rpm, tpm = limits.requests_per_minute, limits.tokens_per_minute
        self.requests = Bucket(rpm, now, limits.burst) if rpm else None
        self.tokens = Bucket(tpm, now) if tpm else None
        self.in_flight = 0
        self.peak = 0

    def admit(self, tokens: int, now: float) -> Hold | Refusal:
        """Let a request in and hold its tokens, or say why not."""
        refusal = self._refusal(tokens, now)
        if refusal is not None:
            return refusal
        if self.requests:
            self.requests.take(1, now)
        if self.tokens:
            self.tokens.take(tokens, now)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        return Hold(self, tokens, now)

    def _refusal(self, tokens: int, now: float) -> Refusal | None:
        cap = self.limits.concurrent
        if cap is not None and self.in_flight >= cap:
            return Refusal("concurrent", 1.0, cap, self.in_flight + 1)
        waits: list[Refusal] = []
        if self.requests and (wait := self.requests.wait(1, now)) > 0:
            waits.append(Refusal("requests", wait, self.requests.per_minute, 1))
        if self.tokens and (wait := self.tokens.wait(tokens, now)) > 0:
            kind: Limit = "tokens" if wait < math.inf else "too_large"
            waits.append(Refusal(kind, wait, self.tokens.per_minute, tokens))
        return max(waits, key=lambda refusal: refusal.retry_after, default=None)


class Hold:
    """A request that is in; leaving the `with` block is its end. What was not settled by then
    used nothing."""

    __slots__ = ("_meter", "_now", "_settled", "_tokens")

    def __init__(self, meter: Meter, tokens: int, now: float) -> None:
        self._meter = meter
        self._tokens = tokens
        self._now = now
        self._settled = False

    def settle(self, used: int) -> None:
        """The turn is known: it used `used` tokens."""
        self._settled = True
        bucket = self._meter.tokens
        if bucket and used != self._tokens:
            bucket.take(used - self._tokens, self._now)

    def __enter__(self) -> Hold:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._settled:
            self.settle(0)
        self._meter.in_flight -= 1


def limit_headers(
    api: Api, meter: Meter, now: float, wall: datetime | None = None
) -> list[tuple[str, str]]:
    """The headers in which this API's vendor announces the limits and what is left of them.
    `wall` is the time of day that belongs to `now`; the present one when not given."""
    found = [("requests", meter.requests), ("tokens", meter.tokens)]
    headers: list[tuple[str, str]] = []
    for unit, bucket in found:
        if bucket is None:
            continue
        left = str(max(0, math.floor(bucket.level(now) + 1e-9)))
        wait = bucket.full_in(now)
        if api == "messages":
            at = (wall or datetime.now(UTC)) + timedelta(seconds=math.ceil(wait))
            headers += [
                (f"anthropic-ratelimit-{unit}-limit", str(bucket.per_minute)),
                (f"anthropic-ratelimit-{unit}-remaining", left),
                (f"anthropic-ratelimit-{unit}-reset", at.strftime("%Y-%m-%dT%H:%M:%SZ")),
            ]
        else:
            headers += [
                (f"x-ratelimit-limit-{unit}", str(bucket.per_minute)),
                (f"x-ratelimit-remaining-{unit}", left),
                (f"x-ratelimit-reset-{unit}", go_duration(wait)),
            ]
    return headers


def retry_headers(api: Api, seconds: float) -> list[tuple[str, str]]:
    """When to try again, as this API's vendor says it; nothing helps after an infinite wait."""
    if seconds == math.inf:
        return [("x-should-retry", "false")]
    headers = [("retry-after", str(max(1, math.ceil(seconds)))), ("x-should-retry", "true")]
    if api != "messages":
        headers.append(("retry-after-ms", str(max(1, math.ceil(seconds * 1000)))))
    return headers


def go_duration(seconds: float) -> str:
    """Seconds as OpenAI writes them: `0s`, `12ms`, `1.5s`, `6m0s`, `1h0m2s`."""
    if seconds < 1:
        milliseconds = math.ceil(seconds * 1000 - 1e-6)
        return f"{milliseconds}ms" if milliseconds > 0 else "0s"
    if seconds < 60:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + f"{minutes}m{rest}s"
