"""The same cases in clean and in used environments: what earlier trials leave must not matter."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from proofrig.scenarios.launch import co_launch
from proofrig.scenarios.scenario import Casting, Count, Facts, Phase, Scenario


class UsedEnvironment(Scenario):
    """Each case `repeats` times with shared instances of its own, then `rounds` rounds of all of
    them on the same instances."""

    name: ClassVar[str] = "used_environment"
    needs: ClassVar[tuple[str, ...]] = ("leftover_state",)

    repeats: Count = Field(default=2, description="Clean trials of each case.")
    rounds: Count = Field(default=3, description="Trials of each case in the used environment.")

    def phases(self, facts: Facts) -> list[Phase]:
        casting, cases = Casting(self.name, facts), self.chosen(facts)
        clean = casting.starts(cases, co_launch(len(cases) * self.repeats), part="clean")
        used = casting.starts(cases, co_launch(len(cases) * self.rounds), part="used")
        return [
            Phase(name="clean", starts=clean, workers=1, fresh=True),
            Phase(name="used", starts=used, workers=1),
        ]
