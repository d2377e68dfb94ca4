"""One after another, alone: what each case comes to without contention, the others' baseline."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from proofrig.scenarios.launch import co_launch
from proofrig.scenarios.scenario import Casting, Count, Facts, Phase, Scenario


class Sequential(Scenario):
    """Each case `repeats` times, one at a time."""

    name: ClassVar[str] = "sequential"

    repeats: Count = Field(default=1, description="How often each case is run.")

    def phases(self, facts: Facts) -> list[Phase]:
        cases = self.chosen(facts)
        starts = Casting(self.name, facts).starts(cases, co_launch(len(cases) * self.repeats))
        return [Phase(name="alone", starts=starts, workers=1)]
