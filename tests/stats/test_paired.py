"""Paired tests are exact: against enumeration, known answers, and the coverage they claim."""

from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction

import numpy as np
import pytest

from proofrig.stats.paired import (
    clustered_difference,
    cmh,
    fixed_difference,
    mcnemar,
    paired_t,
    sign_flip,
    stratified_exact,
)

Suite = list[tuple[int, int]]


def enumerated(base: Suite, now: Suite, gamma: float) -> dict[float, Fraction]:
    """The statistic's distribution given the totals, in fractions, one case after another."""
    chances = {0: Fraction(1)}
    for (b, x), (n, y) in zip(base, now, strict=True):
        if not b or not n:
            continue
        total, passed = b + n, x + y
        rate = (passed + 0.5) / (total + 1)
        weight = round(8 * (1 - rate) ** -gamma) if gamma else 1
        after: dict[int, Fraction] = {}
        for mine in range(max(0, passed - b), min(n, passed) + 1):
            ways = math.comb(n, mine) * math.comb(b, passed - mine)
            chance = Fraction(ways, math.comb(total, passed))
            for value, known in chances.items():
                key = value + weight * mine
                after[key] = after.get(key, Fraction(0)) + known * chance
        chances = after
    return chances


def random_suite(dice: random.Random, cases: int, most: int) -> tuple[Suite, Suite]:
    arms: tuple[Suite, Suite] = ([], [])
    for _ in range(cases):
        rate = dice.betavariate(1.6, 0.6)
        for arm in arms:
            n = dice.randint(0, most)
            arm.append((n, sum(dice.random() < rate for _ in range(n))))
    return arms


