"""Seeded random data, against scipy and statsmodels: other people's code, not other formulas."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import StratifiedTable
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint, tost_proportions_2indep
from statsmodels.stats.weightstats import ttost_paired

from proofrig.stats.bootstrap import cluster_bootstrap
from proofrig.stats.equivalence import tost_paired, tost_two_proportions
from proofrig.stats.flaky import drift, flaky_mass
from proofrig.stats.intervals import Interval, clopper_pearson, jeffreys, none_seen, wilson
from proofrig.stats.multiple import benjamini_hochberg, bonferroni, holm
from proofrig.stats.paired import (
    cmh,
    mcnemar,
    paired_t,
    sign_flip,
    stratified_exact,
)
from proofrig.stats.per_case import broken_cases, fisher_less
from proofrig.stats.permutation import permute
from proofrig.stats.repeats import pass_at_k, pass_hat_k
from proofrig.stats.tails import harrell_davis, quantile, quantile_ranks
from proofrig.stats.trend import mann_kendall, theil_sen

Suite = list[tuple[int, int]]
SEEDS = range(4)
SIDES = ("less", "greater", "two-sided")


def suites(seed: int, *, cases: int = 12, most: int = 9) -> tuple[Suite, Suite]:
    """Two arms of cases that differ, each case measured at least once in each arm."""
    dice = random.Random(seed)
    arms: tuple[Suite, Suite] = ([], [])
    for _ in range(cases):
        rate = dice.betavariate(1.2, 0.8)
        for arm in arms:
            n = dice.randint(1, most)
            arm.append((n, sum(dice.random() < rate for _ in range(n))))
    return arms


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
@pytest.mark.parametrize(
    ("interval", "method"),
    [(wilson, "wilson"), (clopper_pearson, "beta"), (jeffreys, "jeffreys")],
)
def test_intervals(interval: Callable[..., Interval], method: str, confidence: float) -> None:
    dice = random.Random(1)
    for _ in range(20):
        n = dice.randint(1, 300)
        x = dice.randint(0, n)
        found = interval(x, n, confidence)
        expected = proportion_confint(x, n, alpha=1 - confidence, method=method)
        assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("n", [1, 7, 60, 5000])
def test_none_seen(n: int) -> None:
    expected = stats.binomtest(0, n, alternative="less").proportion_ci(0.99, "exact").high
    assert none_seen(n, 0.99) == pytest.approx(expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_pass_k(seed: int) -> None:
    dice = random.Random(seed)
    n = dice.randint(1, 30)
    c, k = dice.randint(0, n), dice.randint(1, n)
    assert pass_hat_k(n, c, k) == pytest.approx(stats.hypergeom.pmf(k, n, c, k))
    assert pass_at_k(n, c, k) == pytest.approx(1 - stats.hypergeom.pmf(0, n, c, k))


@pytest.mark.parametrize("seed", SEEDS)
def test_fisher(seed: int) -> None:
    base, now = suites(seed)
    for (b, x), (n, y) in zip(base, now, strict=True):
        expected = stats.fisher_exact([[y, n - y], [x, b - x]], alternative="less").pvalue
        assert fisher_less((b, x), (n, y)) == pytest.approx(expected)
        assert stratified_exact([(b, x)], [(n, y)]).p == pytest.approx(expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_stratified_exact_by_convolution(seed: int) -> None:
    base, now = suites(seed)
    chances = np.ones(1)
    for (b, x), (n, y) in zip(base, now, strict=True):
        chances = np.convolve(chances, stats.hypergeom.pmf(np.arange(n + 1), b + n, x + y, n))
    seen = sum(y for _, y in now)
    found = stratified_exact(base, now)
    assert found.p == pytest.approx(chances[: seen + 1].sum())
    assert found.mid_p == pytest.approx(chances[:seen].sum() + chances[seen] / 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_cmh(seed: int) -> None:
    base, now = suites(seed)
    tables = [
        np.array([[y, n - y], [x, b - x]], dtype=float)
        for (b, x), (n, y) in zip(base, now, strict=True)
    ]
    expected, found = StratifiedTable(tables), cmh(base, now)
    plain, corrected = expected.test_null_odds(), expected.test_null_odds(correction=True)
    assert (found.chi2, found.p) == pytest.approx((plain.statistic, plain.pvalue))
    assert found.chi2_corrected == pytest.approx(corrected.statistic)
    assert found.p_corrected == pytest.approx(corrected.pvalue)
    assert found.odds_ratio == pytest.approx(expected.oddsratio_pooled)


@pytest.mark.parametrize("seed", SEEDS)
def test_mcnemar(seed: int) -> None:
    dice = random.Random(seed)
    b, c = dice.randint(1, 40), dice.randint(0, 40)
    expected = statsmodels_mcnemar([[10, b], [c, 10]], exact=True).pvalue
    assert mcnemar(b, c, "two-sided").p == pytest.approx(expected)
    for side in SIDES[:2]:
        expected = stats.binomtest(c, b + c, alternative=side).pvalue
        assert mcnemar(b, c, side).p == pytest.approx(expected)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("seed", SEEDS)
def test_paired_t(seed: int, side: str) -> None:
    base, now = (np.array([x / n for n, x in arm]) for arm in suites(seed))
    expected, found = (
        stats.ttest_rel(now, base, alternative=side),
        paired_t(base, now, alternative=side, confidence=0.9),
    )
    assert (found.t, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    interval = found.difference
    both = stats.ttest_rel(now, base).confidence_interval(0.9)
    assert (interval.low, interval.high) == pytest.approx((both.low, both.high))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("seed", SEEDS)
def test_sign_flip(seed: int, side: str) -> None:
    base, now = suites(seed, cases=9, most=4)
    differences = [y / n - x / b for (b, x), (n, y) in zip(base, now, strict=True)]
    whole = [round(12 * d) for d in differences]  # scipy compares floats: fractions would not tie
    expected = stats.permutation_test(
        (whole,), np.sum, permutation_type="samples", alternative=side, n_resamples=2**9
    )
    assert sign_flip(differences, alternative=side).p == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("method", ["BCa", "percentile"])
@pytest.mark.parametrize("seed", SEEDS)
def test_cluster_bootstrap(seed: int, method: str) -> None:
    dice = np.random.default_rng(seed)
    cost, solved = dice.exponential(size=40), dice.integers(1, 9, 40)

    def ratio(of_cost: np.ndarray, of_solved: np.ndarray, axis: int = -1) -> np.ndarray:
        return of_cost.sum(axis) / of_solved.sum(axis)

    expected = stats.bootstrap(
        (cost, solved), ratio, paired=True, method=method, n_resamples=5000, rng=dice
    ).confidence_interval
    found = cluster_bootstrap(
        list(zip(cost.tolist(), solved.tolist(), strict=True)),
        lambda cases: sum(c for c, _ in cases) / sum(s for _, s in cases),
        **{"draws": 5000, "method": method.lower()},
    )
    near = 0.1 * (expected.high - expected.low)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=near)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("seed", SEEDS)
def test_permute_within_one_case(seed: int, side: str) -> None:
    dice = np.random.default_rng(seed)
    base, now = dice.normal(size=5), dice.normal(0.5, size=4)
    expected = stats.permutation_test(
        (now, base), lambda x, y: np.mean(x) - np.mean(y), alternative=side, n_resamples=np.inf
    )
    found = permute(
        np.concatenate([base, now])[:, None], np.zeros(9, int), np.arange(9) > 4, draws=20000
    )
    p = {"less": found.p_less, "greater": found.p_greater}.get(side, found.p_two)[0]
    assert found.effect[0] == pytest.approx(expected.statistic)
    # Two-sided they count twice the smaller side, and we what is as far from 0.
    exact = expected.pvalue
    if side == "two-sided":
        exact = (np.abs(expected.null_distribution) >= abs(expected.statistic) - 1e-12).mean()
    assert p == pytest.approx(exact, abs=0.015)


@pytest.mark.parametrize(
    ("method", "name"), [(bonferroni, "bonferroni"), (holm, "holm"), (benjamini_hochberg, "fdr_bh")]
)
@pytest.mark.parametrize("seed", SEEDS)
def test_several_tests(seed: int, method: Callable[[list[float]], list[float]], name: str) -> None:
    dice = random.Random(seed)
    p = [round(dice.random() ** 3, 2) for _ in range(dice.randint(1, 30))]
    assert method(p) == pytest.approx(multipletests(p, method=name)[1].tolist())


@pytest.mark.parametrize("seed", SEEDS)
def test_broken_cases_are_holms_where_all_could_be_rejected(seed: int) -> None:
    dice = random.Random(seed)
    base = [(20, dice.randint(15, 20)) for _ in range(8)]
    now = [(8, dice.randint(0, 4)) for _ in range(8)]
    found = broken_cases(base, now, 0.3)
    assert found.adjusted == pytest.approx(multipletests(found.p, method="holm")[1].tolist())
    assert found.flags == multipletests(found.p, alpha=0.3, method="holm")[0].tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_equivalence(seed: int) -> None:
    base, now = suites(seed)
    means = [[x / n for n, x in arm] for arm in (base, now)]
    expected = ttost_paired(np.array(means[1]), np.array(means[0]), -0.3, 0.2)[0]
    assert tost_paired(*means, -0.3, 0.2) == pytest.approx(expected)
    counts = [(sum(x for _, x in arm), sum(n for n, _ in arm)) for arm in (base, now)]
    both = (*counts[0], *counts[1])
    expected = tost_proportions_2indep(*both, -0.2, 0.2, method="agresti-caffo").pvalue
    assert tost_two_proportions(*both, 0.2) == pytest.approx(expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_flakiness(seed: int) -> None:
    runs, _ = suites(seed)
    table = [[x for _, x in runs], [n - x for n, x in runs]]
    assert drift(runs) == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)
    for n, x in runs:
        posterior = stats.beta(x + 0.5, n - x + 0.5)
        assert flaky_mass(x, n) == pytest.approx(posterior.cdf(0.95) - posterior.cdf(0.05))


@pytest.mark.parametrize("q", [0.5, 0.95])
@pytest.mark.parametrize("seed", SEEDS)
def test_quantiles(seed: int, q: float) -> None:
    n = 50 + 100 * seed
    ordered = np.sort(np.random.default_rng(seed).lognormal(size=n))
    assert quantile(ordered.tolist(), q) == pytest.approx(np.quantile(ordered, q))
    estimate, variance = stats.mstats.hdquantiles(ordered, prob=[q], var=True)[:, 0]
    found = harrell_davis(ordered.tolist(), q)
    assert (found.quantile, found.se**2) == pytest.approx((estimate, variance))
    expected = stats.quantile_test(np.arange(1, n + 1), p=q).confidence_interval(0.9)
    assert [float("nan") if r is None else r for r in quantile_ranks(n, q, 0.9)] == pytest.approx(
        [expected.low, expected.high], nan_ok=True
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_trends(seed: int) -> None:
    y = np.random.default_rng(seed).normal(size=20 + seed).round(1 + seed % 2)
    x = np.arange(len(y))
    slope, _, low, high = stats.theilslopes(y, x, alpha=0.9)
    found = theil_sen(y.tolist(), 0.9)
    assert (found.estimate, found.low, found.high) == pytest.approx((slope, low, high))
    expected, kendall = stats.kendalltau(x, y), mann_kendall(y.tolist())
    assert (kendall.tau, kendall.p) == pytest.approx((expected.statistic, expected.pvalue))
