"""Real vendors, by configuration alone.

Rules:
1. A key is read from an environment variable when the run starts; it is never part of settings,
   and so never of a manifest.
2. Only the APIs of the vendors named are served.
"""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, model_validator

from proofrig.errors import UsageError
from proofrig.providers.provider import Endpoint
from proofrig.wire.turn import Api

Url = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$")]


class OpenAISettings(BaseModel):
    """An OpenAI-compatible vendor; `connections` caps the pool (0: no cap)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: Url = "https://api.openai.com/v1"
    key_env: str = "OPENAI_API_KEY"
    connections: NonNegativeInt = 0


class AnthropicSettings(BaseModel):
    """A vendor that speaks Anthropic Messages; `connections` caps the pool (0: no cap)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: Url = "https://api.anthropic.com/v1"
    key_env: str = "ANTHROPIC_API_KEY"
    connections: NonNegativeInt = 0


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
        served: list[tuple[OpenAISettings | AnthropicSettings, tuple[Api, ...]]] = []
        if settings.openai is not None:
            served.append((settings.openai, ("chat_completions", "responses")))
        if settings.anthropic is not None:
            served.append((settings.anthropic, ("messages",)))
        missing = [vendor.key_env for vendor, _ in served if not os.environ.get(vendor.key_env)]
        if missing:
            raise UsageError(
                f"expected a key in the environment variable {' and '.join(missing)}, got none: "
                "set it, or name another with `key_env`"
            )
        return {
            api: Endpoint(
                base_url=vendor.base_url.rstrip("/"),
                key=os.environ[vendor.key_env],
                connections=vendor.connections,
            )
            for vendor, apis in served
            for api in apis
        }

    def lost(self) -> str:
        """Vendors come back."""
        return ""

    async def close(self) -> None:
        """Nothing was begun."""
