"""Lanes: the ways in which a suite is run, each with budgets that hold for the whole run.

    lanes:
      pr: {repeats: 4, tags: [smoke], usd: 0.50, minutes: 10}
      nightly: {repeats: auto, scenarios: [all], usd: 20, minutes: 120}

Rules:
1. A lane says how much is run, what of it, and what is asked of the result, never under which
   conditions: runs of different lanes are runs of the same suite, and can be held against each
   other.
2. What the command line says goes over the lane, and the lane goes over the suite.
3. With scenarios, a lane runs them alone; with `repeats` besides, the plain plan first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, Field

from proofrig.errors import UsageError
from proofrig.scenarios import chosen_scenarios
from proofrig.suites.case import Count, Settings, Tag
from proofrig.suites.gates import AnyGate

if TYPE_CHECKING:
    from proofrig.suites.suite import Suite

AUTO: Literal["auto"] = "auto"
LaneName = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]


def _exact(usd: float) -> float:
    """Raises ValueError for money that the ledger cannot book."""
    micro = Decimal(str(usd)) * 1_000_000
    if micro != micro.to_integral_value():
        raise ValueError(f"expected at most a whole number of 1/1,000,000 dollars, got {usd!r}")
    return usd


Usd = Annotated[float, Field(gt=0, le=1e9, strict=True), AfterValidator(_exact)]
Minutes = Annotated[float, Field(gt=0, le=1e6, strict=True)]
Repeats = Annotated[int, Field(strict=True, ge=1, le=10_000)] | Literal["auto"]


class LaneSettings(Settings):
    """One lane. What it leaves out is as the suite says."""

    repeats: Repeats | None = Field(
        default=None,
        description="Trials per case; `auto`: as many as it takes to decide the run's gates and "
        "its baseline, at most the suite's `repeats` where that is above 1, else 8.",
    )
    tags: tuple[Tag, ...] = Field(default=(), description="Only cases with one of these tags.")
    cases: tuple[str, ...] = Field(default=(), description="Only these cases, * as in file names.")
    scenarios: tuple[str, ...] = Field(
        default=(), description="Scenarios to run; `all`: those the suite declares."
    )
    usd: Usd | None = Field(default=None, description="What the whole run may spend, dollars.")
    minutes: Minutes | None = Field(
        default=None, description="How long the trials of the whole run may take."
    )
    concurrency: Count | None = Field(
        default=None, le=100_000, description="Trials at the same time."
    )
    baselines: bool = Field(
        default=True, strict=True, description="Whether the null and the reference agent run."
    )
    gates: tuple[AnyGate, ...] = Field(
        default=(), description="Asked of runs in this lane, besides those of the suite."
    )

    def selected(self, suite: Suite) -> tuple[str, ...]:
        """The ids of the cases that it runs; () for all. Raises UsageError for a tag or a case that
        is none, and when no case has both."""
        if not self.tags and not self.cases:
            return ()
        found = tuple(case.id for case in suite.select(tags=self.tags, cases=self.cases).cases)
        if not found:
            raise UsageError(
                f"no case has a tag of {', '.join(self.tags)} and is one of {', '.join(self.cases)}"
            )
        return found


Lanes = dict[LaneName, LaneSettings]
Changes = dict[str, Any]


class Asked(Protocol):
    """What a run is asked for beside its lane; None, or nothing, takes what the lane says."""

    @property
    def repeats(self) -> int | None: ...
    @property
    def auto(self) -> bool: ...
    @property
    def only(self) -> tuple[str, ...]: ...
    @property
    def scenarios(self) -> tuple[str, ...]: ...
    @property
    def concurrency(self) -> int | None: ...
    @property
    def baselines(self) -> bool | None: ...
    @property
    def usd(self) -> float | None: ...
    @property
    def minutes(self) -> float | None: ...


def unmet(lane: LaneSettings, suite: Suite) -> Iterator[tuple[str, str]]:
    """What a lane names in vain: (its key, what is wrong) each."""
    for key in ("tags", "cases"):
        try:
            suite.select(**{key: getattr(lane, key)})
        except UsageError as error:
            yield key, str(error)
    try:
        chosen_scenarios(suite.scenarios, lane.scenarios)
    except UsageError as error:
        yield "scenarios", str(error)


def lane_of(lanes: Mapping[str, LaneSettings], name: str) -> LaneSettings:
    """The lane of this name. Raises UsageError."""
    if name not in lanes:
        from proofrig.suites.suite import near  # which is written in terms of this file

        raise UsageError(f"there is no lane {name!r}; {near(name, lanes)}")
    return lanes[name]


def options_in(lane: LaneSettings, suite: Suite, asked: Asked) -> Changes:
    """What becomes of the options of a run in a lane: the fields that change. Raises UsageError for
    what the lane names in vain."""
    repeats = lane.repeats if asked.repeats is None and not asked.auto else None
    changes: Changes = {
        "auto": asked.auto or repeats == AUTO,
        "repeats": asked.repeats if repeats in (None, AUTO) else repeats,
        "only": asked.only or lane.selected(suite),
        "concurrency": asked.concurrency or lane.concurrency,
        "baselines": lane.baselines if asked.baselines is None else asked.baselines,
        "usd": lane.usd if asked.usd is None else asked.usd,
        "minutes": lane.minutes if asked.minutes is None else asked.minutes,
    }
    if lane.scenarios and not asked.scenarios:
        changes |= {"scenarios": lane.scenarios, "plain": lane.repeats is not None}
    return changes
