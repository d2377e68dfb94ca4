"""Gates: what a run must reach, and what it means when it was not fully measured.

Rules:
1. A gate passes, fails, or is inconclusive; it never passes for want of evidence.
2. Unmeasured trials are neither passes nor fails. When counting them all one way or the other would
   change the answer, the gate is inconclusive and says so.
3. A message has the value, its interval where there is one, and the bound.
4. A run may be ended early only for a fail that is settled, whatever is still to come.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import msgspec

from proofrig.comparisons.bounds import Baseline, Held, hold, is_open, meets
from proofrig.comparisons.comparison import CaseChange, Comparison, Effect, Word
from proofrig.comparisons.readings import Reading, Readings, asked, evidence_of, readings_of
from proofrig.results import Score, Summary
from proofrig.thresholds import Op, Threshold, fitting, shown

State = Literal["pass", "fail", "inconclusive"]

_STATES: dict[bool | None, State] = {True: "pass", False: "fail", None: "inconclusive"}
_OF_VERDICT: dict[Word, State] = {"regressed": "fail", "improved": "pass", "no worse": "pass"}
_SHOWN = 5
# What shares are of where there are no more of them than trials, and shares of something else.
_TRIALS = ("trials", "measured trials", "probes", "controls", "cross tenant trials")
_COUNTED = ("tool_429_rate", "llm_429_rate", "leak_rate", "wrong_tenant_hit_rate", "denied_rate")


class GateResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a gate says. `rule` is the gate as a person would write it. figure: what it is about, by
    its name. value, bound, low, high, baseline: in the figure's base unit, None where not known;
    `low` to `high` is the 95 % interval of the value, of a regression gate that of the change,
    at the confidence of the comparison.
    evidence: short lines for people. abort: it failed for good before the run was over."""

    rule: str
    state: State
    message: str
    figure: str = ""
    value: float | None = None
    bound: float | None = None
    low: float | None = None
    high: float | None = None
    baseline: float | None = None
    scenario: str = ""
    evidence: list[str] = []
    abort: bool = False


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """A gate of a suite, as it is judged: a threshold, or the metric that must not have regressed.
    sure: the 95 % interval must clear the bound. abort: end the run when it has failed for good,
    `after_s` seconds after its begin at the earliest."""

    rule: str
    threshold: Threshold | None = None
    regression: str = ""
    scenario: str = ""
    sure: bool = False
    abort: bool = False
    after_s: float = 0.0


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
        return GateResult(rule, "inconclusive", "no trial was measured", figure="accuracy")
    rate = 100 * score.passed / score.measured
    text = f"{rate:.1f} % ({score.passed} of {score.measured} measured trials)"
    missing = score.trials - score.measured
    worst = 100 * score.passed / score.trials
    best = 100 * (score.passed + missing) / score.trials
    state: State = "pass" if rate >= percent else "fail"
    if missing and (worst >= percent) != (best >= percent):
        unmeasured = f"{missing} of {score.trials} trials were not measured"
        state, text = "inconclusive", f"{text}, but {unmeasured}, enough to decide it"
    return GateResult(
        rule,
        state,
        text,
        figure="accuracy",
        value=rate / 100,
        bound=percent / 100,
        low=score.rate.low if score.rate else None,
        high=score.rate.high if score.rate else None,
    )


def judge_gates(
    gates: Iterable[Gate],
    summary: Summary,
    *,
    baseline: Baseline | None = None,
    comparison: Comparison | None = None,
    lack: str = "",
) -> list[GateResult]:
    """What each gate says of a run. baseline: the figures of what it is held against, by scenario;
    comparison: what holding it against that came to. None of either where there is none, and then
    `lack` says why. What may not be compared is no baseline either."""
    if comparison is not None and comparison.verdict == "unreliable" and not comparison.effects:
        baseline, lack = None, comparison.says
    lack = "" if baseline is not None else lack or "there is no baseline yet to hold it against"
    readings = readings_of(summary)
    found = []
    for gate in gates:
        if gate.threshold is None:
            found.append(_regression(gate, comparison, lack))
        else:
            held = _held(gate, gate.threshold, readings, baseline or {}, lack)
            worst = max(held, key=lambda one: one.badness)
            if comparison is not None and worst.base is not None and comparison.left_out:
                worst.evidence.append(_of_others(comparison.left_out))
            found.append(_result(gate, worst, summary, len(held)))
    return found


