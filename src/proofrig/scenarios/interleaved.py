"""Plans that need the same things in another order: nobody may wait for ever."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from proofrig.errors import UsageError
from proofrig.scenarios.launch import co_launch
from proofrig.scenarios.scenario import Casting, Count, Facts, Phase, Positive, Scenario


class Interleaved(Scenario):
    """`agents` at once, each case that is named taking its turn: name cases whose plans take the
    same tools or locks in inverted order."""

    name: ClassVar[str] = "interleaved"
    needs: ClassVar[tuple[str, ...]] = ("launch", "burst", "deadlock")

    agents: Count = 20
    deadlock_s: Positive = Field(
        default=5.0, description="A circle of waits that lasts so long is a deadlock."
    )

    def phases(self, facts: Facts) -> list[Phase]:
        cases = self.chosen(facts)
        if len(cases) < 2:
            raise UsageError(
                f"scenario interleaved: expected two or more cases that need the same things in "
                f"another order, got {cases[0].id}; name them in `scenarios.interleaved.cases`"
            )
        starts = Casting(self.name, facts).starts(cases, co_launch(self.agents))
        return [self.together("interleaved", starts)]
