"""Noise between and within cases: as pingouin's ICC, and as simulated runs scatter."""

from __future__ import annotations

import numpy as np
import pytest

from proofrig.stats.variance import difference_noise, split
from vectors import vectors


@pytest.mark.parametrize("vector", vectors("clustered_se", prefix="icc1"))
def test_split(vector: dict) -> None:
    found, expected = split(vector["inputs"]["outcomes_by_case"]), vector["expected"]
    assert found.icc == pytest.approx(expected["icc"], abs=vector["abs_tol"])
    assert found.design_effect == pytest.approx(expected["design_effect"], abs=vector["abs_tol"])


@pytest.mark.parametrize("sizes", [[6] * 400, [2, 3, 10] * 150])
def test_the_parts_are_those_that_were_put_in(sizes: list[int]) -> None:
    rng = np.random.default_rng(8)
    outcomes = [list(rng.normal(rng.normal(0, 0.6), 0.8, size)) for size in sizes]
    found = split(outcomes)
    assert found.between == pytest.approx(0.36, rel=0.2)
    assert found.within == pytest.approx(0.64, rel=0.1)
    assert found.icc == pytest.approx(found.between / (found.between + found.within))


@pytest.mark.parametrize(
    ("outcomes", "icc"),
    [
        ([[1, 1], [0, 0]], 1.0),  # repeats always agree
        ([[1, 1], [1, 1]], 0.0),  # nothing ever differs
        ([[1, 0], [0, 1]], -1.0),  # cases agree more than repeats do
        ([[1, 1], [], [0, 0]], 1.0),  # an empty case is passed over
    ],
)
def test_ends(outcomes: list, icc: float) -> None:
    assert split(outcomes).icc == icc


@pytest.mark.parametrize("outcomes", [[], [[1, 0, 1]], [[1], [0], [1]]])
def test_one_kind_of_noise_alone_cannot_be_split(outcomes: list) -> None:
    with pytest.raises(ValueError, match="expected at least two measured cases, and one of them"):
        split(outcomes)


@pytest.mark.parametrize(("kb", "kn"), [(4, 4), (8, 2), (1, 1), (20, 1)])
def test_the_variance_is_that_of_the_suite_run_again(kb: int, kn: int) -> None:
    rng = np.random.default_rng(9)
    rates = rng.beta(1.6, 0.4, 40)
    found = [
        difference_noise(
            [(kb, x) for x in rng.binomial(kb, rates).tolist()],
            [(kn, x) for x in rng.binomial(kn, rates).tolist()],
        )
        for _ in range(600)
    ]
    truth = float((rates * (1 - rates)).sum() * (1 / kb + 1 / kn) / 40**2)
    assert np.mean([one.variance for one in found]) == pytest.approx(truth, rel=0.05)
    assert np.var([one.drop for one in found]) == pytest.approx(truth, rel=0.2)


def test_by_hand() -> None:
    found = difference_noise([(4, 2), (2, 2), (5, 5)], [(2, 0), (4, 3), (0, 0)])
    assert found.cases == 2
    assert found.drop == pytest.approx((0.5 + 0.25) / 2)
    assert found.variance == pytest.approx((4 / 48 + 0 + 0 + 3 / 48) / 4)
    assert (found.base, found.now) == pytest.approx(((1 / 4 + 1 / 2) / 4, (1 / 2 + 1 / 4) / 4))
    assert found.rescued == pytest.approx((0.5 * 0 + 0 * 0.75) / 2)


def test_single_trials_scatter_around_their_mean_change() -> None:
    found = difference_noise([(1, 1), (1, 1), (1, 0)], [(1, 1), (1, 0), (1, 1)])
    assert found.drop == 0
    assert found.variance == pytest.approx((0 + 1 + 1) * 3 / 2 / 9)
    assert found.rescued == pytest.approx(1 / 3)
    assert difference_noise([(1, 1)], [(1, 0)]).variance == 0


@pytest.mark.parametrize(
    ("base", "now", "expected"),
    [
        ([(1, 1)], [], "expected the same cases in both arms"),
        ([(1, 2)], [(1, 1)], "0 <= passed <= measured"),
        ([(0, 0)], [(1, 1)], "expected at least one case measured in both arms"),
    ],
)
def test_what_cannot_be_is_refused(base: list, now: list, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        difference_noise(base, now)
