"""The evidence for a change of every metric besides the pass rate.

Rules:
1. Every test is within cases, so cases may differ as they like: amounts by permuted labels, rates
   by exact tests given each case's total, a quantile by the share of trials beyond the one of both
   arms together (Mood 1954), pass^k by the signs of the cases' differences.
2. Nothing is decided here: a p for each side, and an interval of the change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import Any

from proofrig.comparisons.comparable import Arms
from proofrig.comparisons.comparison import Better
from proofrig.comparisons.metrics import (
    AMOUNTS,
    DURATION,
    QUANTILES,
    RATES,
    Rate,
    duration_metric,
)
from proofrig.comparisons.sample import TrialSample
from proofrig.figures import FIGURES
from proofrig.stats.decision import suite_test
from proofrig.stats.intervals import Interval
from proofrig.stats.paired import (
    clustered_difference,
    fixed_difference,
    sign_flip,
    stratified_exact,
)
from proofrig.stats.permutation import permute
from proofrig.stats.repeats import over_cases
from proofrig.stats.tails import quantile, quantile_interval

_KS = (64, 32, 16, 8, 4, 2)
DRAWS = 1999  # of labels
_OFTEN = 0.9  # of the cases must have k trials for pass^k to be told

Counts = tuple[int, int]
Pairs = tuple[list[Counts], list[Counts]]


@dataclass(frozen=True, slots=True)
class Change:
    """A metric with its evidence. `less`, `more`: one-sided p that it fell, or rose; `two`: that it
    moved at all. `at`: the interval of the change at a confidence; None where it is not known.
    `finest`: the smallest p that its test can give; 0 where it is exact."""

    name: str
    unit: str
    better: Better
    base: float
    now: float
    less: float
    more: float
    two: float
    at: Callable[[float], Interval | None]
    finest: float = 0.0

    @property
    def worse(self) -> float:
        """The p of a change for the worse; of a metric without a better side that of any change."""
        return {"lower": self.more, "higher": self.less, "": self.two}[self.better]

    @property
    def improved(self) -> float:
        """The p of a change for the better."""
        return {"lower": self.less, "higher": self.more, "": self.two}[self.better]

    @property
    def harm(self) -> float:
        """By how much it is worse, in its unit."""
        return self.base - self.now if self.better == "higher" else self.now - self.base

    def most_harm(self, alpha: float) -> float:
        """The harm that is ruled out at `alpha`, one-sided; infinite where nothing is."""
        interval = self.at(1 - 2 * alpha)
        if interval is None:
            return math.inf
        return -interval.low if self.better == "higher" else interval.high


def changes(arms: Arms) -> list[Change]:
    """Every metric that is compared by the trial, except the pass rate."""
    found = [*_amounts(arms), *_rates(arms)]
    found += [one for one in (_pass_hat(arms),) if one is not None]
    return [*found, *_scenarios(arms)]


def rates_of(arms: Arms, rate: Rate) -> Pairs:
    """(trials, hits) per case of both arms."""

    def count(trials: Sequence[TrialSample]) -> Counts:
        of = [one for one in trials if one.passed is not None] if rate.measured else trials
        return len(of), sum(rate.hit(one) for one in of)

    return [count(trials) for trials in arms.base], [count(trials) for trials in arms.now]


def passes(arms: Arms) -> Pairs:
    """(measured, passed) per case of both arms."""
    return rates_of(arms, Rate("accuracy", lambda trial: trial.passed is True))


def _amounts(arms: Arms) -> Iterator[Change]:
    """Amounts and quantiles of durations: one set of permuted labels for all of them."""
    trials, case, arm = _rows(arms)
    if not trials:
        return
    spreads = [
        sorted(
            float(one.duration_ns)
            for one, is_now in zip(trials, arm, strict=True)
            if is_now == side
        )
        for side in (False, True)
    ]
    together = sorted(spreads[0] + spreads[1])
    marks = [quantile(together, q) for q in QUANTILES]
    values: Any = [
        [*(amount.read(one) for amount in AMOUNTS), *(one.duration_ns >= mark for mark in marks)]
        for one in trials
    ]
    done = permute(values, case, arm, draws=DRAWS)
    for column, amount in enumerate(AMOUNTS):
        base, now = (_mean_of_cases(side, amount.read) for side in _measured(arms))
        se = float(done.se[column])
        yield Change(
            amount.name,
            amount.unit,
            amount.better,
            base,
            now,
            float(done.p_less[column]),
            float(done.p_greater[column]),
            float(done.p_two[column]),
            _normal(now - base, se),
            finest=1 / (DRAWS + 1),
        )
    for column, q in enumerate(QUANTILES, start=len(AMOUNTS)):
        yield Change(
            duration_metric(q),
            "ns",
            FIGURES[DURATION].better,
            quantile(spreads[0], q),
            quantile(spreads[1], q),
            float(done.p_less[column]),
            float(done.p_greater[column]),
            float(done.p_two[column]),
            _between(spreads, q),
            finest=1 / (DRAWS + 1),
        )


def _measured(arms: Arms) -> tuple[list[list[TrialSample]], list[list[TrialSample]]]:
    """The measured trials of the cases that both arms measured."""
    base, now = [], []
    for before, after in zip(arms.base, arms.now, strict=True):
        b = [one for one in before if one.passed is not None]
        n = [one for one in after if one.passed is not None]
        if b and n:
            base.append(b)
            now.append(n)
    return base, now


def _rows(arms: Arms) -> tuple[list[TrialSample], Any, Any]:
    """Those trials in a row, with the number of their case and whether they are now's."""
    trials: list[TrialSample] = []
    case: list[int] = []
    arm: list[bool] = []
    for number, (before, after) in enumerate(zip(*_measured(arms), strict=True)):
        trials += [*before, *after]
        case += [number] * (len(before) + len(after))
        arm += [False] * len(before) + [True] * len(after)
    return trials, case, arm


