"""The same cases in clean and in used environments: what earlier trials leave must not matter.

Rules:
1. Clean is a box and shared instances of its own for each trial. Used is one box and the same
   instances for all: what agents leave in their home, in /tmp, in caches and services is there for
   those that follow. The world is fresh for every trial in both.
2. Before a case counts as used it was run once there (part `fill`): what it finds may be its own.
3. In which order cases follow one another is drawn for each round anew.
"""

from __future__ import annotations

import random
from typing import Any, ClassVar

from pydantic import Field

from proofrig.scenarios.launch import co_launch
from proofrig.scenarios.scenario import Casting, Count, Facts, Phase, Scenario, Start


class UsedEnvironment(Scenario):
    """Each case `repeats` times in an environment of its own, then `rounds` rounds of all of them
    in the same one."""

    name: ClassVar[str] = "used_environment"
    needs: ClassVar[tuple[str, ...]] = ("leftover_state",)

    repeats: Count = Field(default=2, description="Clean trials of each case.")
    rounds: Count = Field(default=3, description="Trials of each case in the used environment.")
    margin: float = Field(
        default=0.2, gt=0, le=1, description="The drop of the pass rate that matters."
    )

    def phases(self, facts: Facts) -> list[Phase]:
        casting, cases = Casting(self.name, facts), self.chosen(facts)

        def starts(part: str, rounds: int, **more: Any) -> list[Start]:
            found: list[Start] = []
            for number in range(rounds):
                mixed = list(cases)
                random.Random(f"{self.name} {facts.seed} {part} {number}").shuffle(mixed)
                found += casting.starts(mixed, co_launch(len(mixed)), part=part, **more)
            return found

        clean = tuple(starts("clean", self.repeats))
        used = (*starts("fill", 1, role="helper"), *starts("used", self.rounds))
        return [
            Phase(name="clean", starts=clean, workers=1, fresh=True),
            Phase(name="used", starts=used, workers=1, boxes="reused"),
        ]
