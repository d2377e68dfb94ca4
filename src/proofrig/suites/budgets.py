"""Budgets per run, tenant and suite, and prices, as people write them in a suite.

Rules:
1. What one scope may use is a `Budget`, see `proofrig.authority.limits`.
2. A price says where it was read, and when.
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from proofrig.authority.limits import Budget


class Budgets(BaseModel):
    """Limits per scope: one run of the agent (a trial), one tenant, the whole suite."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: Budget = Field(default=Budget(), description="Each trial.")
    tenant: Budget = Field(default=Budget(), description="Each tenant, over all its trials.")
    suite: Budget = Field(default=Budget(), description="The whole run of the suite.")

    def within(self, usd: float | None) -> Self:
        """The budgets of a run that may spend at most `usd` dollars in all; None: as they are."""
        if usd is None:
            return self
        own = self.suite.usd
        least = usd if own is None else min(usd, own)
        return self.model_copy(update={"suite": self.suite.model_copy(update={"usd": least})})


class Rate(BaseModel):
    """What a model costs, in US dollars per 1,000,000 tokens, and where that was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cache_read: float | None = Field(default=None, ge=0, description="Default: what input costs.")
    cache_write: float | None = Field(default=None, ge=0, description="Default: what input costs.")
    source: str = Field(min_length=1, description="Where the price comes from.")
    as_of: str = Field(min_length=1, description="When it was read.")


class Prices(BaseModel):
    """A price table: a glob on model names -> rates."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prices: dict[str, Rate] = {}
    fallback: Rate | None = Field(
        default=None, description="For models without a price of their own."
    )