def _mean_of_cases(
    cases: Iterable[Sequence[TrialSample]], read: Callable[[TrialSample], float]
) -> float:
    return fmean(fmean(read(one) for one in case) for case in cases)


def _normal(effect: float, se: float) -> Callable[[float], Interval | None]:
    def at(confidence: float) -> Interval | None:
        if math.isnan(se):
            return None
        spread = NormalDist().inv_cdf(0.5 + confidence / 2) * se
        return Interval(effect, effect - spread, effect + spread)

    return at


def _between(spreads: Sequence[Sequence[float]], q: float) -> Callable[[float], Interval | None]:
    """The difference of two quantiles, from their own intervals (MOVER, Zou & Donner 2008)."""

    def at(confidence: float) -> Interval | None:
        base, now = (quantile_interval(spread, q, confidence) for spread in spreads)
        change = now.estimate - base.estimate
        low = change - math.hypot(now.estimate - now.low, base.high - base.estimate)
        high = change + math.hypot(now.high - now.estimate, base.estimate - base.low)
        return Interval(change, low, high)

    return at


def _rates(arms: Arms) -> Iterator[Change]:
    for rate in RATES:
        base, now = rates_of(arms, rate)
        if any(b and n for (b, _), (n, _) in zip(base, now, strict=True)):
            yield _rate(rate.name, rate.better, base, now)


def _rate(name: str, better: Better, base: list[Counts], now: list[Counts]) -> Change:
    """A share of counts, tested exactly."""
    both = [(x / b, y / n) for (b, x), (n, y) in zip(base, now, strict=True) if b and n]
    less, more = stratified_exact(base, now).p, stratified_exact(now, base).p
    return Change(
        name,
        "share",
        better,
        fmean(x for x, _ in both),
        fmean(y for _, y in both),
        less,
        more,
        min(1.0, 2 * min(less, more)),
        lambda confidence: fixed_difference(base, now, confidence),
    )


def _pass_hat(arms: Arms) -> Change | None:
    """pass^k at the largest k that nearly all cases have trials for."""
    base, now = passes(arms)
    both = [(b, n) for b, n in zip(base, now, strict=True) if b[0] and n[0]]
    for k in _KS:
        usable = [(b, n) for b, n in both if b[0] >= k and n[0] >= k]
        if len(usable) >= max(2, _OFTEN * len(both)):
            break
    else:
        return None
    values = [(over_cases([b], k)[1], over_cases([n], k)[1]) for b, n in usable]
    differences = [y - x for x, y in values]
    return Change(
        f"pass_hat_{k}",
        "share",
        "higher",
        fmean(x for x, _ in values),
        fmean(y for _, y in values),
        sign_flip(differences).p,
        sign_flip(differences, alternative="greater").p,
        sign_flip(differences, alternative="two-sided").p,
        lambda confidence: clustered_difference(differences, confidence),
    )


def _scenarios(arms: Arms) -> Iterator[Change]:
    """The pass rate of each scenario, where there are several plans."""
    base, now = passes(arms)
    scenes = [arms.scenario(index) for index in range(len(arms.labels))]
    for scene in sorted(set(scenes)):
        mine = [index for index, one in enumerate(scenes) if one == scene]
        before, after = [base[i] for i in mine], [now[i] for i in mine]
        if not scene or not any(b and n for (b, _), (n, _) in zip(before, after, strict=True)):
            continue
        told = _rate(f"{scene}:accuracy", "higher", before, after)
        less, more = suite_test(before, after).mid_p, suite_test(after, before).mid_p
        yield Change(
            told.name,
            told.unit,
            told.better,
            told.base,
            told.now,
            less,
            more,
            min(1.0, 2 * min(less, more)),
            told.at,
        )
