"""What a suite says of the authority over its trials' actions: the policy, and how it is applied.

Rules:
1. The suite's budgets are limits of the policy: `run` of every run, `tenant` of each of the suite's
   tenants, `suite` of the scope `@suite`, in which all actions are booked. Where the policy limits
   the same scope too, the lower amount counts.
2. In a test there is nobody to ask: `approvals` says how a simulated person answers. What nobody
   answers runs out of time, and is denied.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from proofrig.anomalies.settings import Settings as Thresholds
from proofrig.anomalies.settings import Steps
from proofrig.authority.globs import matcher
from proofrig.authority.limits import Budget
from proofrig.authority.rules import PolicySettings, read_policy
from proofrig.suites.budgets import Budgets
from proofrig.suites.case import Settings

SUITE_SCOPE = "@suite"

PositiveInt = Annotated[int, Field(gt=0, strict=True)]


def _rising(counts: tuple[int, int, int]) -> tuple[int, int, int]:
    """Raises ValueError for counts that fall."""
    if list(counts) != sorted(counts):
        raise ValueError(f"expected counts that rise: warn, deny, stop; got {list(counts)}")
    return counts


Counts = Annotated[tuple[PositiveInt, PositiveInt, PositiveInt], AfterValidator(_rising)]

_STEPS = ("repeat", "cycle", "no_progress", "polling", "flood")


class ApprovalSettings(Settings):
    """A simulated person's answer to what asks for approval."""

    rule: str = Field(default="*", description="Glob on the names of the rules that ask.")
    answer: Literal["approve", "refuse"] = "refuse"
    after_s: float = Field(default=0.0, ge=0, le=86_400, description="Seconds until the answer.")
    by: str = Field(default="simulated", min_length=1, description="Who answers.")
    reason: str = Field(default="", description="Why, on refuse; the agent reads it.")


class WatchSettings(Settings):
    """The watch over each run for loops and floods. Three counts: from which one on the model is
    warned, the call denied, the run stopped. What is not named is as preset."""

    repeat: Counts | None = Field(default=None, description="The same call, the same result.")
    cycle: Counts | None = Field(default=None, description="Rounds of two or three calls.")
    no_progress: Counts | None = Field(default=None, description="Calls that brought nothing.")
    polling: Counts | None = Field(
        default=None, description="The same call with another result, or after a wait."
    )
    flood: Counts | None = Field(
        default=None, description="Windows far above the run's own first pace."
    )
    window_s: float | None = Field(
        default=None, gt=0, le=3600, description="Seconds of such a window; preset: 10."
    )
    first: PositiveInt | None = Field(
        default=None, description="How many windows are the run's own pace; preset: 6."
    )
    may_repeat: tuple[str, ...] = Field(
        default=(), description="Globs on the names of actions whose repetition means something."
    )
    calls_per_minute: PositiveInt | None = Field(
        default=None, description="Below this pace nothing is a flood."
    )
    tokens_per_minute: PositiveInt | None = Field(
        default=None, description="Below this pace nothing is a flood."
    )

    def thresholds(self) -> Thresholds:
        """The same as the watch takes them."""
        said = {name: value for name, value in self if value is not None}
        steps = {name: Steps(*said[name]) for name in _STEPS if name in said}
        return Thresholds(**(said | steps))


class AuthoritySettings(Settings):
    """How the authority is applied to the trials."""

    mode: Literal["enforce", "shadow"] = Field(
        default="enforce",
        description="shadow: nothing is denied; what would have been is noted and reported.",
    )
    approvals: tuple[ApprovalSettings, ...] = Field(
        default=(), description="How simulated people answer what asks; the first that fits."
    )
    watch: bool | WatchSettings = Field(
        default=False, description="Watch every run for loops and floods; true: as preset."
    )

    def thresholds(self) -> Thresholds | None:
        """Of the watch; None when nothing is watched."""
        if isinstance(self.watch, WatchSettings):
            return self.watch.thresholds()
        return Thresholds() if self.watch else None


def policy_of(
    written: PolicySettings | str | None, budgets: Budgets, tenants: Iterable[str], directory: Path
) -> PolicySettings | None:
    """The policy with the suite's budgets in it; None where nothing is ruled or limited. Raises
    SuiteError for a file that cannot be read as one."""
    policy = read_policy(directory / written) if isinstance(written, str) else written
    wanted: list[tuple[str, Budget]] = [("*/*/*/*", budgets.run)]
    wanted += [(tenant, budgets.tenant) for tenant in tenants]
    wanted += [(SUITE_SCOPE, budgets.suite)]
    limits = {scope: budget for scope, budget in wanted if budget.amounts()}
    alone = policy is not None and _limits_suite(policy)
    if not limits and not alone:
        return policy
    policy = policy or PolicySettings()
    scopes = dict(policy.scopes)
    if SUITE_SCOPE in limits or alone:
        scopes[SUITE_SCOPE] = ("*",)
    for scope, budget in policy.limits.items():
        limits[scope] = lower(budget, limits[scope]) if scope in limits else budget
    return policy.model_copy(update={"limits": limits, "scopes": scopes})


def _limits_suite(policy: PolicySettings) -> bool:
    """Whether the policy limits the scope of the suite, and does not say what belongs there."""
    if SUITE_SCOPE in policy.scopes:
        return False
    globs = [pattern for pattern in policy.limits if pattern.startswith("@")]
    return bool(globs) and matcher(globs)(SUITE_SCOPE)


def lower(one: Budget, other: Budget) -> Budget:
    """The lower amount of each unit."""
    said = [budget.model_dump(exclude_none=True, by_alias=True) for budget in (one, other)]
    both: dict[str, Any] = said[0] | said[1]
    for unit in said[0].keys() & said[1].keys():
        both[unit] = min(said[0][unit], said[1][unit])
    return Budget.model_validate(both)
