"""From evidence to verdicts: certain, and large enough; else what it would take."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from proofrig.comparisons.comparison import Better, Terms, Word
from proofrig.comparisons.effects import effects_of, regressed, untested
from proofrig.comparisons.evidence import Change
from proofrig.comparisons.metrics import Measured
from proofrig.stats.intervals import Interval

TERMS = Terms()


def metric(
    base: float,
    now: float,
    *,
    p: float = 0.5,
    spread: float | None = 1.0,
    better: Better = "lower",
    unit: str = "tokens",
    name: str = "tokens",
) -> Change:
    """A metric that went from `base` to `now`; `p`: one-sided, of the side it moved to; `spread`:
    from the middle of its interval to the end, at any confidence."""
    less, more = (p, 1 - p) if now < base else (1 - p, p)
    change = now - base

    def at(confidence: float) -> Interval | None:
        return None if spread is None else Interval(change, change - spread, change + spread)

    return Change(name, unit, better, base, now, less, more, min(1.0, 2 * p), at)


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        (metric(100, 120, p=0.001), "regressed"),
        (metric(100, 120, p=0.2, spread=30), "inconclusive"),
        (metric(100, 104, p=0.001, spread=2), "inconclusive"),  # certain, and too little
        (metric(100, 105, p=0.001, spread=2), "regressed"),  # the least that counts
        (metric(100, 80, p=0.001), "improved"),
        (metric(100, 80, p=0.2, spread=30), "inconclusive"),
        (metric(100, 101, spread=3), "no worse"),
        (metric(100, 101, spread=None), "inconclusive"),
        (metric(0, 0, p=1.0, spread=0), "no worse"),
        (metric(0, 1, p=0.001, spread=0.5), "regressed"),  # there was none, any counts
        (metric(0, 1, p=0.2), "inconclusive"),
        (metric(0.2, 0.1, p=0.001, better="higher", unit="share"), "regressed"),
        (metric(0.2, 0.195, p=0.001, better="higher", unit="share"), "inconclusive"),
        (metric(0.0, 0.0, p=1.0, spread=0.04, unit="share"), "no worse"),
        (metric(0.0, 0.0, p=1.0, spread=0.06, unit="share"), "inconclusive"),
        (metric(100, 200, p=0.001, better=""), "inconclusive"),
    ],
)
def test_verdicts(one: Change, verdict: Word) -> None:
    [effect] = effects_of([one], {}, TERMS)
    assert effect.verdict == verdict
    assert (effect.metric, effect.base, effect.now) == (one.name, one.base, one.now)
    assert effect.blocks is False


def test_what_has_no_better_side_changes_and_never_regresses() -> None:
    [moved] = effects_of([metric(100, 200, p=0.001, better="")], {}, TERMS)
    [still] = effects_of([metric(100, 102, p=0.001, better="")], {}, TERMS)
    assert "neither better nor worse" in moved.says
    assert still.says == ""
    assert not regressed(metric(100, 200, p=0.0, better=""), 0.05, TERMS)


def test_what_is_open_says_what_it_takes() -> None:
    [wide] = effects_of([metric(100, 101, spread=12)], {}, TERMS)
    assert wide.needs == "about 9 times as many repeats would tell"  # (12 / (5 - 1))^2
    [beyond] = effects_of([metric(100, 110, p=0.2, spread=12)], {}, TERMS)
    assert "more repeats" in beyond.needs
    [never] = effects_of([metric(100, 104.9, p=0.4, spread=12)], {}, TERMS)
    assert never.needs == "even 100 times as many repeats would not tell"
    [done] = effects_of([metric(100, 101, spread=1)], {}, TERMS)
    assert done.needs == ""


def test_metrics_that_do_not_block_are_one_family() -> None:
    others = [metric(100, 100.5, p=0.4, name=f"m{n}") for n in range(9)]
    alone, *_ = effects_of([metric(100, 120, p=0.01)], {}, TERMS)
    among, *_ = effects_of([metric(100, 120, p=0.01), *others], {}, TERMS)
    assert (alone.verdict, alone.p_adjusted) == ("regressed", pytest.approx(0.01))
    assert (among.verdict, among.p_adjusted) == ("inconclusive", pytest.approx(0.1))
    assert among.p == 0.01


def test_one_that_blocks_is_held_against_its_own_level_and_least_change() -> None:
    terms = Terms(metrics={"tokens": 0.30})
    others = [metric(100, 100.5, p=0.4, name=f"m{n}") for n in range(9)]
    levels = {"tokens": 0.025}

    def verdict(now: float, p: float, **how: Any) -> tuple[Word, bool]:
        effect, *_ = effects_of([metric(100, now, p=p, **how), *others], levels, terms)
        return effect.verdict, effect.blocks

    assert verdict(140, 0.02) == ("regressed", True)
    assert verdict(140, 0.03, spread=40) == ("inconclusive", True)
    assert verdict(120, 0.001) == ("no worse", True)  # less than asked for
    assert verdict(120, 0.001, spread=15) == ("inconclusive", True)


def test_a_level_that_permutations_cannot_reach_is_said() -> None:
    """An early look of an adaptive run, at 3 in 100,000."""
    one = dataclasses.replace(metric(100, 200, p=0.0005), finest=0.0005)
    terms = Terms(alpha=3e-5, metrics={"tokens": 0.1})
    [at_a_look] = effects_of([one], {"tokens": 3e-5}, terms)
    assert at_a_look.verdict == "inconclusive"
    assert "held against 3e-05" in at_a_look.needs
    [at_the_end] = effects_of([one], {"tokens": 0.05}, Terms(metrics={"tokens": 0.1}))
    assert at_the_end.verdict == "regressed"
    [open_] = effects_of([dataclasses.replace(one, more=0.3)], {"tokens": 3e-5}, terms)
    assert "held against" not in open_.needs


@pytest.mark.parametrize(
    ("now", "p", "level", "found"),
    [(140, 0.02, 0.025, True), (140, 0.03, 0.025, False), (120, 0.001, 0.025, False)],
)
def test_regressed_needs_evidence_and_effect(
    now: float, p: float, level: float, found: bool
) -> None:
    terms = Terms(metrics={"tokens": 0.30})
    assert regressed(metric(100, now, p=p), level, terms) is found


def test_one_figure_for_a_run_is_no_evidence() -> None:
    [one] = untested([Measured("burst:tool_429_rate", "share", "lower", 0.1, 0.9)])
    assert (one.verdict, one.p, one.change) == ("inconclusive", None, None)
    assert (one.base, one.now, one.unit, one.better) == (0.1, 0.9, "share", "lower")
    assert "gate" in one.needs


def test_nothing_infinite_is_told() -> None:
    [one] = effects_of([metric(100, 101, spread=math.inf)], {}, TERMS)
    assert one.change is None
    assert "inf" not in one.needs
    assert one.verdict == "inconclusive"
