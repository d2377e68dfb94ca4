"""Budgets and prices as people write them, and budgets as the authority books them.

Rules:
1. People write dollars, tokens, calls, seconds and bytes; the authority books integers of
   micro-dollars, tokens, calls, milliseconds and bytes. The conversion is exact or refused.
2. `calls:<kind>` limits the calls of one kind (`calls:llm`, `calls:tool`).
3. What is not written is not limited.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from proofrig.authority.budget import MAX_AMOUNT

_CALLS = "calls:"


def _scaled(amount: float | None, factor: int) -> int | None:
    """`amount` in the smaller unit; the decimal that was written counts, not its binary form."""
    if amount is None:
        return None
    scaled = Decimal(str(amount)) * factor
    if scaled != scaled.to_integral_value():
        raise ValueError(f"expected at most a whole number of 1/{factor:,}, got {amount!r}")
    return int(scaled)


class Budget(BaseModel):
    """What one scope may use. Amounts are upper limits; zero allows nothing."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, int] = Field(init=False)

    usd: float | None = Field(default=None, ge=0, le=1e9, strict=True, description="Dollars.")
    tokens: int | None = Field(
        default=None, ge=0, le=MAX_AMOUNT, strict=True, description="Input and output tokens."
    )
    calls: int | None = Field(
        default=None, ge=0, le=MAX_AMOUNT, strict=True, description="Calls of every kind."
    )
    seconds: float | None = Field(
        default=None, ge=0, le=1e9, strict=True, description="Busy seconds."
    )
    bytes: int | None = Field(
        default=None, ge=0, le=MAX_AMOUNT, strict=True, description="Bytes sent and received."
    )

    @model_validator(mode="before")
    @classmethod
    def _known_units(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        for unit, amount in value.items():
            kind = str(unit).removeprefix(_CALLS)
            if unit in cls.model_fields:
                continue
            if kind == unit or not kind or any(c.isspace() for c in kind):
                known = ", ".join(cls.model_fields)
                raise ValueError(f"expected the units {known} or calls:<kind>, got {unit!r}")
            if type(amount) is not int or not 0 <= amount <= MAX_AMOUNT:
                raise ValueError(f"{unit}: expected a whole number from 0, got {amount!r}")
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core))
        schema["additionalProperties"] = False
        schema["patternProperties"] = {
            r"^calls:\S+$": {"type": "integer", "minimum": 0, "maximum": MAX_AMOUNT}
        }
        return schema

    def amounts(self) -> dict[str, int]:
        """The authority's units: usd_micro, tokens, calls, calls:<kind>, ms, bytes."""
        written = {
            "usd_micro": _scaled(self.usd, 1_000_000),
            "tokens": self.tokens,
            "calls": self.calls,
            "ms": _scaled(self.seconds, 1_000),
            "bytes": self.bytes,
            **(self.__pydantic_extra__ or {}),
        }
        return {unit: amount for unit, amount in written.items() if amount is not None}

    @model_validator(mode="after")
    def _whole(self) -> Budget:
        self.amounts()
        return self


class Budgets(BaseModel):
    """Limits per scope: one run of the agent (a trial), one tenant, the whole suite."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: Budget = Field(default=Budget(), description="Each trial.")
    tenant: Budget = Field(default=Budget(), description="Each tenant, over all its trials.")
    suite: Budget = Field(default=Budget(), description="The whole run of the suite.")


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
