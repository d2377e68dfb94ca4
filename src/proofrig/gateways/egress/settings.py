"""What a suite says about everything else that its agents call: the key `egress`.

Rules:
1. Hosts are patterns, see `hosts`; what is written wrong is said with what was expected.
2. What an agent may reach is `allow`; what it may do there is the policy's business.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from proofrig.gateways.egress.hosts import Pattern, Place, fits, pattern
from proofrig.gateways.egress.telemetry import reporter

# Whose default URLs the rig's own model gateway can serve.
VENDORS = frozenset({"api.openai.com", "api.anthropic.com"})


def _host(written: str) -> str:
    pattern(written)
    return written


def _reporter(written: str) -> str:
    reporter(written)
    return written


Host = Annotated[str, AfterValidator(_host)]
Telemetry = Annotated[str, AfterValidator(_reporter)]


class EgressSettings(BaseModel):
    """Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=True, description="False: agents get no proxy.")
    allow: tuple[Host, ...] = Field(
        default=("*",),
        description="Hosts that agents may reach: `host`, `*.host`, `host:port`, `*`. A cloud's "
        "metadata and link-local addresses have to be named.",
    )
    max_bytes: int | None = Field(
        default=None, ge=0, strict=True, description="Of each trial, both directions together."
    )
    intercept: tuple[Host, ...] = Field(
        default=(),
        description="Hosts whose TLS ends at the rig, so that requests are seen. api.openai.com "
        "and api.anthropic.com are then answered by the suite's model.",
    )
    telemetry: tuple[Telemetry, ...] = Field(
        default=(),
        description="Further hosts, or `host/path`, that frameworks report to: recorded, answered "
        "by the rig, no action.",
    )
    unattributed: Literal["refuse", "pass"] = Field(
        default="refuse", description="What happens to traffic of no trial."
    )

    @property
    def allowed(self) -> tuple[Pattern, ...]:
        return tuple(map(pattern, self.allow))

    @property
    def intercepted(self) -> tuple[Pattern, ...]:
        return tuple(map(pattern, self.intercept))

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        for written, one in zip(self.intercept, self.intercepted, strict=True):
            if one.exact and one.host not in VENDORS and not self._lets(one):
                raise ValueError(
                    f"`intercept` names {written}, which `allow` does not let through; add it to "
                    "`allow`, or take it out of `intercept`"
                )
        return self

    def _lets(self, one: Pattern) -> bool:
        ports = (one.port,) if one.port else (443, *(p.port for p in self.allowed if p.port))
        return any(fits(self.allowed, Place(one.host, port)) for port in ports)
