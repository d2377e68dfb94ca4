"""Baselines that stand next to every score: what doing nothing and doing it right come to.

The null agent answers nothing; where it passes, the case's verifiers ask for too little. The
reference agent carries out the case's own reference; where it fails, the case is broken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from proofrig.suites import Planned, Suite

Role = Literal["subject", "null", "reference", "helper"]


def role_of(planned: Planned) -> Role:
    """Which agent runs a planned trial; a helper of a scenario is the subject itself, unscored."""
    if planned.start is not None:
        return planned.start.role
    name = planned.trial.rpartition(":")[2]
    return "null" if name == "null" else "reference" if name == "reference" else "subject"


def baselines(suite: Suite) -> Iterator[Planned]:
    """One null trial per case, and one reference trial where the case has a reference."""
    for planned in suite.plan(repeats=1):
        yield _renamed(planned, "null")
    references = {case.id for case in suite.cases if case.reference is not None}
    for planned in suite.plan(repeats=1):
        if planned.case in references:
            yield _renamed(planned, "reference")


def _renamed(planned: Planned, name: str) -> Planned:
    return Planned(f"{planned.case}:{name}", planned.case, 0, planned.tenant, planned.seed)
