"""Load that rises until something gives: open loop, so that a slow system cannot slow the load."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from proofrig.errors import UsageError
from proofrig.scenarios import launch
from proofrig.scenarios.scenario import Casting, Count, Facts, Phase, Positive, Scenario


class Ramp(Scenario):
    """`agents` over `over_s` seconds at a rising rate; or the starts of a recorded trace."""

    name: ClassVar[str] = "ramp"
    needs: ClassVar[tuple[str, ...]] = ("launch", "burst")

    agents: Count = 50
    over_s: Positive = Field(default=5.0, description="Seconds from the first to the last start.")
    down: bool = Field(default=False, strict=True, description="The rate falls instead.")
    trace: tuple[float, ...] = Field(
        default=(), description="Starts to play again instead, in seconds."
    )
    speed: Positive = Field(default=1.0, description="How many times as fast the trace is played.")

    def phases(self, facts: Facts) -> list[Phase]:
        try:
            if self.trace:
                schedule = launch.trace(self.trace, self.agents, self.speed)
            else:
                shape = launch.ramp_down if self.down else launch.ramp
                schedule = shape(self.agents, self.over_s)
        except ValueError as error:
            raise UsageError(f"scenario ramp: {error}") from None
        starts = Casting(self.name, facts).starts(self.chosen(facts), schedule)
        return [Phase(name="ramp", starts=starts)]
