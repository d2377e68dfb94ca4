"""An agent is killed while it holds a lock or half a write: those who come later see a state that
is whole, and the lock's time-to-live frees it."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from proofrig.faults._kill_points import POINTS, KillPoint, Point
from proofrig.scenarios.launch import co_launch
from proofrig.scenarios.scenario import (
    Casting,
    Count,
    Facts,
    Phase,
    Positive,
    Scenario,
    tenant_mix,
)


class CrashMidWrite(Scenario):
    """For each point: `victims` that are killed there (SIGKILL), then `agents` that do the same
    work on what they left."""

    name: ClassVar[str] = "crash_mid_write"
    needs: ClassVar[tuple[str, ...]] = ("torn_write", "lock_release")

    agents: Count = 4
    victims: Count = Field(default=1, description="Agents killed at each point.")
    points: tuple[Point, ...] = Field(default=POINTS, min_length=1, description="Where.")
    nth: Count = Field(default=1, description="At which write of the agent that is there.")
    path: str = Field(default="*", description="Of files: only those whose path fits this glob.")
    bytes: Count = Field(default=16, description="What still gets into the file, at mid_bytes.")
    grace_s: Positive = Field(default=1.0, description="What a lock may take beyond its TTL.")

    def phases(self, facts: Facts) -> list[Phase]:
        casting, cases = Casting(self.name, facts), self.chosen(facts)
        mix = tenant_mix(facts.tenants, facts.seed)
        phases = []
        for place, point in enumerate(self.points):
            kill = KillPoint(point, self.nth, self.path, self.bytes)
            tenant = mix[place % len(mix)]  # one for all of a point: they meet what the victim left
            victims = casting.starts(
                cases,
                co_launch(self.victims),
                tenant=tenant,
                role="helper",
                part="victim",
                kill=kill,
            )
            later = casting.starts(cases, co_launch(self.agents), tenant=tenant, part="later")
            phases.append(Phase(name=f"crash {point}", starts=victims, workers=1))
            phases.append(Phase(name=f"after {point}", starts=later))
        return phases
