"""A reading held against the bound of a gate: met, not met, or not to be said; and in which words.

Rules:
1. What is not known decides nothing: neither trials that were not measured, where they could turn
   it, nor a bound that has no baseline.
2. A reading that proves nothing good cannot meet a bound; it can miss one.
3. Figures are shown in the unit that the gate is written in, with as many digits as it takes to
   tell value and bound apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from proofrig.comparisons.readings import Reading, counted
from proofrig.stats.intervals import Interval, clopper_pearson, none_seen, wilson
from proofrig.thresholds import Op, Threshold, fitting, shown, written

Baseline = Mapping[str, Mapping[str, float]]  # scenario -> figure -> value

_EXACT = ("leak_rate", "leaking_trials", "probe_leak_rate")  # what must not happen


@dataclass
class Held:
    """A reading against a bound. met: None where it cannot be said; `says` has value, interval and
    bound, and why it cannot. base: the baseline's figure, where the bound rests on one. interval:
    at 95 %, where it is known. evidence: further lines."""

    threshold: Threshold
    reading: Reading
    bound: float | None = None
    base: float | None = None
    interval: Interval | None = None
    met: bool | None = None
    says: str = ""
    evidence: list[str] = field(default_factory=list)

    @property
    def badness(self) -> tuple[int, float, int]:
        """Larger for what is worse: missed, then not to be said, then met; by how far it is off,
        then by how much it was measured over."""
        order = {True: 0, None: 1, False: 2}[self.met]
        if self.reading.value is None:
            return order, 0.0, 0
        beyond = self.reading.value - (self.bound or 0.0)
        if self.threshold.op in (">", ">="):
            beyond = -beyond
        return order, abs(beyond) if self.threshold.op == "==" else beyond, self.reading.n

    def figures(self) -> str:
        """The value, what it is of, its interval, and the bound."""
        reading, interval = self.reading, self.interval
        if reading.value is None:
            return reading.why
        value, against = self._apart(reading.value)
        parts = [_of(reading)] if reading.n else []
        if interval is not None:
            low, high = self.shown(interval.low), self.shown(interval.high)
            parts.append(f"95 %: {low} to {high}" if reading.hits else f"at most {high} at 95 %")
        where = f" in {reading.scenario}" if reading.scenario else ""
        text = value + (f" ({'; '.join(parts)})" if parts else "") + where
        if self.bound is None:
            return text
        if self.base is not None:
            said = written(self.threshold).partition(f" {self.threshold.op} ")[2]
            against += f", {said} of {self._whole(self.base, 3)}"
        return f"{text} against {against}"

    def shown(self, value: float, digits: int = 3) -> str:
        """A value in the unit that the gate is written in."""
        threshold, figure = self.threshold, self.reading.figure
        kind = figure.unit if figure else ""
        as_number = kind == "share" and threshold.offset and not threshold.needs_baseline
        unit = threshold.unit or ("" if as_number else fitting(kind, value))
        return shown(value, unit, digits=digits)

    def _apart(self, value: float) -> tuple[str, str]:
        if self.bound is None:
            return self.shown(value), ""
        for digits in range(3, 12):
            text, against = self.shown(value, digits), self.shown(self.bound, digits)
            if text != against or meets("==", value, self.bound):
                break
        return text, self._whole(self.bound, digits)

    def _whole(self, value: float, digits: int) -> str:
        """With all its digits where there are few more."""
        exact, text = self.shown(value, 0), self.shown(value, digits)
        return exact if len(exact) < len(text) + 3 else text


def _of(reading: Reading) -> str:
    """What a value is of."""
    what = counted(reading.n, reading.of)
    if reading.hits is not None and float(reading.hits).is_integer():
        return f"{reading.hits:,.0f} of {what}"
    spread = reading.figure is not None and reading.figure.quantiles
    return f"of {what}" if spread else f"over {what}"


def hold(
    threshold: Threshold, reading: Reading, baseline: Baseline, *, sure: bool, lack: str = ""
) -> Held:
    """`reading` against the bound of `threshold`. sure: only where its whole 95 % interval lies on
    one side of the bound. lack: why there is no baseline; "" where there is one."""
    base = None
    if threshold.needs_baseline:
        base = baseline.get(reading.scenario, {}).get(reading.name)
    known = base is not None or not threshold.needs_baseline
    held = Held(threshold, reading, threshold.bound(base or 0.0) if known else None, base)
    if reading.value is None:
        held.says = reading.why
        return held
    held.interval = interval_of(reading)
    held.says = held.figures()
    if held.bound is None:
        where = f" in {reading.scenario}" if reading.scenario else ""
        held.says += f", but {lack or f'the baseline has no {reading.name}{where}'}"
        return held
    if base == 0 and not threshold.offset:
        held.evidence.append("the baseline is 0, and so is every multiple of it")
    doubt = _doubt(held, held.bound, sure)
    if doubt:
        held.says += f", {doubt}"
    else:
        held.met = meets(threshold.op, reading.value, held.bound)
    return held


def _doubt(held: Held, bound: float, sure: bool) -> str:
    """Why it cannot be said, as the end of a sentence; "" where it can."""
    reading, op = held.reading, held.threshold.op
    if is_open(op, *reading.reach(), bound):
        unmeasured = f"{reading.missing:,} of {reading.n + reading.missing:,}"
        return f"but {unmeasured} were not measured, enough to decide it"
    met = meets(op, reading.value or 0.0, bound)
    grown = not met and reading.figure is not None and reading.figure.grows
    if reading.void and not grown:
        return f"but {reading.void}"
    if reading.doubt and met:
        return f"but {reading.doubt}"
    if not sure:
        return ""
    if held.interval is None:
        return "and its interval is not known"
    if is_open(op, held.interval.low, held.interval.high, bound):
        held.evidence += _longer(reading, held.interval, bound)
        return "and the interval does not clear the bound"
    return ""


def _longer(reading: Reading, interval: Interval, bound: float) -> Iterator[str]:
    """How many more trials would clear the bound: an interval narrows with their root."""
    off = bound - interval.estimate
    arm = interval.high - interval.estimate if off > 0 else interval.estimate - interval.low
    if off and arm:
        times = (arm / off) ** 2
        more = f"{times:.1f}" if times < 10 else f"{times:,.0f}"
        yield f"about {more} times as many {reading.of} would clear it, if the rate stays"


def meets(op: Op, value: float, bound: float) -> bool:
    """Whether a value meets a bound. Values that differ by no more than rounding are equal."""
    if math.isclose(value, bound, rel_tol=1e-9, abs_tol=1e-12):
        return op in (">=", "<=", "==")
    if op in (">", ">="):
        return value > bound
    return value < bound if op in ("<", "<=") else op == "!="


def is_open(op: Op, low: float, high: float, bound: float) -> bool:
    """Whether some values from `low` to `high` meet the bound and some do not."""
    if op in ("==", "!=") and low < bound < high:
        return True
    return meets(op, low, bound) != meets(op, high, bound)


def interval_of(reading: Reading) -> Interval | None:
    """The 95 % interval of a reading, where it is known. Of a share without any event: what so many
    trials leave room for, one-sided, as there is nothing below."""
    if reading.interval is not None:
        return reading.interval
    if not reading.n or reading.hits is None or not (reading.figure and reading.figure.interval):
        return None
    hits, n = int(reading.hits), reading.n
    if not hits:
        return Interval(0.0, 0.0, none_seen(n))
    return clopper_pearson(hits, n) if reading.name in _EXACT else wilson(hits, n)
