"""The contract of a provider: what stands behind the LLM gateway.

A provider is reached over a socket; the gateway only needs to know where each API is served and
with which key. `simulated` starts a process of its own, so that its connection cap and its rate
limits are real; `upstream` is a real vendor by configuration alone.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from proofrig.wire.turn import Api

# The header of an answer by which a simulated provider says that the suite's own model raised.
MODEL_FAILED = ("x-proofrig-fault", "model")


class Ceilings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a vendor lets through, and what is done when it refuses.

    requests_per_minute, tokens_per_minute: calls are paced below them (0: none is known).
    on_throttle: `backoff` lowers the pace of all calls and sends a refused one again by itself;
    `fail_fast` hands the refusal on. max_wait_s: how long one call may be held back, in all.
    """

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    on_throttle: Literal["backoff", "fail_fast"] = "backoff"
    max_wait_s: float = 120.0


class Endpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where one API is served. `base_url` ends before `/chat/completions`, `/responses`,
    `/messages` (so usually in `/v1`). `key` replaces the agent's; `connections` caps the pool
    (0 = no cap). `simulated`: the gateway tells it each trial's seed. ceilings: of a real vendor;
    None leaves its calls alone. A simulated provider has none: its limits are declared, and an
    agent that runs into them is measured by that."""

    base_url: str
    key: str = ""
    connections: int = 0
    simulated: bool = False
    headers: dict[str, str] = {}
    ceilings: Ceilings | None = None


class Provider(Protocol):
    """A started provider."""

    async def start(self) -> dict[Api, Endpoint]:
        """Get ready; where each API it serves is to be found. Raises ProviderError."""

    def lost(self) -> str:
        """Why it will never answer again, for people; empty while it may."""

    async def close(self) -> None:
        """End what `start` began."""
