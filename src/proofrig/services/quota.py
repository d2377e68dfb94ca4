"""A quota-limited API: it answers, or refuses with 429 and says when to come again.

Rules:
1. `bucket`: full at first, `capacity` deep, `capacity` flows in per `per_s` seconds, steadily.
   `window`: `capacity` in each stretch of `per_s` seconds from the run's beginning. `concurrency`:
   `capacity` at once; a call is inside from its start until its answer is due (`latency_ms`).
2. Never more than `capacity` is let in; all amounts and times are integers.
3. A refused call takes nothing. It is told when it would fit, or `retry_after_s` where that is set.
4. `partition: tenant` gives each tenant a quota of its own; by default all share one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self

import msgspec
from pydantic import Field, model_validator

from proofrig.services.service import (
    Arguments,
    Ask,
    Caller,
    Clock,
    Done,
    Operation,
    Service,
    ServiceSettings,
    nanoseconds,
    refused,
)

Amount = Annotated[int, msgspec.Meta(ge=1)]


class QuotaSettings(ServiceSettings):
    """An API with a quota."""

    type: Literal["quota"]
    limit: Literal["bucket", "window", "concurrency"] = "bucket"
    capacity: int = Field(gt=0, description="How much is let in: at once, or per `per_s` seconds.")
    per_s: float = Field(1.0, gt=0, description="Seconds in which `capacity` comes back.")
    retry_after_s: float | None = Field(
        None, gt=0, description="What every refusal says; by default, when it would fit."
    )

    @model_validator(mode="after")
    def _takes_time(self) -> Self:
        if self.limit == "concurrency" and not self.latency_ms:
            raise ValueError(
                "latency_ms: expected more than 0 with limit: concurrency, got 0; calls that take "
                "no time are never at once"
            )
        return self


class Take(Arguments):
    """Make one call of the API; `amount` is what it counts for, `attempt` which try of the same
    call it is, from 1."""

    amount: Amount = 1
    attempt: Amount | None = None

    def started(self) -> dict[str, Any]:
        said = {"amount": self.amount}
        return said if self.attempt is None else said | {"attempt": self.attempt}


class _Meter(Protocol):
    def level(self, now: int) -> int:
        """What is left, whole units."""

    def wait(self, amount: int, now: int) -> int:
        """Nanoseconds until `amount` would fit; 0 when it does."""

    def take(self, amount: int, now: int) -> None:
        """Let it in; it fits."""


class _Bucket:
    """A token bucket. What is in it is kept in units x `per_ns`, so that no fraction is lost."""

    def __init__(self, capacity: int, per_ns: int, now: int) -> None:
        self._capacity, self._per_ns = capacity, per_ns
        self._held, self._at = capacity * per_ns, now

    def level(self, now: int) -> int:
        if now > self._at:
            flowed = (now - self._at) * self._capacity
            self._held = min(self._capacity * self._per_ns, self._held + flowed)
            self._at = now
        return self._held // self._per_ns

    def wait(self, amount: int, now: int) -> int:
        self.level(now)
        missing = amount * self._per_ns - self._held
        return max(0, -(-missing // self._capacity))

    def take(self, amount: int, now: int) -> None:
        self.level(now)
        self._held -= amount * self._per_ns


class _Window:
    """Fixed windows."""

    def __init__(self, capacity: int, per_ns: int, now: int) -> None:
        self._capacity, self._per_ns = capacity, per_ns
        self._window, self._used = now // per_ns, 0

    def level(self, now: int) -> int:
        if now // self._per_ns > self._window:
            self._window, self._used = now // self._per_ns, 0
        return self._capacity - self._used

    def wait(self, amount: int, now: int) -> int:
        fits = amount <= self.level(now)
        return 0 if fits else (self._window + 1) * self._per_ns - now

    def take(self, amount: int, now: int) -> None:
        self._used += amount


class _Seats:
    """So many at once, each for `stay_ns`."""

    def __init__(self, capacity: int, stay_ns: int) -> None:
        self._capacity, self._stay_ns, self._used = capacity, stay_ns, 0

    def level(self, now: int) -> int:
        return self._capacity - self._used

    def wait(self, amount: int, now: int) -> int:
        return 0 if self._used + amount <= self._capacity else self._stay_ns

    def take(self, amount: int, now: int) -> None:
        self._used += amount

    def leave(self, amount: int) -> None:
        self._used -= amount


class QuotaService(Service):
    """An API with a quota, or one quota for each partition."""

    operations: ClassVar[Mapping[str, Operation]] = {"take": Operation("take", "quota.take", Take)}

    def __init__(self, settings: QuotaSettings, clock: Clock) -> None:
        super().__init__(settings, clock)
        self._settings = settings
        self._meters: dict[str, _Meter] = {}

    def started(self, caller: Caller, arguments: Any) -> dict[str, Any]:
        return super().started(caller, arguments) | {"limit": self._settings.limit}

    def take(self, ask: Ask) -> Done:
        amount, now, capacity = ask.arguments.amount, self._clock(), self._settings.capacity
        meter = self._meter(ask.caller, now)
        if amount > capacity:
            return refused(f"{self.name}: {amount} is more than it ever allows ({capacity})")
        wait_ns = meter.wait(amount, now)
        if wait_ns:
            return self._over(meter.level(now), wait_ns)
        meter.take(amount, now)
        attrs = {"status": 200, "level": meter.level(now), "capacity": capacity}
        leave = partial(meter.leave, amount) if isinstance(meter, _Seats) else None
        return Done({"left": attrs["level"]}, attrs, after=leave)

    def _over(self, level: int, wait_ns: int) -> Done:
        fixed = self._settings.retry_after_s
        retry_ns = wait_ns if fixed is None else nanoseconds(fixed)
        attrs = {
            "status": 429,
            "level": level,
            "capacity": self._settings.capacity,
            "retry_after_ns": retry_ns,
        }
        said = f"{self.name}: over its limit; try again in {retry_ns / 1e9:.3f} s"
        return Done(None, attrs, 429, said, retry_after_ns=retry_ns)

    def _meter(self, caller: Caller, now: int) -> _Meter:
        whose = self.physical(caller, "")
        meter = self._meters.get(whose)
        if meter is None:
            settings = self._settings
            per_ns = max(1, nanoseconds(settings.per_s))
            if settings.limit == "bucket":
                meter = _Bucket(settings.capacity, per_ns, now)
            elif settings.limit == "window":
                meter = _Window(settings.capacity, per_ns, now)
            else:
                meter = _Seats(settings.capacity, self.latency_ns)
            self._meters[whose] = meter
        return meter