def _of_others(left_out: list[str]) -> str:
    """That a figure of the baseline is of other cases than that of the run."""
    more = f" and {len(left_out) - _SHOWN:,} more" if len(left_out) > _SHOWN else ""
    return f"the baseline's figure is of other cases: {'; '.join(left_out[:_SHOWN])}{more}"


def must_abort(
    gate: Gate,
    summary: Summary,
    planned: int,
    *,
    rounds: tuple[int, int] | None = None,
    baseline: Baseline | None = None,
) -> GateResult | None:
    """The fail of a gate that asks to abort, once it is settled; else None.

    summary: of the run so far. planned: trials in all, of the gate's scenario or of the run. It is
    settled when no outcome of the trials still to come can make the gate pass, or, for the accuracy
    of the run, when a confidence sequence excludes the bound: `rounds` are the trials measured and
    passed of the rounds that are whole, each of which ran every case once; None where there are no
    rounds, as in scenarios. When it may abort at the earliest is for the caller to hold.
    """
    if not gate.abort or gate.threshold is None:
        return None
    for held in _held(gate, gate.threshold, readings_of(summary), baseline or {}):
        if held.reading.value is None or held.bound is None:
            continue
        why = "" if gate.sure else _settled(held, held.bound, planned)
        if not why and rounds and held.reading.name == "accuracy" and not held.reading.scenario:
            why = _excluded(gate.threshold.op, held.bound, rounds)
        if why:
            held.met, held.says = False, f"{held.figures()}; settled: {why}"
            return msgspec.structs.replace(_result(gate, held, summary), abort=True)
    return None


def _held(
    gate: Gate, threshold: Threshold, readings: Readings, baseline: Baseline, lack: str = ""
) -> list[Held]:
    """Every reading that the gate is about, against its bound."""
    found = asked(readings, threshold.asks, threshold.figure, gate.scenario)
    return [hold(threshold, reading, baseline, sure=gate.sure, lack=lack) for reading in found]


def _result(gate: Gate, held: Held, summary: Summary, count: int = 1) -> GateResult:
    reading, interval = held.reading, held.interval
    worst = [f"the worst of {count} scenarios"] if count > 1 else []
    return GateResult(
        gate.rule,
        _STATES[held.met],
        held.says,
        figure=reading.name,
        value=reading.value,
        bound=held.bound,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        baseline=held.base,
        scenario=reading.scenario,
        evidence=[*worst, *held.evidence, *evidence_of(reading, summary)],
    )


def _settled(held: Held, bound: float, planned: int) -> str:
    """Why no trial to come can make it pass; "" where one can."""
    op = held.threshold.op
    low, high = _future(held.reading, bound, planned)
    if meets(op, low, bound) or is_open(op, low, high, bound):
        return ""
    if math.isinf(high):
        return "it can only grow" if low == held.reading.value else f"at least {held.shown(low)}"
    ends = [held.shown(end) for end in (low, high)]
    return f"it ends from {ends[0]} to {ends[1]}, whatever the trials to come bring"


def _future(reading: Reading, bound: float, planned: int) -> tuple[float, float]:
    """From where to where the value of the whole run can come."""
    figure, value, n = reading.figure, reading.value or 0.0, reading.n
    if figure is not None and figure.grows:
        return value, math.inf
    if reading.hits is not None and reading.of in _TRIALS:
        return reading.reach(max(0, planned - n - reading.missing))
    if reading.name == "cost_per_pass" or reading.name.endswith("_per_trial"):
        return value * n / max(planned, n), math.inf
    if reading.name in _COUNTED and value > bound == 0:
        return value, math.inf  # what was counted stays counted: it is not 0 again
    return -math.inf, math.inf


