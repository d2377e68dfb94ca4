"""Many at once on one quota: nobody may fail who does not fail alone, the tail stays bounded, and
retries do not multiply the load."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from proofrig.scenarios import launch
from proofrig.scenarios.scenario import Casting, Count, Facts, Phase, Positive, Scenario


class Burst(Scenario):
    """`agents` released together; or in waves, at a rate, or on the instant a quota is refilled."""

    name: ClassVar[str] = "burst"
    needs: ClassVar[tuple[str, ...]] = ("launch", "burst")

    agents: Count = 50
    arrival: Literal["together", "waves", "constant", "poisson", "bursty", "aligned", "closed"] = (
        Field(default="together", description="How they arrive.")
    )
    rate: Positive = Field(default=50.0, description="Agents per second, where it has a rate.")
    size: Count = Field(default=10, description="Agents of a wave.")
    every_s: Positive = Field(default=1.0, description="Seconds between waves.")
    workers: Count = Field(default=10, description="Agents at the same time, where it is closed.")
    think_s: float = Field(
        default=0.0, ge=0, le=3600, description="What each thinks first, on average, there."
    )

    def phases(self, facts: Facts) -> list[Phase]:
        starts = Casting(self.name, facts).starts(self.chosen(facts), self._schedule(facts.seed))
        if self.arrival == "closed":
            return [Phase(name="burst", starts=starts, workers=self.workers)]
        together = self.arrival == "together"
        if not together:
            return [Phase(name="burst", starts=starts)]
        return [self.together("burst", starts)]

    def _schedule(self, seed: int) -> launch.Schedule:
        if self.arrival == "together":
            return launch.co_launch(self.agents)
        if self.arrival == "closed":
            return launch.think(self.agents, self.think_s, seed)
        if self.arrival == "waves":
            return launch.waves(self.agents, self.size, self.every_s)
        if self.arrival == "aligned":
            return launch.aligned(self.agents, self.every_s, self.size)
        if self.arrival == "constant":
            return launch.constant(self.agents, self.rate)
        make = launch.poisson if self.arrival == "poisson" else launch.bursty
        return make(self.agents, self.rate, seed)
