"""The contract of a provider: what stands behind the LLM gateway.

A provider is reached over a socket; the gateway only needs to know where each API is served and
with which key. `simulated` starts a process of its own, so that its connection cap and its rate
limits are real; `upstream` is a real vendor by configuration alone.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from proofrig.wire.turn import Api

# The header of an answer by which a simulated provider says that the suite's own model raised.
MODEL_FAILED = ("x-proofrig-fault", "model")


class Endpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where one API is served. `base_url` ends before `/chat/completions`, `/responses`,
    `/messages` (so usually in `/v1`). `key` replaces the agent's; `connections` caps the pool
    (0 = no cap). `simulated`: the gateway tells it each trial's seed."""

    base_url: str
    key: str = ""
    connections: int = 0
    simulated: bool = False
    headers: dict[str, str] = {}


class Provider(Protocol):
    """A started provider."""

    async def start(self) -> dict[Api, Endpoint]:
        """Get ready; where each API it serves is to be found. Raises ProviderError."""

    def lost(self) -> str:
        """Why it will never answer again, for people; empty while it may."""

    async def close(self) -> None:
        """End what `start` began."""
