"""How long a run with adaptive repeats goes on, and at which level it may speak when it stops.

    repeats of each case   1 ── look ── 2 ── look ── 4 ── look ── 8
                                 ╰── settled: what the run is held to is decided

Rules:
1. Looks are agreed on before the run. All of them together raise false alarms in no more than
   `alpha` of runs in which nothing changed (group sequential design with spending after O'Brien &
   Fleming): each look has a level of its own, and the comparison that ends the run is made at the
   level of its look. "Regressed" and "no worse" are different errors, and have an alpha each.
2. A run that its budget ended between two looks may spend at its end whatever is left of alpha:
   where it ended was not chosen by what it showed. Where a gate ended it, it was: then it may spend
   what was due by then.
3. A gate on the pass rate is settled when the trials that are still to come cannot change its
   answer, or when a confidence sequence of whole rounds excludes its bound. Any other gate is
   settled only by having failed for good; and it asks for more repeats only where it measures
   something in them.
4. One gate that has failed for good, or a regression, settles the run. Else all must be settled.
5. What settles a run is what its end will say: looks and end compare the same way (`held_against`),
   the plain plan alone; a gate has passed only where it would be judged so by now, and one that
   has failed for good has failed, whatever its interval or what was cut leaves open (`kept`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from proofrig.comparisons.bounds import meets
from proofrig.comparisons.comparable import refusal
from proofrig.comparisons.comparison import Comparison, Terms
from proofrig.comparisons.gate import Gate, GateResult, State, judge_gates, must_abort
from proofrig.comparisons.readings import Reading, asked, readings_of
from proofrig.comparisons.sample import Sample
from proofrig.results import Row, Summary
from proofrig.thresholds import Op, Threshold

MOST = 8  # repeats, where the suite does not say
SAME = 1e-4  # looks nearer to each other, in fractions of the information, are one

Whole = tuple[int, int]  # trials measured and passed, of whole rounds
Answer = Literal["pass", "fail", ""]


def looks_of(most: int) -> list[int]:
    """The repeats per case at which a run with at most so many looks: 1, 2, 4, ... `most`."""
    return [*(2**n for n in range(most.bit_length()) if 2**n < most), most]


def levels(
    base: float,
    looks: Sequence[int],
    alpha: float,
    ended: float | None = None,
    *,
    chosen: bool = False,
) -> list[float]:
    """The one-sided level of each look. base: repeats per case of what the run is held against;
    looks: the planned ones, repeats per case. ended: the repeats per case at which the run ended
    off its plan; then those of the looks before, and of that end. chosen: it ended there because of
    what it had shown.

    k repeats against k0 cached ones are worth k0 k / (k0 + k), of which the last look has all
    (Jennison & Turnbull 2000, section 3; Lan & DeMets 1983 for an end that was not planned)."""
    from proofrig.stats.sequential import boundaries, obrien_fleming_spending

    full = _information(base, looks[-1])
    last = full if ended is None else min(full, _information(base, ended))
    told = [_information(base, look) for look in looks]
    before = [one for one in told if one < last - SAME * full]

    def spent(time: float, alpha: float) -> float:
        at_the_end = time > 1 - SAME / 2 and not chosen
        return alpha if at_the_end else obrien_fleming_spending(time * last / full, alpha)

    return boundaries([*(one / last for one in before), 1.0], alpha, spent)


def final_alpha(
    alpha: float,
    base: float,
    looks: Sequence[int],
    *,
    look: int = 0,
    ended: float = 0.0,
    chosen: bool = False,
) -> float:
    """The level at which a run that is over may be compared. look: at which one it was settled,
    from 1; 0 when it went to its end, with so many measured trials per case (`ended`). chosen: it
    ended because of what it had shown."""
    if base <= 0 or not looks or (not look and ended <= 0):
        return alpha
    if look:
        return levels(base, looks, alpha)[look - 1]
    return levels(base, looks, alpha, ended, chosen=chosen)[-1]


def held_against(
    base: Sample,
    now: Sample,
    terms: Terms,
    looks: Sequence[int] = (),
    *,
    look: int = 0,
    chosen: bool = False,
) -> Comparison:
    """A run held against its baseline, at the level that its looks leave it: at a look (from 1), or
    at its end; chosen: it ended because of what it had shown. With looks, of the plain plan alone:
    its scenarios come after them. Unreliable where the two should not be compared."""
    scenes = any(trial.scenario for one in (base, now) for trial in one.trials)
    base, now = _alike(base, now, looks)
    if no := refusal(base, now):
        return Comparison(
            run=now.runs[-1], base=base.runs[-1], verdict="unreliable", says=no, terms=terms
        )
    from proofrig.comparisons.comparing import compare  # loads numpy

    repeats = repeats_of(base)
    alpha = final_alpha(
        terms.alpha, repeats, looks, look=look, ended=repeats_of(now), chosen=chosen
    )
    found = compare(base, now, msgspec.structs.replace(terms, alpha=alpha))
    if looks and scenes:
        found.why.append(
            "of the plain plan alone: with adaptive repeats scenarios are not compared"
        )
    return found


def _for_good(failed: GateResult) -> str:
    return f"{failed.rule} has failed for good: {failed.message}"


def kept(result: GateResult, whys: Iterable[str]) -> GateResult:
    """What a gate says at the end of a run that ended early for these reasons: a fail for good is a
    fail, though what was cut may leave it open. A gate that passes by now, judged anew, passes."""
    if result.state == "pass":
        return result
    begin = _for_good(msgspec.structs.replace(result, message=""))
    for why in whys:
        if why.startswith(begin):
            message = result.message if result.state == "fail" else why.removeprefix(begin)
            return msgspec.structs.replace(result, state="fail", message=message, abort=True)
    return result


def _alike(base: Sample, now: Sample, looks: Sequence[int]) -> tuple[Sample, Sample]:
    """What of two samples is compared: with looks, the plain plan alone."""
    if not looks:
        return base, now
    plain = ([trial for trial in one.trials if not trial.scenario] for one in (base, now))
    replace = msgspec.structs.replace
    return replace(base, trials=next(plain)), replace(now, trials=next(plain))


def repeats_of(sample: Sample) -> float:
    """Measured trials per case of the plain plan, in the mean."""
    counts = Counter(
        trial.case for trial in sample.trials if trial.passed is not None and not trial.scenario
    )
    return counts.total() / len(counts) if counts else 0.0


def whole_rounds(rows: Iterable[Row], cases: int) -> Whole | None:
    """The measured and passed trials of the plain plan's rounds that are whole: each of so many
    cases has come to an end in them. None before the first."""
    rounds: dict[int, list[Row]] = {}
    for row in rows:
        if row.role == "subject" and not row.scenario:
            rounds.setdefault(row.repeat, []).append(row)
    whole: list[Row] = []
    number = 1
    while len(rounds.get(number, ())) >= cases:
        whole += rounds[number]
        number += 1
    if not whole:
        return None
    measured = [row for row in whole if row.passed is not None]
    return len(measured), sum(1 for row in measured if row.passed)


def rate_settled(
    op: Op, bound: float, whole: Whole | None, reach: tuple[float, float] | None, alpha: float
) -> Answer:
    """What a gate on a pass rate says for good; "" when that is still open. reach: from where to
    where the rate can still come; None where that is not to count."""
    ends = []
    if reach is not None:
        ends = [meets(op, end, bound) for end in reach]
        if ends[0] == ends[1] and op not in ("==", "!="):
            return "pass" if ends[0] else "fail"
    if whole is None or not whole[0] or op in ("==", "!="):
        return ""
    from proofrig.stats.sequential import confidence_sequence

    sure = confidence_sequence(whole[1], whole[0], alpha)
    ends = [meets(op, end, bound) for end in (sure.low, sure.high)]
    return "" if ends[0] != ends[1] else "pass" if ends[0] else "fail"


def rate_gate(percent: float) -> Gate:
    """The pass rate must be at least so many percent, as `--fail-under` asks."""
    text = f"pass rate >= {percent:g} %"
    threshold = Threshold(text=text, figure="accuracy", op=">=", offset=percent / 100, unit="%")
    return Gate(rule=text, threshold=threshold)


def _information(base: float, repeats: float) -> float:
    return base * repeats / (base + repeats)


class SoFar(msgspec.Struct, frozen=True):
    """A run as far as its history goes."""

    summary: Summary
    rows: list[Row]
    sample: Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a run is to decide. gates: those that are asked of it; base: what it is held against,
    None for nothing, or while there is nothing yet; cases: how many its plan has; planned: trials
    of the agent at most, by scenario, "" for all of them; looks: repeats per case, none where its
    repeats are not adaptive."""

    gates: Sequence[Gate] = ()
    base: Sample | None = None
    terms: Terms = field(default_factory=Terms)
    cases: int = 0
    planned: dict[str, int]
    looks: Sequence[int] = ()

    def settled(self, so_far: SoFar, look: int) -> str:
        """Why no more repeats are needed after a look (its number from 1); "" to go on."""
        for gate in self.gates:
            if failed := self.failed(gate, so_far):
                return _for_good(failed)
        compared = self._compared(so_far, look)
        if compared is not None and compared.verdict == "regressed":
            return f"regressed: {compared.says}"
        if compared is not None and not self._is_answered(compared, so_far):
            return ""
        asking = [gate for gate in self.gates if self._asks_for_repeats(gate, so_far)]
        if not all(self._passed(gate, so_far, compared) for gate in asking):
            return ""
        decided = [] if compared is None else [f"{compared.verdict}: {compared.says}"]
        decided += [f"{gate.rule} is settled" for gate in asking if gate.threshold is not None]
        return "; ".join(decided)

    def aborted(self, so_far: SoFar, elapsed_s: float) -> str:
        """The gate that ends the run because it has failed for good, and why; "" where none does,
        `elapsed_s` after the run's begin."""
        for gate in self.gates:
            if gate.abort and elapsed_s >= gate.after_s and (failed := self.failed(gate, so_far)):
                return _for_good(failed)
        return ""

    def failed(self, gate: Gate, so_far: SoFar) -> GateResult | None:
        """The fail of a gate, once no trial to come can change it."""
        return must_abort(
            msgspec.structs.replace(gate, abort=True),
            so_far.summary,
            self.planned.get(gate.scenario, 0),
            rounds=whole_rounds(so_far.rows, self.cases),
            baseline=self._figures(),
        )

    def _figures(self) -> dict[str, dict[str, float]]:
        return {} if self.base is None else self.base.measures

    def _compared(self, so_far: SoFar, look: int) -> Comparison | None:
        """The run held against its baseline, at the level of the look."""
        if self.base is None:
            return None
        return held_against(self.base, so_far.sample, self.terms, self.looks, look=look)

    def _is_answered(self, compared: Comparison, so_far: SoFar) -> bool:
        """Whether more repeats would leave the comparison's verdict as it is, which is no fall."""
        assert self.base is not None
        if compared.verdict in ("no worse", "improved"):
            return True
        return refusal(*_alike(self.base, so_far.sample, self.looks)) is not None

    def _state(self, gate: Gate, so_far: SoFar, compared: Comparison | None = None) -> State:
        """What a gate says of the run so far."""
        summary, figures = so_far.summary, self._figures()
        [result] = judge_gates([gate], summary, baseline=figures, comparison=compared)
        return result.state

    def _asks_for_repeats(self, gate: Gate, so_far: SoFar) -> bool:
        """Whether more repeats of the plan tell more about a gate."""
        if gate.scenario:
            return False
        if gate.threshold is None:
            return self.base is not None
        return any(one.value is not None for one in _readings(gate, so_far.summary))

    def _passed(self, gate: Gate, so_far: SoFar, compared: Comparison | None) -> bool:
        """Whether a gate has passed for good."""
        threshold = gate.threshold
        if threshold is None:
            effects = [] if compared is None else compared.effects
            own = [effect for effect in effects if effect.metric == gate.regression]
            return all(effect.verdict in ("no worse", "improved") for effect in own)
        if threshold.figure != "accuracy":
            return False
        bound = threshold.offset
        if threshold.needs_baseline:
            figure = self._figures().get("", {}).get("accuracy")
            if figure is None:
                return True  # there is nothing to hold it against, however often it is run
            bound += threshold.scale * figure
        whole = whole_rounds(so_far.rows, self.cases)
        [reading] = _readings(gate, so_far.summary)
        further = self.planned.get("", 0) - so_far.summary.overall.trials
        reach = None if gate.sure else reading.reach(max(0, further))
        if self._state(gate, so_far) != "pass":
            return False
        return rate_settled(threshold.op, bound, whole, reach, self.terms.alpha) == "pass"


def _readings(gate: Gate, summary: Summary) -> list[Reading]:
    assert gate.threshold is not None
    readings = readings_of(summary)
    return asked(readings, gate.threshold.asks, gate.threshold.figure, gate.scenario)
