"""Results that come late, twice, or in another order than they were asked for: one that is out of
date is rejected, not believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from proofrig.faults.duplicate_delivery import DuplicateDelivery
from proofrig.faults.fault import Fault, Target
from proofrig.faults.late_result import LateResult
from proofrig.faults.reordered_results import ReorderedResults
from proofrig.scenarios.launch import co_launch
from proofrig.scenarios.scenario import Casting, Count, Facts, Phase, Positive, Scenario

Disordering = Literal["late", "swapped", "twice"]
REORDER = 3  # messages from whose first so many each delivery is drawn


class OutOfOrder(Scenario):
    """`agents` at once, a share of whose tool results is disordered, by faults at the tool gateway,
    and whose queues deliver the same share of messages twice, and out of order."""

    name: ClassVar[str] = "out_of_order"
    needs: ClassVar[tuple[str, ...]] = ("stale_result",)

    agents: Count = 20
    kinds: tuple[Disordering, ...] = Field(
        default=("late", "swapped", "twice"), min_length=1, description="What is done to results."
    )
    rate: float = Field(default=0.3, gt=0, le=1, description="To what share of them.")
    late_s: Positive = Field(default=2.0, description="How late a late one comes, at most.")

    def services(self, declared: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(
            service.model_copy(
                update={
                    "duplicate_rate": max(service.duplicate_rate, self.rate),
                    "reorder": max(service.reorder, REORDER),
                }
            )
            if service.type == "queue"
            else service
            for service in declared
        )

    def disturbances(self) -> tuple[Fault, ...]:
        on, share = Target(at="tool"), self.rate / len(self.kinds)
        made: dict[Disordering, Fault] = {
            "late": LateResult(by_s=self.late_s, on=on, probability=share),
            "swapped": ReorderedResults(within_s=self.late_s, on=on, probability=share),
            "twice": DuplicateDelivery(what="result", on=on, probability=share),
        }
        return tuple(made[kind] for kind in self.kinds)

    def phases(self, facts: Facts) -> list[Phase]:
        starts = Casting(self.name, facts).starts(self.chosen(facts), co_launch(self.agents))
        return [Phase(name="disorder", starts=starts)]
