"""Overload that ends: how long until it is as if nothing had been?"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from proofrig.scenarios import launch
from proofrig.scenarios.scenario import Casting, Count, Facts, Phase, Positive, Scenario


class Drain(Scenario):
    """`agents` at once, and while they are worked off, and after, a trickle that measures."""

    name: ClassVar[str] = "drain"
    needs: ClassVar[tuple[str, ...]] = ("launch", "burst")

    agents: Count = 50
    trickle: Count = Field(default=25, description="Agents that come after the load has stopped.")
    rate: Positive = Field(default=5.0, description="Of those, per second.")

    def phases(self, facts: Facts) -> list[Phase]:
        casting, cases = Casting(self.name, facts), self.chosen(facts)
        load = casting.starts(cases, launch.co_launch(self.agents), part="load")
        later = launch.after(launch.constant(self.trickle, self.rate), 1 / self.rate)
        drain = casting.starts(cases, later, part="drain")
        return [Phase(name="drain", starts=(*load, *drain))]
