"""How many cases and repeats it takes to see a drop, and which drop a suite can see.

Rules:
1. Two kinds of suite, two kinds of answer. Cases drawn from many (`required_cases`,
   `minimum_detectable_effect`): their number decides. This very suite (`suite_mde`,
   `repeats_needed`): its trials decide.
2. Drops and rates are shares. The tests planned for are one-sided unless told otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import msgspec

from proofrig.stats._hypergeometric import Counts
from proofrig.stats.variance import DifferenceNoise, difference_noise


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    """Variances of a suite whose cases are a sample (Miller 2024). omega2: of the true difference
    between the arms over cases. sigma2_a, sigma2_b: mean within-case variance of each arm's score.
    k_a, k_b: repeats."""

    omega2: float
    sigma2_a: float = 0.0
    sigma2_b: float = 0.0
    k_a: int = 1
    k_b: int = 1

    @property
    def of_a_case(self) -> float:
        """The variance of one case's difference of means."""
        return self.omega2 + self.sigma2_a / self.k_a + self.sigma2_b / self.k_b


def required_cases(
    suite: Suite, delta: float, *, alpha: float = 0.05, power: float = 0.8, two_sided: bool = True
) -> float:
    """Cases needed to see a mean difference `delta` (Miller 2024, "Adding Error Bars to Evals"):
    (z_alpha + z_power)^2 (omega2 + sigma2_a/k_a + sigma2_b/k_b) / delta^2. Round it up."""
    if not delta > 0:
        raise ValueError(f"expected a difference above 0, got {delta}")
    return _reach(alpha, power, two_sided) ** 2 * suite.of_a_case / delta**2


def minimum_detectable_effect(
    suite: Suite, n: float, *, alpha: float = 0.05, power: float = 0.8, two_sided: bool = True
) -> float:
    """The least mean difference that `n` cases show with this power: `required_cases` inverted."""
    if not n > 0:
        raise ValueError(f"expected more than 0 cases, got {n}")
    return _reach(alpha, power, two_sided) * math.sqrt(suite.of_a_case / n)


def suite_mde(
    base: Sequence[Counts], now: Sequence[Counts], *, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The least drop of the mean rate over this very suite that a one-sided test at `alpha` shows
    with `power`, with these repeats; 1.0 when not even the largest would show.

    Solves drop = z_alpha sd(no change) + z_power sd(drop), the usual two-variance formula (Lachin
    1981). Both grow with the drop, for failures bring noise: a suite that never failed has its
    first to see.
    """
    noise = difference_noise(base, now)
    return _mde(noise, noise.now, _slope(base, now), _two(alpha, power))


def repeats_needed(
    base: Sequence[Counts],
    now: Sequence[Counts],
    *,
    drop: float,
    alpha: float = 0.05,
    power: float = 0.8,
    most: int = 64,
) -> int | None:
    """How many more repeats of each case of `now` let `drop` be seen, the base being what it is: 0
    when it can be seen already, None when `most` more would not do (the base is too small)."""
    if not 0 < drop <= 1:
        raise ValueError(f"expected a drop above 0 and at most 1 (a share), got {drop}")
    noise = difference_noise(base, now)
    slope, z = _slope(base, now), _two(alpha, power)
    both = [m for (k, _), (m, _) in zip(base, now, strict=True) if k and m]

    def enough(more: int) -> bool:
        return _mde(noise, sum(1 / (m + more) for m in both) / len(both) ** 2, slope, z) <= drop

    if not enough(most):
        return None
    few, many = -1, most  # enough(many) holds; what a repeat adds never harms
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many


def _mde(noise: DifferenceNoise, now: float, slope: float, z: tuple[float, float]) -> float:
    """By bisection: what is asked of the drop grows like its root, so there is one crossing."""
    within = noise.variance / (noise.base + noise.now)  # mean within-case variance

    def shown(drop: float) -> bool:
        # Without a change the pooled rate holds the excess, a share base/(base + now) of it each.
        same = within * (noise.base + now) + slope * drop * noise.base
        apart = within * (noise.base + now) + slope * drop * now
        return z[0] * math.sqrt(same) + z[1] * math.sqrt(apart) <= drop

    if not shown(1.0):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if shown(middle) else (middle, high)
    return high


def _slope(base: Sequence[Counts], now: Sequence[Counts]) -> float:
    """How much within-case variance a failure more brings: d/dq of q(1-q), of base's mean rate of
    failing, over the cases that ever pass (others cannot get worse). 1 where base always fails:
    neither the slope nor the noise may be nothing, or any drop could be seen."""
    failing = [1 - x / k for (k, x), (m, y) in zip(base, now, strict=True) if k and m and x + y]
    mean = sum(failing) / len(failing) if failing else 0.0
    return max(0.0, 1 - 2 * mean) if mean < 1 else 1.0


def _two(alpha: float, power: float) -> tuple[float, float]:
    if not (0 < alpha < 1 and 0 < power < 1):
        raise ValueError(f"expected alpha and power between 0 and 1, got {alpha} and {power}")
    return -NormalDist().inv_cdf(alpha), NormalDist().inv_cdf(power)


def _reach(alpha: float, power: float, two_sided: bool) -> float:
    return sum(_two(alpha / 2 if two_sided else alpha, power))
