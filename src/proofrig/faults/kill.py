"""The agent's processes are killed: between its calls, or in the middle of a write."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from proofrig.faults._kill_points import KillPoint, Point
from proofrig.faults.fault import Count, Fault, Hit, Onward, When
from proofrig.wire.answer import Answer, Cut, read, rebodied
from proofrig.wire.outbound import Outbound, Surface

# What is known of a trial before it begins, and so of whom a write point is aimed at.
_OF_TRIAL = ("tenant", "agent", "case", "scenario")
_WRITES = get_args(Point)


class Kill(Fault):
    """SIGKILL to every process of the trial, `before_call` or `after_call` of what `on` names, or
    at a point of its nth write (`on.nth`, a number). An agent whose processes are not the rig's to
    kill goes on, and was not struck."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("llm", "tool", "egress", "service")
    summary: ClassVar[str] = "the agent's processes are killed"

    kind: Literal["kill"] = "kill"
    point: Literal["before_call", "after_call"] | Point = Field(
        default="before_call", description="When, around the call; or where in a write."
    )
    path: str = Field(default="*", description="Of writes to files: whose path fits this glob.")
    bytes: Count = Field(default=16, description="What still gets into a file, at mid_bytes.")

    @model_validator(mode="after")
    def _writes_are_aimed_at_trials(self) -> Self:
        if self.point not in _WRITES:
            return self
        named = self.on.model_dump(exclude_none=True, exclude={*_OF_TRIAL, "nth"})
        if named:
            raise ValueError(
                f"kill at {self.point}: `on` may name {', '.join(_OF_TRIAL)} and nth there, it "
                f"names {next(iter(named))}"
            )
        if not (self.on.nth is None or isinstance(self.on.nth, int)):
            raise ValueError(f"kill at {self.point}: expected one number as `on.nth`")
        if self.when != When():
            raise ValueError(f"kill at {self.point}: it has no `when`; the nth write is its time")
        return self

    def point_of(self, trial: Outbound, number: int, seed: int) -> KillPoint | None:
        """Where a trial, known as a call of which nothing else is known, is to be killed by this
        fault, the `number`th of its run; None when it is not, or not in a write."""
        if self.point not in _WRITES or not self.on.fits(trial):
            return None
        if random.Random(f"kill {seed} {number} {trial.trial}").random() >= self.probability:
            return None
        nth = self.on.nth if isinstance(self.on.nth, int) else 1
        return KillPoint(
            self.point,  # type: ignore[arg-type]
            nth,
            self.path,
            self.bytes,
            self.title,
            number,
        )

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        if self.point in _WRITES:
            return await onward()
        if self.point == "before_call":
            await self._kill(hit)
            return await onward()
        answer = await onward()
        whole = rebodied(answer, await read(answer))
        try:
            await self._kill(hit)
        except Cut:
            whole.close()
            raise
        return whole

    async def _kill(self, hit: Hit) -> None:
        """Raises Cut when somebody was killed: nobody is there to read an answer."""
        killed = await hit.around.kill(hit.call.token)
        if killed:
            hit.struck(point=self.point, processes=killed)
            raise Cut


def kill_point(faults: Iterable[Fault], seed: int, trial: Outbound) -> KillPoint | None:
    """Where a trial is killed in a write by the faults of a run; the first of them counts."""
    points = (
        fault.point_of(trial, number, seed)
        for number, fault in enumerate(faults)
        if isinstance(fault, Kill)
    )
    return next((point for point in points if point is not None), None)
