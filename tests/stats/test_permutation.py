"""Labels permuted within cases: what enumeration finds, at the level claimed, and profiles."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from proofrig.stats.permutation import permute, profile_shift


def one_case(base: list[float], now: list[float]) -> tuple:
    values = np.array([base + now]).T
    return values, np.zeros(len(values), int), np.arange(len(values)) >= len(base)


def test_it_is_what_enumeration_finds() -> None:
    """Three cases of unequal size: all deals of the labels, counted."""
    cases = [([3.0, 5.0], [9.0, 4.0]), ([1.0], [2.0, 7.0]), ([8.0, 6.0, 2.0], [5.0])]
    effects = [0.0]
    for base, now in cases:
        both = base + now
        own = [
            np.mean([both[i] for i in chosen])
            - np.mean([both[i] for i in range(len(both)) if i not in chosen])
            for chosen in itertools.combinations(range(len(both)), len(now))
        ]
        effects = [total + one / 3 for total in effects for one in own]
    seen = sum(np.mean(now) - np.mean(base) for base, now in cases) / 3
    values = np.array([[v] for base, now in cases for v in base + now])
    case = np.repeat([7, 3, 9], [4, 3, 4])
    arm = np.array([n >= len(base) for base, now in cases for n in range(len(base + now))])
    found = permute(values, case, arm, draws=20000)
    assert found.effect[0] == pytest.approx(seen)
    every = np.array(effects)
    for p, expected in (
        (found.p_less, (every <= seen + 1e-9).mean()),
        (found.p_greater, (every >= seen - 1e-9).mean()),
        (found.p_two, (abs(every) >= abs(seen) - 1e-9).mean()),
    ):
        assert p[0] == pytest.approx(expected, abs=0.015)


def test_metrics_share_the_deals_but_not_the_results() -> None:
    dice = np.random.default_rng(3)
    case, arm = np.repeat(np.arange(30), 8), np.tile(np.arange(8) < 4, 30)
    noise = dice.normal(size=(240, 3))
    values = noise + np.array([0, 1, -1]) * arm[:, None]
    together = permute(values, case, arm, draws=499)
    assert together.p_greater[1] == together.p_less[2] == 1 / 500
    assert together.p_two[0] > 0.05
    assert together.p_greater[2] == 1.0
    for metric in range(3):
        alone = permute(values[:, [metric]], case, arm, draws=499)
        assert alone.p_two[0] == together.p_two[metric]
        assert alone.effect[0] == pytest.approx(together.effect[metric])
    order = dice.permutation(240)
    mixed = permute(values[order], case[order], arm[order], draws=499)
    assert mixed.effect == pytest.approx(together.effect)
    assert mixed.se == pytest.approx(together.se)


def test_the_seed_decides() -> None:
    values, case, arm = one_case([1.0, 4.0, 2.0, 8.0], [5.0, 7.0, 3.0, 9.0])
    one = permute(values, case, arm, draws=200, seed=1)
    assert one.p_two == permute(values, case, arm, draws=200, seed=1).p_two
    assert one.p_two != permute(values, case, arm, draws=200, seed=2).p_two


def test_what_never_changes_says_nothing() -> None:
    values, case, arm = one_case([2.0] * 4, [2.0] * 4)
    found = permute(values, case, arm, draws=99)
    assert (found.effect[0], found.se[0]) == (0.0, 0.0)
    assert (found.p_less[0], found.p_greater[0], found.p_two[0]) == (1.0, 1.0, 1.0)


def test_large_numbers_tie_as_small_ones_do() -> None:
    small, case, arm = one_case([1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0])
    big = permute(small * 1e9 + 7e12, case, arm, draws=300)
    assert big.p_two == permute(small, case, arm, draws=300).p_two == 1.0


def test_a_case_in_one_arm_only_is_left_out() -> None:
    values, case, arm = one_case([1.0, 2.0, 3.0], [4.0, 5.0, 9.0])
    more = permute(
        np.vstack([values, [[100.0]] * 2]), np.append(case, [5, 5]), np.append(arm, [True, True])
    )
    alone = permute(values, case, arm)
    assert more.effect == alone.effect
    assert more.p_greater == alone.p_greater


def test_the_error_is_that_of_the_arms_within_the_cases() -> None:
    values, case, arm = one_case([1.0, 3.0], [10.0, 16.0])
    assert permute(values, case, arm, draws=9).se[0] == pytest.approx((2 / 2 + 18 / 2) ** 0.5)


def test_with_single_trials_the_error_is_the_scatter_of_the_differences() -> None:
    now = np.array([3.0, 1.0, 5.0, 2.0])
    values = np.concatenate([np.ones(4), now])[:, None]
    found = permute(values, np.tile(np.arange(4), 2), np.arange(8) >= 4, draws=9)
    assert found.se[0] == pytest.approx(np.std(now, ddof=1) / 2)
    alone, case, arm = one_case([1.0], [2.0])
    assert np.isnan(permute(alone, case, arm, draws=9).se[0])


def test_false_alarms_are_as_many_as_claimed() -> None:
    dice = np.random.default_rng(11)
    case, arm = np.repeat(np.arange(12), [3, 5] * 6), np.tile([0, 1, 1, 0, 1, 1, 0, 0], 6) > 0
    values = dice.exponential(size=(48, 600)) * dice.exponential(size=(12, 1))[case]
    found = permute(values, case, arm, draws=199)
    assert (found.p_less <= 0.05).mean() == pytest.approx(0.05, abs=0.027)
    assert (found.p_two <= 0.05).mean() == pytest.approx(0.05, abs=0.027)


@pytest.mark.parametrize("function", [permute, profile_shift])
def test_what_cannot_be_is_refused(function) -> None:
    values, case, arm = one_case([1.0, 2.0], [3.0, 4.0])
    with pytest.raises(ValueError, match="a case and an arm for each trial"):
        function(values, case[:2], arm)
    with pytest.raises(ValueError, match="a case and an arm for each trial"):
        function(values[:, 0], case, arm)
    with pytest.raises(ValueError, match="expected finite numbers"):
        function(np.where(values > 3, np.nan, values), case, arm)
    with pytest.raises(ValueError, match="trials in both arms"):
        function(values, case, np.ones(4, bool))
    with pytest.raises(ValueError, match="trials in both arms"):
        function(np.empty((0, 2)), np.empty(0, int), np.empty(0, bool))


def shares(dice: np.random.Generator, weights: list[list[float]]) -> np.ndarray:
    return np.array([dice.multinomial(10, w) / 10 for w in weights])


def test_a_shift_of_profiles_is_found_where_it_is() -> None:
    """Case 4 uses another tool now; the others do what they did."""
    dice = np.random.default_rng(6)
    case, arm = np.repeat([2, 4, 6, 8], 12), np.tile(np.arange(12) >= 6, 4)
    usual, other = [0.5, 0.5, 0.0], [0.1, 0.1, 0.8]
    rows = [other if c == 4 and a else usual for c, a in zip(case, arm, strict=True)]
    found = profile_shift(shares(dice, rows), case, arm, draws=499)
    assert found.cases.tolist() == [2, 4, 6, 8]
    assert found.p < 0.01
    assert found.by_case[1] == pytest.approx(0.8, abs=0.1)
    assert found.by_case.argmax() == (found.by_case - found.chance_by_case).argmax() == 1
    assert found.distance == pytest.approx(found.by_case.mean())
    assert found.distance > found.chance


def test_profiles_that_only_vary_are_no_shift() -> None:
    dice = np.random.default_rng(7)
    case, arm = np.repeat(np.arange(20), 8), np.tile(np.arange(8) >= 4, 20)
    alarms = 0
    for _ in range(60):
        rows = dice.dirichlet([0.5, 0.5, 0.5], size=20)[case]
        found = profile_shift(shares(dice, rows.tolist()), case, arm, draws=99)
        assert found.distance == pytest.approx(found.chance, abs=0.06)
        alarms += found.p <= 0.05
    assert alarms <= 8


def test_the_distance_is_half_of_what_moved() -> None:
    profiles = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    found = profile_shift(profiles, np.array([1, 1, 1, 1]), np.array([0, 0, 1, 1]), draws=99)
    assert found.by_case.tolist() == [0.75]
