"""`expect` of a case: what its agent does when faults strike, and what comes of it in one trial.

Rules:
1. Where a fault struck, `outcome` says what the case's own verifiers mean: under `completes` all of
   them must pass; under `fails_cleanly` they need not, and do not count; under `either` they do not
   count where the agent failed cleanly.
2. Where none of the faults struck, the case is judged as any other: its verifiers count, and what
   is expected under faults is not measured. For `completes` nothing is missing then, so the trial
   stands; else the trial is not measured, and its class is `unfired`.
3. Baselines meet no faults, and are judged by the verifiers alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field, model_validator

from proofrig.verifiers.expectations.acts_once import acts_once
from proofrig.verifiers.expectations.attempts import max_attempts, retry_budget
from proofrig.verifiers.expectations.no_partial import no_partial
from proofrig.verifiers.expectations.outcome import SAYS, Outcome, Tried, completed, outcome_of
from proofrig.verifiers.expectations.recovers import recovers
from proofrig.verifiers.expectations.struck import Hits, unfired
from proofrig.verifiers.verifier import Evidence, Pattern, Verdict

Glob = Annotated[str, Field(min_length=1)]


class Expect(BaseModel):
    """What is expected of the agent under faults. What is left out is not asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    outcome: Outcome | None = Field(
        default=None,
        description="`completes`: the verifiers pass all the same. `fails_cleanly`: they need not; "
        "the agent ends by itself and tells the user. `either`: one of the two.",
    )
    says: Pattern = Field(
        default=SAYS,
        description="Regular expression that an answer matches when it tells of a failure; "
        "default: usual words of failure.",
    )
    max_attempts: int | None = Field(
        default=None, ge=1, strict=True, description="At one request, the first one included."
    )
    retry_budget: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="Retries per request of the trial."
    )
    acts_once: tuple[Glob, ...] = Field(
        default=(),
        description="Tools, `*` as in file names: of equal calls at most one is carried out.",
    )
    no_partial: bool = Field(
        default=False,
        strict=True,
        description="What came incomplete is not presented as complete.",
    )
    recovers_s: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Seconds after the last fault until the same kind of action goes well.",
    )
    faults: tuple[str, ...] = Field(
        default=(), description="Names of the faults this is about; default: whichever struck."
    )

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not self.asked:
            raise ValueError(
                "expected at least one of outcome, max_attempts, retry_budget, acts_once, "
                "no_partial, recovers_s"
            )
        return self

    @property
    def asked(self) -> list[str]:
        """The names of what is asked, as its verdicts have them."""
        given = {
            self.outcome or "": self.outcome is not None,
            "max_attempts": self.max_attempts is not None,
            "retry_budget": self.retry_budget is not None,
            "acts_once": bool(self.acts_once),
            "no_partial": self.no_partial,
            "recovers": self.recovers_s is not None,
        }
        return [name for name, asks in given.items() if asks]

    def over(self, base: Expect | None) -> Expect:
        """This one, with `base` where it says nothing."""
        if base is None:
            return self
        return base.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})


class Judged(msgspec.Struct, frozen=True):
    """What counts of a trial. unfired: it passed so far, but something was expected that no fault
    struck to show."""

    verdicts: list[Verdict]
    unfired: bool = False


def judged(
    expect: Expect | None, own: Sequence[Verdict], evidence: Evidence, tried: Tried
) -> Judged:
    """The verdicts that count: of the case's own verifiers, and of what it expects."""
    if expect is None:
        return Judged([*own])
    hits = Hits.of(evidence, expect.faults)
    if not hits.struck:
        missing = [name for name in expect.asked if name != "completes"]
        passed = all(one.passed for one in own)
        told = [unfired(name, expect.faults) for name in missing]
        return Judged([*own, *told], passed and bool(missing))
    verdicts = [*own]
    if expect.outcome is not None:
        if expect.outcome != "completes" and not completed(own, tried):
            verdicts = []
        verdicts.append(outcome_of(expect.outcome, hits, own, tried, expect.says))
    return Judged([*verdicts, *_further(expect, hits)])


def _further(expect: Expect, hits: Hits) -> list[Verdict]:
    found: list[Verdict] = []
    if expect.max_attempts is not None:
        found.append(max_attempts(expect.max_attempts, hits))
    if expect.retry_budget is not None:
        found.append(retry_budget(expect.retry_budget, hits))
    if expect.acts_once:
        found.append(acts_once(expect.acts_once, hits))
    if expect.no_partial:
        found.append(no_partial(hits))
    if expect.recovers_s is not None:
        found.append(recovers(expect.recovers_s, hits))
    return found
