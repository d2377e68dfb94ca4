"""Real vendors, by configuration alone.

Rules:
1. A key is read from an environment variable when the run starts; it is never part of settings,
   and so never of a manifest. `key_env: ""` is a server that asks for none.
2. Only the APIs of the vendors named are served.
3. What a vendor refuses by its limits is not the agent's doing: by default calls wait and are sent
   again, and one that is refused for good was not measured.
"""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, model_validator

from proofrig.errors import UsageError
from proofrig.providers.provider import Ceilings, Endpoint
from proofrig.wire.turn import Api

# Neither holds a secret: both stand in the manifest.
Url = Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")]
Variable = Annotated[str, Field(pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")]


class VendorSettings(BaseModel):
    """A vendor and its ceilings. Each vendor's own class says where it is and what its key is
    called."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: Url = Field(description="Up to its version: what `/models` comes after.")
    key_env: Variable = Field(description='The variable that holds the key; "": no key is sent.')
    connections: NonNegativeInt = Field(
        default=0, description="At most so many calls at the same time; 0: no cap."
    )
    requests_per_minute: NonNegativeInt = Field(
        default=0, description="Calls are sent evenly, at most so many a minute; 0: no ceiling."
    )
    tokens_per_minute: NonNegativeInt = Field(
        default=0, description="The same for tokens, input and output; 0: no ceiling."
    )
    on_throttle: Literal["backoff", "fail_fast"] = Field(
        default="backoff",
        description="When the vendor refuses for its limits (429, 529): `backoff` slows all calls "
        "down and sends the refused one again; `fail_fast` hands the refusal to the agent.",
    )
    max_wait_s: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] = Field(
        default=120.0, description="How long one call may be held back, in all."
    )

    def endpoint(self) -> Endpoint:
        """Where it is served, with the key that the environment holds now."""
        return Endpoint(
            base_url=self.base_url.rstrip("/"),
            key=os.environ[self.key_env] if self.key_env else "",
            connections=self.connections,
            ceilings=Ceilings(
                requests_per_minute=self.requests_per_minute,
                tokens_per_minute=self.tokens_per_minute,
                on_throttle=self.on_throttle,
                max_wait_s=self.max_wait_s,
            ),
        )


class OpenAISettings(VendorSettings):
    """OpenAI, or whoever speaks Chat Completions and Responses as it does."""

    base_url: Url = Field(
        default="https://api.openai.com/v1",
        description="Up to its version: what `/chat/completions` comes after.",
    )
    key_env: Variable = Field(
        default="OPENAI_API_KEY",
        description='The variable that holds the key; "": no key is sent.',
    )


class AnthropicSettings(VendorSettings):
    """Anthropic, or whoever speaks Messages as it does."""

    base_url: Url = Field(
        default="https://api.anthropic.com/v1",
        description="Up to its version: what `/messages` comes after.",
    )
    key_env: Variable = Field(
        default="ANTHROPIC_API_KEY",
        description='The variable that holds the key; "": no key is sent.',
    )


class UpstreamSettings(BaseModel):
    """`provider: upstream`. `openai: {}` is OpenAI itself, with the key in OPENAI_API_KEY."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: Literal["upstream"] = "upstream"
    openai: OpenAISettings | None = None
    anthropic: AnthropicSettings | None = None

    @model_validator(mode="after")
    def _some_vendor(self) -> UpstreamSettings:
        if self.openai is None and self.anthropic is None:
            raise ValueError(
                "expected `openai` or `anthropic` under `provider: upstream`, got none"
            )
        return self


class UpstreamProvider:
    """The vendors' endpoints with their keys."""

    def __init__(self, settings: UpstreamSettings) -> None:
        self._settings = settings

    async def start(self) -> dict[Api, Endpoint]:
        """Read the keys. Raises `UsageError` naming every variable that is not set."""
        settings = self._settings
        served: list[tuple[VendorSettings, tuple[Api, ...]]] = []
        if settings.openai is not None:
            served.append((settings.openai, ("chat_completions", "responses")))
        if settings.anthropic is not None:
            served.append((settings.anthropic, ("messages",)))
        named = [vendor.key_env for vendor, _ in served if vendor.key_env]
        if missing := [name for name in named if not os.environ.get(name)]:
            raise UsageError(
                f"expected a key in the environment variable {' and '.join(missing)}, got none: "
                "set it, or name another with `key_env`"
            )
        for vendor, _ in served:
            _check_key(vendor.key_env)
        endpoints = [(vendor.endpoint(), apis) for vendor, apis in served]
        return {api: endpoint for endpoint, apis in endpoints for api in apis}

    def lost(self) -> str:
        """Vendors come back."""
        return ""

    async def close(self) -> None:
        """Nothing was begun."""


def _check_key(name: str) -> None:
    """A key that cannot stand in a header would show in the error of whoever tries to send it."""
    if not name:
        return
    key = os.environ[name]
    if not (key.isascii() and key.isprintable()) or key != key.strip():
        raise UsageError(
            f"expected a key that can be sent in a header in the environment variable {name}, got "
            "one with spaces, line ends or other such characters around or inside it: set it again"
        )
