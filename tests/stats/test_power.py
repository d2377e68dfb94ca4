"""Power: Miller's closed forms, and what a fixed suite can see, held against the test itself."""

from __future__ import annotations

import numpy as np
import pytest

from proofrig.stats.paired import stratified_exact
from proofrig.stats.power import (
    Suite,
    minimum_detectable_effect,
    repeats_needed,
    required_cases,
    suite_mde,
)
from vectors import vectors

MIXED = [(4, 3)] * 25 + [(4, 4)] * 25


def suite(inputs: dict) -> Suite:
    return Suite(
        omega2=inputs["omega2"],
        sigma2_a=inputs["sigma2_a"],
        sigma2_b=inputs["sigma2_b"],
        k_a=inputs["K_a"],
        k_b=inputs["K_b"],
    )


def terms(inputs: dict) -> dict:
    return {name: inputs[name] for name in ("alpha", "power", "two_sided")}


@pytest.mark.parametrize("vector", vectors("power", prefix="miller_n_"))
def test_required_cases(vector: dict) -> None:
    i = vector["inputs"]
    found = required_cases(suite(i), i["delta"], **terms(i))
    assert found == pytest.approx(vector["expected"]["n"], abs=vector["abs_tol"])


@pytest.mark.parametrize("vector", vectors("power", prefix="miller_mde"))
def test_minimum_detectable_effect(vector: dict) -> None:
    i = vector["inputs"]
    found = minimum_detectable_effect(suite(i), i["n"], **terms(i))
    assert found == pytest.approx(vector["expected"]["mde"], abs=vector["abs_tol"])


@pytest.mark.parametrize("two_sided", [True, False])
def test_the_two_are_inverse(two_sided: bool) -> None:
    drawn = Suite(omega2=0.05, sigma2_a=0.1, sigma2_b=0.2, k_a=3, k_b=2)
    effect = minimum_detectable_effect(drawn, 80, two_sided=two_sided)
    assert required_cases(drawn, effect, two_sided=two_sided) == pytest.approx(80)


@pytest.mark.parametrize(
    ("n", "kb", "kn", "p"),
    [(50, 4, 4, 0.8), (20, 4, 4, 0.6), (100, 2, 2, 0.8), (50, 8, 2, 0.8), (50, 4, 4, 0.95)],
)
def test_the_drop_named_is_seen_as_often_as_said(n: int, kb: int, kn: int, p: float) -> None:
    """The median of what 40 pairs of unchanged runs name, then 200 runs with that drop."""
    rng = np.random.default_rng(11)
    rates = rng.beta(2 * p, 2 * (1 - p), n)

    def arm(k: int, q: np.ndarray) -> list:
        return [(k, int(x)) for x in rng.binomial(k, q)]

    drop = float(np.median([suite_mde(arm(kb, rates), arm(kn, rates)) for _ in range(40)]))
    worse = rates * (1 - drop / rates.mean())
    seen = sum(stratified_exact(arm(kb, rates), arm(kn, worse)).mid_p <= 0.05 for _ in range(200))
    assert 0.7 <= seen / 200 <= 0.92


def test_a_suite_that_never_failed_still_needs_failures_to_see() -> None:
    perfect = [(4, 4)] * 50
    assert 5 / 200 < suite_mde(perfect, perfect) < 7 / 200
    assert suite_mde([(1, 1)], [(1, 1)]) == 1.0


@pytest.mark.parametrize("passed", [(1, 0), (0, 1)])
@pytest.mark.parametrize(("cases", "repeats", "least"), [(1, 1, 1.0), (20, 1, 0.1), (1, 8, 0.3)])
def test_a_suite_that_turned_round_sees_no_drop_however_small(
    cases: int, repeats: int, least: float, passed: tuple[int, int]
) -> None:
    """Neither arm has any noise of its own then."""
    base, now = ([(repeats, repeats * one)] * cases for one in passed)
    assert suite_mde(base, now) >= least


def test_cases_that_never_pass_hide_nothing() -> None:
    alone = suite_mde([(4, 4)] * 25, [(4, 4)] * 25)
    beside = suite_mde([(4, 4)] * 25 + [(4, 0)] * 25, [(4, 4)] * 25 + [(4, 0)] * 25)
    assert beside == pytest.approx(alone / 2, rel=0.01)  # half as much of twice as many


@pytest.mark.parametrize(
    ("sharper", "duller"),
    [
        ({"alpha": 0.1}, {"alpha": 0.05}),
        ({"power": 0.7}, {"power": 0.9}),
    ],
)
def test_stricter_terms_see_less(sharper: dict, duller: dict) -> None:
    assert suite_mde(MIXED, MIXED, **sharper) < suite_mde(MIXED, MIXED, **duller)


def test_repeats_needed_is_the_least_that_does() -> None:
    seen = suite_mde(MIXED, MIXED)
    assert repeats_needed(MIXED, MIXED, drop=seen + 1e-9) == 0
    more = repeats_needed(MIXED, MIXED, drop=0.08)
    assert more is not None and 0 < more < 64
    assert repeats_needed(MIXED, MIXED, drop=0.08, most=more) == more
    assert repeats_needed(MIXED, MIXED, drop=0.08, most=more - 1) is None


def test_a_small_base_bounds_what_repeats_can_do() -> None:
    assert repeats_needed(MIXED, MIXED, drop=0.03) is None
    large = [(20 * k, 20 * x) for k, x in MIXED]
    assert repeats_needed(large, MIXED, drop=0.03) is not None


@pytest.mark.parametrize("drop", [0.0, -0.1, 5])
def test_a_drop_is_a_share(drop: float) -> None:
    with pytest.raises(ValueError, match="expected a drop above 0 and at most 1"):
        repeats_needed(MIXED, MIXED, drop=drop)


@pytest.mark.parametrize(("alpha", "power"), [(0, 0.8), (0.05, 1), (5, 0.8), (0.05, 80)])
def test_terms_are_shares(alpha: float, power: float) -> None:
    with pytest.raises(ValueError, match="expected alpha and power between 0 and 1"):
        suite_mde(MIXED, MIXED, alpha=alpha, power=power)
    with pytest.raises(ValueError, match="expected alpha and power between 0 and 1"):
        required_cases(Suite(omega2=0.1), 0.1, alpha=alpha, power=power)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a difference above 0"):
        required_cases(Suite(omega2=0.1), 0)
    with pytest.raises(ValueError, match="expected more than 0 cases"):
        minimum_detectable_effect(Suite(omega2=0.1), 0)
    with pytest.raises(ValueError, match="expected at least one case measured"):
        suite_mde([(0, 0)], [(4, 4)])
