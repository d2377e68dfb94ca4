"""Cases drawn again: right on average, the same for a seed, honest about too few."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from proofrig.stats.bootstrap import cluster_bootstrap

Case = tuple[float, int]  # cost, solved


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def cost_per_solved(cases: Sequence[Case]) -> float:
    return sum(cost for cost, _ in cases) / max(1, sum(solved for _, solved in cases))


def test_a_mean_is_near_its_normal_interval() -> None:
    dice = random.Random(2)
    values = [dice.gauss(10, 2) for _ in range(100)]
    centre = mean(values)
    se = (sum((v - centre) ** 2 for v in values) / 99 / 100) ** 0.5
    for method in ("bca", "percentile"):
        found = cluster_bootstrap(values, mean, method=method, draws=4000)
        assert found.estimate == pytest.approx(centre)
        assert found.low == pytest.approx(centre - 1.96 * se, abs=0.2 * se)
        assert found.high == pytest.approx(centre + 1.96 * se, abs=0.2 * se)


def test_a_case_is_drawn_with_all_it_holds() -> None:
    """Cost and success of a case stay together: a ratio that all cases share is certain."""
    found = cluster_bootstrap([(2.0 * n, n) for n in range(1, 30)], cost_per_solved)
    assert (found.low, found.estimate, found.high) == (2.0, 2.0, 2.0)


def test_bca_follows_the_skew() -> None:
    dice = random.Random(4)
    values = [dice.expovariate(1) ** 2 for _ in range(40)]
    bca = cluster_bootstrap(values, mean, method="bca", draws=3000)
    plain = cluster_bootstrap(values, mean, method="percentile", draws=3000)
    assert bca.low > plain.low
    assert bca.high > plain.high


def test_the_seed_decides() -> None:
    values = [0.1, 0.7, 0.3, 0.9, 0.5, 0.2]
    one = cluster_bootstrap(values, mean, draws=200, seed=1)
    assert one == cluster_bootstrap(values, mean, draws=200, seed=1)
    assert one != cluster_bootstrap(values, mean, draws=200, seed=2)


def test_edges() -> None:
    same = cluster_bootstrap([0.5] * 4, mean, draws=50)
    assert (same.low, same.high) == (0.5, 0.5)
    # The largest of the sample is above nearly every draw: no bias can be worked out from none.
    top = cluster_bootstrap([1.0, 2.0, 3.0], lambda cases: -float(len(cases)), draws=50)
    assert (top.low, top.high) == (-3.0, -3.0)
    with pytest.raises(ValueError, match="at least two cases to draw from, got 1"):
        cluster_bootstrap([1.0], mean)
    with pytest.raises(ValueError, match="expected bca or percentile, got 'basic'"):
        cluster_bootstrap([1.0, 2.0], mean, method="basic")
