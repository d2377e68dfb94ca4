"""Cases that pass sometimes, and runs that disagree more often than chance lets them.

Rules:
1. Flaky is said of evidence, never of one changed outcome: the posterior of the rate must lie away
   from both ends.
2. A case that was run seldom is not flaky and not steady: it is not known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from proofrig.stats._hypergeometric import Counts

STEADY = 0.05  # a rate this near to 0 or 1 is called steady
ENOUGH = 5  # passes and fails that a run can expect, for chi-square to hold (Cochran 1954)


def flaky_mass(passed: int, measured: int) -> float:
    """Posterior mass of the pass rate between 0.05 and 0.95, with Jeffreys' prior (Beta(1/2, 1/2)).
    Above 0.95 a case may be called flaky. Without any trial it is the prior's, 0.71."""
    from scipy.special import betainc

    _check(passed, measured)
    a, b = passed + 0.5, measured - passed + 0.5
    return float(betainc(a, b, 1 - STEADY) - betainc(a, b, STEADY))


def drift(counts_by_run: Sequence[Counts]) -> float:
    """P-value of "all these runs have one pass rate": Pearson's chi-square (1900) on the table of
    passes and fails by run. Runs without a measured trial are left out; 1.0 when nothing can
    differ. Runs of different cases differ for that: `drift_by_case` allows for it."""
    for measured, passed in counts_by_run:
        _check(passed, measured)
    runs = [counts for counts in counts_by_run if counts[0]]
    trials, passes = sum(n for n, _ in runs), sum(x for _, x in runs)
    if len(runs) < 2 or passes in (0, trials):
        return 1.0
    rate = passes / trials
    squares = sum((x - n * rate) ** 2 / n for n, x in runs)
    return _chi2_above(squares / (rate * (1 - rate)), len(runs) - 1)


def drift_by_case(runs: Sequence[Sequence[Counts]], *, draws: int = 1999, seed: int = 0) -> float:
    """P-value of "in all these runs each case has one pass rate", cases aligned by index: the
    generalised Mantel-Haenszel test (Birch 1965; Landis, Heyman & Koch 1978), one stratum a case,
    runs as groups. Unlike `drift` it allows for runs that measured other cases, and does not take
    the differences between cases for noise.

    Where a run can expect fewer than 5 passes or fails in the cases that went both ways, the passes
    are dealt out to the runs at random, `draws` times, instead of chi-square. 1.0 when nothing can
    differ. Raises ValueError for runs of unequal length or impossible counts.
    """
    import numpy as np

    if len({len(run) for run in runs}) > 1:
        raise ValueError(
            f"expected every run to list the same cases, got {[len(run) for run in runs]} cases"
        )
    for measured, passed in (counts for run in runs for counts in run):
        _check(passed, measured)
    if len(runs) < 2 or not runs[0]:
        return 1.0
    table = np.array(runs, dtype=np.int64).transpose(2, 1, 0)
    trials, passes = table  # each (cases, runs)
    every, passed_of = trials.sum(1), passes.sum(1)
    mixed = (passed_of > 0) & (passed_of < every)
    trials, passes, every, passed_of = (x[mixed] for x in (trials, passes, every, passed_of))
    rate = passed_of / every
    expected = (trials * rate[:, None]).sum(0)
    weight = rate * (1 - rate) / (every - 1)
    spread = np.diag((trials * (weight * every)[:, None]).sum(0)) - trials.T * weight @ trials
    freedom = int(np.linalg.matrix_rank(spread)) if len(every) else 0
    if not freedom:
        return 1.0
    inverse = np.linalg.pinv(spread, hermitian=True)
    away = passes.sum(0) - expected
    value = float(away @ inverse @ away)
    there = trials.sum(0) > 0
    if min(expected[there].min(), (trials.sum(0) - expected)[there].min()) >= ENOUGH:
        return _chi2_above(value, freedom)
    rng = np.random.default_rng(seed)
    dealt = np.zeros((draws, len(runs)))
    for row, total in zip(trials, passed_of, strict=True):
        dealt += rng.multivariate_hypergeometric(row, int(total), size=draws)
    dealt -= expected
    values = np.einsum("ij,jk,ik->i", dealt, inverse, dealt)
    return float((np.sum(values >= value - 1e-9) + 1) / (draws + 1))


def _chi2_above(value: float, freedom: int) -> float:
    from scipy.special import chdtrc

    return float(chdtrc(freedom, value))


def runs_to_see(rate: float, confidence: float = 0.95) -> int:
    """How many runs show at least once what happens at `rate`, with this confidence; as many clean
    ones rule it out: ln(1 - confidence) / ln(1 - rate), rounded up."""
    if not (0 < rate < 1 and 0 < confidence < 1):
        raise ValueError(
            f"expected rate and confidence between 0 and 1, got {rate} and {confidence}"
        )
    return math.ceil(math.log1p(-confidence) / math.log1p(-rate) - 1e-9)


def consistency(passed: int, k: int) -> float:
    """How far a case's repeats agree: (2 rate - 1)^2, 1 when all are alike, 0 when half pass."""
    _check(passed, k)
    if not k:
        raise ValueError("expected at least one trial, got none")
    return (2 * passed / k - 1) ** 2


def disagreement(passed: int, k: int) -> float:
    """Chance that two of a case's repeats differ, unbiased: 2 x (k-x) / (k (k-1))."""
    _check(passed, k)
    if k < 2:
        raise ValueError(f"expected at least two trials, got {k}")
    return 2 * passed * (k - passed) / (k * (k - 1))


def _check(passed: int, measured: int) -> None:
    if not 0 <= passed <= measured:
        raise ValueError(f"expected 0 <= passed <= measured, got {passed} of {measured}")
