"""One long stream and a burst of short work on the same pool: the short ones are not starved."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from proofrig.errors import UsageError
from proofrig.scenarios.launch import after, co_launch
from proofrig.scenarios.scenario import Casting, Count, Facts, Phase, Positive, Scenario


class LongStream(Scenario):
    """`streams` long ones, and `after_s` later `agents` short ones at once."""

    name: ClassVar[str] = "long_stream"
    needs: ClassVar[tuple[str, ...]] = ("pool_starvation",)

    agents: Count = 20
    streams: Count = Field(default=1, description="Long streams that run beside them.")
    long: tuple[str, ...] = Field(
        default=("tag:long",), min_length=1, description="The cases that stream for long."
    )
    after_s: Positive = Field(default=0.5, description="When the short ones start.")

    def phases(self, facts: Facts) -> list[Phase]:
        long = self.chosen(facts, self.long, "long")
        ids = {case.id for case in long}
        short = [case for case in self.chosen(facts) if case.id not in ids]
        if not short:
            raise UsageError(
                "scenario long_stream: expected cases for the short agents beside the long ones, "
                f"got only {', '.join(sorted(ids))}; name them in `scenarios.long_stream.cases`"
            )
        casting = Casting(self.name, facts)
        first = casting.starts(long, co_launch(self.streams), part="long")
        then = casting.starts(short, after(co_launch(self.agents), self.after_s), part="short")
        return [Phase(name="streams", starts=(*first, *then))]