@pytest.mark.parametrize("gamma", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_the_stratified_test_is_what_enumeration_finds(seed: int, gamma: float) -> None:
    base, now = random_suite(random.Random(seed), cases=7, most=5)
    chances = enumerated(base, now, gamma)
    for alternative in ("less", "greater"):
        found = stratified_exact(base, now, gamma=gamma, alternative=alternative)
        sign = 1 if alternative == "less" else -1
        beyond = sum(p for v, p in chances.items() if sign * v < sign * found.statistic)
        at = chances[int(found.statistic)]
        assert found.p == pytest.approx(float(beyond + at), rel=1e-9)
        assert found.mid_p == pytest.approx(float(beyond + at / 2), rel=1e-9)


@pytest.mark.parametrize(("before", "after", "gamma"), [(8, 1, 0.0), (8, 2, 0.25), (7, 0, 0.25)])
def test_the_far_tail_keeps_its_digits(before: int, after: int, gamma: float) -> None:
    base, now = [(8, before)] * 30 + [(6, 5)] * 5, [(8, after)] * 30 + [(4, 1)] * 5
    chances = enumerated(base, now, gamma)
    found = stratified_exact(base, now, gamma=gamma)
    expected = float(sum(p for v, p in chances.items() if v <= found.statistic))
    assert 0 < expected < 1e-40
    assert found.p == pytest.approx(expected, rel=1e-9)


def test_a_large_suite_is_what_enumeration_finds() -> None:
    base, now = random_suite(random.Random(5), cases=80, most=6)
    found = stratified_exact(base, now, gamma=0.25)
    chances = enumerated(base, now, 0.25)
    assert found.p == pytest.approx(
        float(sum(p for v, p in chances.items() if v <= found.statistic)), rel=1e-9
    )


@pytest.mark.parametrize(("b", "c"), [(9, 2), (0, 0), (5, 5), (30, 12), (0, 6)])
def test_at_one_trial_each_it_is_mcnemar(b: int, c: int) -> None:
    base = [(1, 1)] * (b + 7) + [(1, 0)] * (c + 3)
    now = [(1, 0)] * b + [(1, 1)] * (7 + c) + [(1, 0)] * 3
    for alternative in ("less", "greater", "two-sided"):
        one, other = (
            mcnemar(b, c, alternative),
            stratified_exact(base, now, alternative=alternative),
        )
        assert (one.p, one.mid_p) == pytest.approx((other.p, other.mid_p))
    expected = sum(math.comb(b + c, i) for i in range(c + 1)) / 2 ** (b + c)
    assert mcnemar(b, c).p == pytest.approx(expected)


@pytest.mark.parametrize("passed", [0, 4])
@pytest.mark.parametrize("gamma", [0.0, 0.25])
def test_where_every_trial_agrees_nothing_is_said(passed: int, gamma: float) -> None:
    found = stratified_exact([(4, passed)] * 10, [(4, passed)] * 10, gamma=gamma)
    assert (found.p, found.mid_p) == (1.0, 0.5)
    assert stratified_exact([(4, 4)], [(0, 0)]).p == 1.0


def test_a_case_that_one_arm_did_not_measure_changes_nothing() -> None:
    base, now = [(4, 4), (4, 3)], [(4, 1), (2, 1)]
    more = stratified_exact([*base, (0, 0), (8, 8)], [*now, (8, 1), (0, 0)])
    assert more == stratified_exact(base, now)
    assert fixed_difference([*base, (0, 0)], [*now, (8, 1)]) == fixed_difference(base, now)


def test_a_weight_favours_cases_that_nearly_always_pass() -> None:
    """Breakage in cases that always passed, beside noise in cases that fail half the time."""
    base = [(8, 8)] * 10 + [(8, 4)] * 20
    now = [(8, 6)] * 3 + [(8, 8)] * 7 + [(8, 5)] * 10 + [(8, 3)] * 10
    assert stratified_exact(base, now, gamma=0.5).p < stratified_exact(base, now).p


@pytest.mark.parametrize(
    ("base", "now", "message"),
    [
        ([], [], "at least one"),
        ([(1, 1)], [(1, 1), (1, 1)], "got 1 of base and 2 of now"),
        ([(2, 3)], [(1, 1)], r"got \(2, 3\) for case 0 of base"),
        ([(2, 2)], [(1, -1)], r"got \(1, -1\) for case 0 of now"),
    ],
)
def test_impossible_counts_are_refused(base: Suite, now: Suite, message: str) -> None:
    for function in (stratified_exact, cmh, fixed_difference):
        with pytest.raises(ValueError, match=message):
            function(base, now)


def test_other_input_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="expected less, greater or two-sided, got 'worse'"):
        mcnemar(1, 2, "worse")
    with pytest.raises(ValueError, match="expected less, greater or two-sided"):
        paired_t([1, 2], [1, 3], alternative="worse")
    with pytest.raises(ValueError, match="gamma of 0 or more, got -1"):
        stratified_exact([(1, 1)], [(1, 0)], gamma=-1)
    with pytest.raises(ValueError, match="0 or more, got b=-1"):
        mcnemar(-1, 2)
    with pytest.raises(ValueError, match="at least one difference"):
        sign_flip([])
    with pytest.raises(ValueError, match="two cases or more, got 1"):
        clustered_difference([0.5])
    with pytest.raises(ValueError, match="measured in both arms"):
        fixed_difference([(4, 4), (0, 0)], [(0, 0), (4, 4)])


def flips(differences: list[float]) -> list[float]:
    signs = itertools.product((1, -1), repeat=len(differences))
    return [math.fsum(s * d for s, d in zip(row, differences, strict=True)) for row in signs]


@pytest.mark.parametrize(
    "differences",
    [
        pytest.param([-0.25, 0, -0.5, 0.25, -0.25, 0.125, -1, 0], id="common-step"),
        pytest.param([1 / 3, -2 / 3, -1 / 3, 0.25, -0.5, -0.75], id="thirds-and-quarters"),
        pytest.param([-0.3712, 0.1234567, -1.41421356, -0.0271828, -2.2360679], id="no-step"),
        pytest.param([-3e-11, 1e-11, -2e-11, -5e-11], id="tiny"),
        pytest.param([0.1 + 0.2 - 0.3, -0.25, -0.5], id="rounding"),
        pytest.param([-40000.0, 25000.0, -70001.0], id="large"),
        pytest.param([-0.5], id="one"),
        pytest.param([0.0, 0.0], id="nothing-moved"),
    ],
)
def test_sign_flips_are_what_enumeration_finds(differences: list[float]) -> None:
    sums, seen = flips(differences), math.fsum(differences)
    near = 1e-9 * sum(map(abs, differences))
    below = sum(s < seen - near for s in sums) / len(sums)
    at = sum(abs(s - seen) <= near for s in sums) / len(sums)
    found = sign_flip(differences)
    assert (found.p, found.mid_p) == pytest.approx((below + at, below + at / 2))
    assert sign_flip(differences, alternative="greater").p == pytest.approx(1 - below)
    assert found.statistic == pytest.approx(seen / len(differences))