def _excluded(op: Op, bound: float, rounds: tuple[int, int]) -> str:
    """Why the rate is certainly not what is asked, at whatever time one looks; "" where it may."""
    from proofrig.stats.sequential import confidence_sequence  # loads numpy

    measured, passed = rounds
    if not measured:
        return ""
    likely = confidence_sequence(passed, measured)
    if meets(op, likely.low, bound) or is_open(op, likely.low, likely.high, bound):
        return ""
    low, high = (shown(end, "%", digits=3) for end in (likely.low, likely.high))
    return (
        f"after whole rounds of {measured:,} trials the rate lies from {low} to {high}, with 95 % "
        "for all looks together"
    )


def _regression(gate: Gate, comparison: Comparison | None, lack: str) -> GateResult:
    """What the comparison says of one metric; without one, why there is none."""
    metric = gate.regression
    if comparison is None:
        return GateResult(gate.rule, "inconclusive", lack, figure=metric)
    effect = next((one for one in comparison.effects if _is(one.metric, metric)), None)
    if effect is None and comparison.verdict == "unreliable":
        return GateResult(gate.rule, "inconclusive", comparison.says, figure=metric)
    if effect is None:
        there = ", ".join(one.metric for one in comparison.effects) or "nothing"
        why = f"the comparison with {comparison.base} has no {metric}; it has {there}"
        return GateResult(gate.rule, "inconclusive", why, figure=metric)
    broken = comparison.broken if metric == "accuracy" else []
    state = "fail" if broken else _OF_VERDICT.get(effect.verdict, "inconclusive")
    evidence = [_case(one, "broken") for one in broken[:_SHOWN]]
    if comparison.verdict == "unreliable":
        state, evidence = "inconclusive", [*comparison.why, *evidence]
    elif metric == "accuracy":
        flips = [one for one in comparison.flips if not one.broken]
        evidence += [_case(one, "changed") for one in flips[:_SHOWN]]
    return GateResult(
        gate.rule,
        state,
        _regressed(effect, comparison),
        figure=metric,
        value=effect.now,
        low=effect.change.low if effect.change else None,
        high=effect.change.high if effect.change else None,
        baseline=effect.base,
        evidence=evidence,
    )


def _is(metric: str, asked: str) -> bool:
    """Whether a metric is the one that was asked for; k of pass^k is what both runs have."""
    return metric == asked or (asked == "pass_hat_k" and metric.startswith("pass_hat_"))


def _regressed(effect: Effect, comparison: Comparison) -> str:
    """The verdict, the two values and the interval of the change; then what it would take to
    decide, or why nothing can be told of it."""
    unreliable = comparison.verdict == "unreliable"
    parts: list[str] = ["unreliable" if unreliable else effect.verdict]
    if effect.says:
        parts.append(effect.says)
    elif effect.now is not None and effect.base is not None:
        now, base = (_amount(value, effect.unit) for value in (effect.now, effect.base))
        change = ""
        if effect.change is not None:
            ends = (effect.change.low, effect.change.high)
            low, high = (_change(end, effect.unit) for end in ends)
            confidence = f"{100 * comparison.terms.confidence:.3g} %"
            change = f" (change at {confidence}: {low} to {high})"
        parts.append(f"{now}, was {base}{change}")
    more = comparison.why[:1] if unreliable else [effect.needs]
    return "; ".join(filter(None, [": ".join(parts), *more]))


def _amount(value: float, unit: str) -> str:
    if math.isinf(value):
        return "unbounded"
    if unit == "usd_micro":
        return shown(value / 1e6, "$", digits=3)
    return shown(value, fitting(unit, value), digits=3)


def _change(value: float, unit: str) -> str:
    """A difference of two values; of two shares in points."""
    return f"{100 * value:+.1f} points" if unit == "share" else _amount(value, unit)


def _case(one: CaseChange, what: str) -> str:
    return (
        f"{what}: {one.case} passed {one.now_passed} of {one.now_measured}, "
        f"was {one.base_passed} of {one.base_measured}"
    )
