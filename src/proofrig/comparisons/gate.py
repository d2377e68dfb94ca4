"""Gates: what a score must reach, and what it means when it was not fully measured.

Rules:
1. A gate passes, fails, or is inconclusive; it never passes for want of evidence.
2. Unmeasured trials are neither passes nor fails. When counting them all one way or the other would
   change the answer, the gate is inconclusive and says so.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from proofrig.results import Score

State = Literal["pass", "fail", "inconclusive"]


class GateResult(msgspec.Struct, frozen=True):
    """What a gate says. `rule` is the gate as a person would write it."""

    rule: str
    state: State
    message: str


def as_recorded(score: Score) -> GateResult:
    """No trial of a strict replay leaves its recording."""
    rule = "as recorded"
    left = score.failures.get("diverged", 0)
    if left:
        trials = f"{left} of {score.trials} trials asked what the recording does not hold"
        return GateResult(rule, "fail", trials)
    return GateResult(
        rule, "pass", f"no trial asked anything else; {score.passed} of {score.measured} passed"
    )


def fail_under(score: Score, percent: float) -> GateResult:
    """The pass rate must be at least `percent` of the measured trials."""
    rule = f"pass rate >= {percent:g} %"
    if not score.measured:
        return GateResult(rule, "inconclusive", "no trial was measured")
    rate = 100 * score.passed / score.measured
    text = f"{rate:.1f} % ({score.passed} of {score.measured} measured trials)"
    missing = score.trials - score.measured
    worst = 100 * score.passed / score.trials
    best = 100 * (score.passed + missing) / score.trials
    if missing and (worst >= percent) != (best >= percent):
        unmeasured = f"{missing} of {score.trials} trials were not measured"
        return GateResult(rule, "inconclusive", f"{text}, but {unmeasured}, enough to decide it")
    return GateResult(rule, "pass" if rate >= percent else "fail", text)
