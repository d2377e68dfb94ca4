"""The rule for pass rates: exact, honest at its level, and it sees both kinds of harm."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from proofrig.stats._hypergeometric import Counts, dealt
from proofrig.stats.decision import (
    CASES_SHARE,
    FINE,
    SAFETY,
    decide,
    evidence,
    fall,
    suite_test,
)
from proofrig.stats.paired import mcnemar, stratified_exact

Arms = tuple[list[Counts], list[Counts]]
SMALL: list[Arms] = [
    ([(2, 2), (2, 1), (3, 3)], [(2, 1), (2, 2), (2, 0)]),
    ([(4, 4), (1, 1), (2, 0)], [(4, 0), (3, 2), (2, 1)]),
    ([(5, 5), (3, 3)], [(2, 0), (3, 1)]),
    ([(2, 2), (0, 0), (2, 1)], [(2, 1), (3, 3), (2, 0)]),
]


def outcomes(base: list[Counts], now: list[Counts]) -> list[tuple[float, int]]:
    """Every way in which the totals can fall on the two arms: its chance and its evidence."""
    cases = []
    for (b, x), (n, y) in zip(base, now, strict=True):
        if b and n:
            chances, steps = dealt(b, n, x + y)[1], evidence(b, n, x + y)
            cases.append(list(zip(chances, steps, strict=True)))
    return [
        (math.prod(chance for chance, _ in deal), sum(step for _, step in deal))
        for deal in itertools.product(*cases)
    ]


@pytest.mark.parametrize(("base", "now"), SMALL)
def test_the_suites_test_is_what_counting_all_outcomes_gives(
    base: list[Counts], now: list[Counts]
) -> None:
    found = suite_test(base, now)
    every = outcomes(base, now)
    above = sum(chance for chance, steps in every if steps > found.statistic)
    here = sum(chance for chance, steps in every if steps == found.statistic)
    assert here > 0
    assert found.p == pytest.approx(above + here, abs=1e-12)
    assert found.mid_p == pytest.approx(above + here / 2, abs=1e-12)


@pytest.mark.parametrize(("base", "now"), SMALL)
def test_its_p_holds_every_level(base: list[Counts], now: list[Counts]) -> None:
    every = outcomes(base, now)
    tails = [(chance, sum(c for c, s in every if s >= steps)) for chance, steps in every]
    for level in {p for _, p in tails}:
        assert sum(chance for chance, p in tails if p <= level) <= level + 1e-12


@pytest.mark.parametrize(("worse", "better"), [(7, 2), (3, 3), (0, 4), (5, 0)])
def test_at_one_trial_each_it_is_mcnemars(worse: int, better: int) -> None:
    base = [(1, 1)] * worse + [(1, 0)] * better + [(1, 1)] * 5 + [(1, 0)]
    now = [(1, 0)] * worse + [(1, 1)] * better + [(1, 1)] * 5 + [(1, 0)]
    assert suite_test(base, now).mid_p == pytest.approx(mcnemar(worse, better).mid_p)


def test_fewer_passes_are_never_less_evidence() -> None:
    for base, now, passed in itertools.product((1, 2, 4, 20), (1, 2, 4, 8), range(1, 12)):
        if passed < base + now:
            steps = evidence(base, now, passed)
            assert list(steps) == sorted(steps, reverse=True)
            assert min(steps) == 0


def test_a_case_that_breaks_says_more_than_as_many_fails_elsewhere() -> None:
    spread = suite_test([(4, 4)] * 8, [(4, 3)] * 4 + [(4, 4)] * 4)
    broken = suite_test([(4, 4)] * 8, [(4, 0)] + [(4, 4)] * 7)
    assert broken.p < spread.p
    assert broken.statistic > FINE


def test_two_arms_alike_are_no_regression() -> None:
    counts = [(4, 3), (4, 4), (4, 0)] * 10
    found = decide(counts, counts)
    assert (found.regressed, found.fell) == (False, 0.0)
    assert found.p == pytest.approx(0.5, abs=0.1)


def test_improvement_is_the_mirror() -> None:
    low, high = [(4, 2)] * 30, [(4, 4)] * 30
    assert decide(high, low).regressed
    assert not decide(low, high).regressed
    assert decide(low, high).fell == pytest.approx(-0.5)


def test_one_broken_case_suffices() -> None:
    base = [(20, 20)] * 60
    found = decide(base, [(6, 0)] + [(6, 6)] * 59)
    assert found.regressed
    assert found.cases.flags == [True] + [False] * 59


def test_a_certain_drop_below_the_least_effect_is_none() -> None:
    base, now = [(400, 400)] * 40, [(400, 397)] * 40
    found = decide(base, now)
    assert found.p < 1e-6
    assert not any(found.cases.flags)
    assert not found.regressed
    assert decide(base, now, min_effect=0.005).regressed


def test_where_no_case_can_be_rejected_the_suite_has_all_of_alpha() -> None:
    found = decide([(1, 1)] * 20, [(1, 0)] * 10 + [(1, 1)] * 10)
    assert found.level == pytest.approx(SAFETY * 0.05)
    wide = decide([(20, 12)] * 20, [(8, 4)] * 20)
    assert 0 < wide.cases.attained <= CASES_SHARE * 0.05
    assert wide.level == pytest.approx(SAFETY * 0.05 - wide.cases.attained)


def test_cases_that_one_arm_did_not_measure_are_passed_over() -> None:
    base, now = [(4, 4), (4, 2), (4, 4)], [(4, 3), (0, 0), (4, 4)]
    assert fall(base, now) == pytest.approx(0.125)
    assert suite_test(base, now) == suite_test([base[0], base[2]], [now[0], now[2]])


@pytest.mark.parametrize(
    ("base", "now"), [([(4, 4)], [(0, 0)]), ([(4, 4)], [(4, 4), (4, 4)]), ([(4, 5)], [(4, 4)])]
)
def test_what_cannot_be_compared_is_refused(base: list[Counts], now: list[Counts]) -> None:
    with pytest.raises(ValueError, match="expected"):
        decide(base, now)


def pairs(
    cases: int, base: int, now: int, rate: float, harm: str, *, replicates: int, seed: int = 7
) -> list[Arms]:
    """Simulated runs of suites whose cases differ: Beta(2 rate, 2 (1 - rate))."""
    chance = np.random.default_rng(seed)
    found = []
    for _ in range(replicates):
        before = chance.beta(2 * rate, 2 * (1 - rate), cases)
        after = before
        if harm == "all":
            after = before * (1 - 0.1 / rate)
        elif harm == "some":
            after = np.where(chance.random(cases) < 0.1 / rate, 0.0, before)
        arms = (
            [(k, int(x)) for x in chance.binomial(k, rates)]
            for k, rates in ((base, before), (now, after))
        )
        found.append(tuple(arms))
    return found  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("cases", "base", "now", "rate"),
    [(20, 4, 4, 0.8), (50, 1, 1, 0.6), (50, 8, 8, 0.95), (20, 20, 2, 0.6), (100, 2, 2, 0.8)],
)
def test_false_alarms_stay_at_the_level(cases: int, base: int, now: int, rate: float) -> None:
    runs = pairs(cases, base, now, rate, "", replicates=1000)
    alarms = sum(decide(*arms).regressed for arms in runs)
    assert alarms / len(runs) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / len(runs))


@pytest.mark.parametrize("harm", ["all", "some"])
@pytest.mark.parametrize(("cases", "repeats", "rate"), [(20, 4, 0.8), (50, 2, 0.8), (20, 8, 0.6)])
def test_it_sees_no_less_than_the_plain_test(
    cases: int, repeats: int, rate: float, harm: str
) -> None:
    runs = pairs(cases, repeats, repeats, rate, harm, replicates=400)
    own = [decide(*arms).regressed for arms in runs]
    plain = [stratified_exact(*arms).mid_p <= 0.05 for arms in runs]
    apart = [int(mine) - int(other) for mine, other in zip(own, plain, strict=True)]
    error = math.sqrt(np.var(apart) / len(apart))
    assert sum(apart) / len(apart) >= -2 * error
    if harm == "some" and repeats > 2:
        assert sum(apart) / len(apart) > 0.05
