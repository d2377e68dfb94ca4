"""What a simulated provider counted; read at `GET /_proofrig/stats`."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from proofrig.providers.answers import Failure
from proofrig.wire.turn import Usage


@dataclass(slots=True)
class Counters:
    """Calls since the start. `streams` are those being sent now; `refused` is by reason."""

    requests: int = 0
    streams: int = 0
    disconnected: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    by_tenant: dict[str, Counter[str]] = field(default_factory=dict)

    def of(self, tenant: str) -> Counter[str]:
        """The counts of one tenant."""
        counts = self.by_tenant.get(tenant)
        if counts is None:
            counts = self.by_tenant[tenant] = Counter()
        return counts

    def served(self, tenant: str, usage: Usage) -> None:
        """A call got its turn."""
        counts = self.of(tenant)
        counts["served"] += 1
        counts["input_tokens"] += usage.input
        counts["output_tokens"] += usage.output

    def refuse(self, tenant: str, failure: Failure) -> None:
        """A call got an error."""
        self.refused[failure.reason] += 1
        self.of(tenant)["refused"] += 1

    def as_dict(self) -> dict[str, Any]:
        """Everything but the tenants, with the process's CPU seconds so far."""
        return {
            "requests": self.requests,
            "streams": self.streams,
            "disconnected": self.disconnected,
            "refused": dict(self.refused),
            "cpu_seconds": time.process_time(),
        }
