"""Which cases broke, and how much of alpha that can spend."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from proofrig.stats.per_case import broken_cases, fisher_less

Suite = list[tuple[int, int]]


@pytest.mark.parametrize(
    ("base", "now", "p"),
    [
        ((8, 8), (8, 0), 1 / math.comb(16, 8)),
        ((20, 19), (4, 1), 0.0076230),
        ((4, 4), (4, 4), 1.0),
        ((4, 0), (4, 0), 1.0),
        ((4, 0), (4, 4), 1.0),
        ((1, 1), (1, 0), 0.5),
        ((0, 0), (4, 0), 1.0),
        ((4, 4), (0, 0), 1.0),
    ],
)
def test_fisher(base: tuple[int, int], now: tuple[int, int], p: float) -> None:
    assert fisher_less(base, now) == pytest.approx(p, rel=1e-4)


def given_totals(base: Suite, now: Suite) -> list[tuple[Suite, Suite, float]]:
    """Every way the cases' totals can fall on the arms, with its chance."""
    per_case = []
    for (b, x), (n, y) in zip(base, now, strict=True):
        total, passed = b + n, x + y
        per_case.append(
            [
                (
                    (b, passed - mine),
                    (n, mine),
                    math.comb(n, mine) * math.comb(b, passed - mine) / math.comb(total, passed),
                )
                for mine in range(max(0, passed - b), min(n, passed) + 1)
            ]
        )
    return [
        ([c[0] for c in combo], [c[1] for c in combo], math.prod(c[2] for c in combo))
        for combo in itertools.product(*per_case)
    ]


SUITES = [
    pytest.param([(5, 5), (5, 4), (5, 3)], [(5, 1), (5, 3), (5, 3)], id="five-each"),
    pytest.param([(12, 11), (8, 8), (3, 2), (1, 1)], [(4, 1), (3, 0), (2, 2), (1, 0)], id="uneven"),
    pytest.param([(1, 1)] * 6, [(1, 0)] * 6, id="single-trials"),
    pytest.param([(20, 20)], [(3, 0)], id="one-case"),
]


@pytest.mark.parametrize("alpha", [0.3, 0.1, 0.05, 0.005])
@pytest.mark.parametrize(("base", "now"), SUITES)
def test_attained_is_what_enumeration_finds(base: Suite, now: Suite, alpha: float) -> None:
    claimed = broken_cases(base, now, alpha).attained
    truth = math.fsum(
        chance for b, n, chance in given_totals(base, now) if any(broken_cases(b, n, alpha).flags)
    )
    assert claimed == pytest.approx(truth, abs=1e-12)
    assert claimed <= alpha


def test_a_broken_case_is_named_among_many() -> None:
    base = [(20, 19)] * 49 + [(20, 20)]
    found = broken_cases(base, [(8, 8)] * 49 + [(8, 0)], 0.005)
    assert found.flags == [False] * 49 + [True]
    assert found.adjusted[-1] <= 0.005
    assert found.p[-1] == fisher_less((20, 20), (8, 0))


def test_cases_that_cannot_be_rejected_burden_nobody() -> None:
    """Cases with one trial each have no p below 1/2: the family is the one case that has."""
    found = broken_cases([(6, 6)] + [(1, 1)] * 100, [(6, 0)] + [(1, 0)] * 100, 0.005)
    assert found.flags == [True] + [False] * 100
    assert found.adjusted == [found.p[0]] + [1.0] * 100


def test_with_single_trials_nothing_can_be_spent() -> None:
    found = broken_cases([(1, 1)] * 30, [(1, 0)] * 30, 0.05)
    assert (found.attained, any(found.flags)) == (0.0, False)


def test_all_pass_and_all_fail_break_nothing() -> None:
    for passed in (0, 8):
        found = broken_cases([(8, passed)] * 5, [(8, passed)] * 5, 0.05)
        assert (found.p, found.attained, any(found.flags)) == ([1.0] * 5, 0.0, False)


def test_false_alarms_stay_below_what_is_attained_on_average() -> None:
    dice = random.Random(8)
    alarms, attained, rounds = 0, 0.0, 2000
    for _ in range(rounds):
        rates = [dice.betavariate(1.6, 0.4) for _ in range(10)]
        arms = [[(6, sum(dice.random() < p for _ in range(6))) for p in rates] for _ in range(2)]
        found = broken_cases(arms[0], arms[1], 0.1)
        alarms += any(found.flags)
        attained += found.attained
    assert attained / rounds <= 0.1
    assert alarms / rounds == pytest.approx(attained / rounds, abs=0.015)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        broken_cases([], [], 0.05)
    with pytest.raises(ValueError, match="alpha between 0 and 1, got 5"):
        broken_cases([(1, 1)], [(1, 1)], 5)
    with pytest.raises(ValueError, match="0 <= passed <= measured"):
        fisher_less((1, 2), (1, 1))