def test_many_differences_without_a_step_are_drawn_by_seed() -> None:
    dice = random.Random(1)
    differences = [dice.gauss(-0.2, 1) for _ in range(60)]
    found = sign_flip(differences, draws=4000, seed=3)
    assert found == sign_flip(differences, draws=4000, seed=3)
    assert found != sign_flip(differences, draws=4000, seed=4)
    z = sum(differences) / math.sqrt(sum(d * d for d in differences))
    assert found.p == pytest.approx(0.5 * math.erfc(-z / math.sqrt(2)), abs=0.03)
    assert sign_flip([-abs(d) for d in differences], draws=999).p == 1 / 1000


def test_cmh_says_when_it_has_nothing_to_go_by() -> None:
    found = cmh([(4, 4), (0, 0)], [(4, 4), (4, 2)])
    assert (found.chi2, found.p) == (0.0, 1.0)
    assert math.isnan(found.odds_ratio)


def test_a_t_test_without_scatter() -> None:
    assert paired_t([1, 1], [0.5, 0.5]).p == 0.0
    assert paired_t([1, 1], [1, 1]).t == 0.0
    assert paired_t([1, 1], [1, 1], alternative="two-sided").p == 1.0
    assert paired_t([1, 1], [1.5, 1.5]).p == 1.0


@pytest.mark.parametrize("k", [1, 4])
def test_an_interval_is_not_empty_when_nothing_failed(k: int) -> None:
    found = fixed_difference([(k, k)] * 50, [(k, k)] * 50)
    assert found.estimate == 0
    assert found.high == -found.low
    # As wide as what no failure in so many trials leaves open: about three of them (rule of three).
    assert 2.5 / (50 * k) < found.high < 3.5 / (50 * k)


def test_a_broken_case_is_no_noise() -> None:
    """Within each arm its trials agree, so it makes the interval no wider."""
    base = [(8, 8)] * 20
    whole, broken = fixed_difference(base, base), fixed_difference(base, [(8, 0), *base[1:]])
    assert broken.estimate == pytest.approx(-1 / 20)
    assert broken.high - broken.low == pytest.approx(whole.high - whole.low)


def test_bounds_stay_in_range_and_widen_with_confidence() -> None:
    assert fixed_difference([(1, 1)], [(1, 0)]).low == -1.0
    base, now = [(4, 3)] * 20, [(4, 2)] * 20
    narrow, wide = fixed_difference(base, now, 0.8), fixed_difference(base, now, 0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("drop", [0.0, 0.1])
@pytest.mark.parametrize("repeats", [(1, 1), (4, 4), (8, 1)], ids=str)
@pytest.mark.parametrize("rate", [0.8, 0.95])
def test_the_interval_covers_this_suites_own_difference(
    rate: float, repeats: tuple[int, int], drop: float
) -> None:
    """50 cases of different difficulty; `drop` comes off every case's rate. Seeded."""
    dice = random.Random(f"{rate} {repeats} {drop}")
    hits, rounds = 0, 500
    for _ in range(rounds):
        before = [dice.betavariate(2 * rate, 2 * (1 - rate)) for _ in range(50)]
        after = [max(0.0, p - drop) for p in before]
        arms = [
            [(k, sum(dice.random() < p for _ in range(k))) for p in rates]
            for rates, k in zip((before, after), repeats, strict=True)
        ]
        found = fixed_difference(*arms)
        hits += found.low <= (sum(after) - sum(before)) / 50 <= found.high
    assert hits / rounds >= 0.93


@pytest.mark.parametrize(("cases", "margin"), [(20, 0.05), (20, 0.1), (60, 0.05), (200, 0.02)])
def test_a_few_cases_that_break_for_good_are_in_the_interval_of_a_sample(
    cases: int, margin: float
) -> None:
    """A change breaks a share of cases, others never vary: the interval's low end is above the
    truth in at most 7 % of samples, also where none of them broke."""
    rng = np.random.default_rng(5)
    drawn = rng.binomial(cases, margin, 2000)
    ends = {
        broke: clustered_difference([-1.0] * broke + [0.0] * (cases - broke), 0.9).low
        for broke in set(drawn.tolist())
    }
    assert np.mean([ends[broke] > -margin for broke in drawn.tolist()]) <= 0.07
