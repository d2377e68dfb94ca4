"""What is compared besides the pass rate: each metric's name, unit, better side and reading.

Rules:
1. A metric's facts are those of its figure in `proofrig.figures`. What the catalogue calls a total
   (`cost`, `tokens`, ...) is compared by the trial, under that name; money in micro-dollars.
2. An amount is the mean over cases of its mean over measured trials; a rate is exact counts; a
   quantile is that of all measured trials of the cases in common.
3. What checkers measured is one figure for a run: it has no evidence of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from proofrig.comparisons.comparison import Better
from proofrig.comparisons.sample import Sample, TrialSample
from proofrig.figures import FIGURES, OWN, SCORE, Figure, find
from proofrig.thresholds import figure_of, named


class Amount(msgspec.Struct, frozen=True):
    """What a trial has so much of."""

    name: str
    unit: str
    read: Callable[[TrialSample], float]

    @property
    def better(self) -> Better:
        return FIGURES[self.name].better


class Rate(msgspec.Struct, frozen=True):
    """The share of trials that are `hit`, of all or of the measured ones."""

    name: str
    hit: Callable[[TrialSample], bool]
    measured: bool = True

    @property
    def better(self) -> Better:
        return FIGURES[self.name].better


AMOUNTS = (
    Amount("cost", "usd_micro", lambda trial: trial.usd_micro),
    Amount("tokens", "tokens", lambda trial: trial.tokens),
    Amount("llm_calls", "calls", lambda trial: trial.llm_calls),
    Amount("tool_calls", "calls", lambda trial: trial.tool_calls),
    Amount("retries", "calls", lambda trial: trial.retries),
    Amount("denied", "calls", lambda trial: trial.denied),
)
RATES = (
    Rate("timeout_rate", lambda trial: trial.failure == "timeout"),
    Rate("limit_rate", lambda trial: trial.failure == "limit"),
    Rate("infra_rate", lambda trial: trial.failure in ("infra", "harness"), measured=False),
)
DURATION = "duration"
QUANTILES = (0.5, 0.95)


class Measured(msgspec.Struct, frozen=True):
    """A figure that stands in the samples' measures. `name`: `<scenario>:<figure>` in a scenario;
    `unit` and `better` "" where the catalogue does not have it; None: not measured."""

    name: str
    unit: str
    better: Better
    base: float | None
    now: float | None


def measures(base: Sample, now: Sample) -> Iterator[Measured]:
    """The measures of both that are no sums over a run, and are not compared by the trial."""
    for scenario in sorted(base.measures.keys() & now.measures.keys()):
        before, after = base.measures[scenario], now.measures[scenario]
        for name in sorted(before.keys() | after.keys()):
            figure = figure_named(name)
            if figure is not None and (figure.source == SCORE or figure.total):
                continue
            yield Measured(
                f"{scenario}:{name}" if scenario else name,
                figure.unit if figure else "",
                figure.better if figure else "",
                before.get(name),
                after.get(name),
            )


def figure_named(name: str) -> Figure | None:
    """The figure of the catalogue that a measure's name means, with or without a quantile."""
    if name.startswith(OWN):
        return None
    try:
        return find(figure_of(name)[0])
    except ValueError:
        return None


def duration_metric(q: float) -> str:
    """`p95(duration)`."""
    return named(DURATION, q)
