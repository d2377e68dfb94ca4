"""How long a simulated model takes: to its first token, and from token to token.

Rules:
1. Settings are milliseconds, as vendors' pages state them; everything drawn is seconds.
2. A call's times come from the call's own seed, apart from what it says: another latency never
   changes an answer, and the order in which calls arrive changes neither.
3. A schedule is absolute: each token's time counts from the start of the call, so that a late
   timer delays one token and never the ones after it.
"""

from __future__ import annotations

import math
from random import Random
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

_Z99 = 2.3263478740408408  # the standard normal distribution's 99 % point

Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Uniform(BaseModel):
    """Any time from `low` to `high`, milliseconds, each as likely."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: Milliseconds
    high: Milliseconds

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        if self.high < self.low:
            raise ValueError(f"expected low <= high, got {self.low} and {self.high}")
        return self

    def draw(self, rng: Random) -> float:
        """One time in seconds."""
        return rng.uniform(self.low, self.high) / 1000


class LogNormal(BaseModel):
    """Log-normal times, given by the median and the 99th percentile, milliseconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    p50: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    p99: Annotated[float, Field(gt=0, allow_inf_nan=False)]

    @model_validator(mode="after")
    def _ordered(self) -> LogNormal:
        if self.p99 < self.p50:
            raise ValueError(f"expected p50 <= p99, got {self.p50} and {self.p99}")
        return self

    def draw(self, rng: Random) -> float:
        """One time in seconds."""
        return rng.lognormvariate(math.log(self.p50), math.log(self.p99 / self.p50) / _Z99) / 1000


Spread = Milliseconds | Uniform | LogNormal


class Latency(BaseModel):
    """A model's speed. A number is constant; `{low, high}` uniform; `{p50, p99}` log-normal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first_token_ms: Spread = 0
    per_token_ms: Spread = 0

    @property
    def none(self) -> bool:
        """True when answers come at once."""
        return self.first_token_ms == 0 and self.per_token_ms == 0


def draw(spread: Spread, rng: Random) -> float:
    """One time in seconds."""
    return spread / 1000 if isinstance(spread, int | float) else spread.draw(rng)


class Schedule:
    """When each token of one call is out, on the clock on which the call began at `began`."""

    __slots__ = ("_at", "_count", "_per_token", "_rng")

    def __init__(self, latency: Latency, rng: Random, began: float = 0.0) -> None:
        self._rng = rng
        self._per_token = latency.per_token_ms
        self._at = began + draw(latency.first_token_ms, rng)
        self._count = 1

    def at(self, token: int) -> float:
        """When token number `token` (from 1) is out. Ask in rising order; a number asked for
        again, and 0, give the time already reached."""
        steps = token - self._count
        if steps > 0:
            if isinstance(self._per_token, int | float):
                self._at += self._per_token * steps / 1000
            else:
                self._at += sum(self._per_token.draw(self._rng) for _ in range(steps))
            self._count = token
        return self._at
