"""Looking more than once without more false alarms.

Rules:
1. Two ways. Looks agreed on beforehand share out alpha (group sequential: `boundaries`,
   `constant_bounds`). Looks at any time need evidence that holds at all times (`e_value`,
   `confidence_sequence`), which costs power.
2. `boundaries` wants information fractions, ascending to 1: how much is known at a look, relative
   to the last. Of k trials a case against k0 cached ones that is k0 k / (k0 + k), over its last.
3. The anytime-valid pair is for a fixed suite looked at after whole rounds; a round runs each case
   once. Within a round the count of passes is a sum of unlike trials, and any convex function of
   it is in mean at most what it is for like trials of the same mean rate (Hoeffding 1956). The
   likelihood ratio of a fixed alternative is such a function, so it stays a supermartingale over
   rounds, mixtures of it too, and exceeds 1/alpha ever at most with chance alpha (Ville 1939).
   Looks inside a round are not covered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import NormalDist
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from proofrig.stats.intervals import Interval

Floats = npt.NDArray[np.float64]
Spending = Callable[[float, float], float]
NODES = 401  # at least, of Simpson's rule over the region where no look has stopped
FAR = 8.5  # standard deviations beyond which nothing is left
NEAREST = 1e-4  # looks nearer to each other (in fractions) are one look


def obrien_fleming_spending(t: float, alpha: float) -> float:
    """Alpha spent at information fraction `t` in (0, 1], little at first: 2 - 2 Phi(z / sqrt(t))
    with z the upper alpha/2 point (Lan & DeMets 1983, in the manner of O'Brien & Fleming 1979)."""
    _check_spending(t, alpha)
    return 2 * _above(-NormalDist().inv_cdf(alpha / 2) / math.sqrt(t))


def pocock_spending(t: float, alpha: float) -> float:
    """Alpha spent at information fraction `t` in (0, 1], evenly: alpha ln(1 + (e - 1) t) (Lan &
    DeMets 1983, in the manner of Pocock 1977)."""
    _check_spending(t, alpha)
    return alpha * math.log1p((math.e - 1) * t)


def boundaries(
    information: Sequence[float], alpha: float, spending: Spending = obrien_fleming_spending
) -> list[float]:
    """The one-sided p at or below which each look stops, so that all looks together stop with
    chance `alpha` when nothing changed. `information`: fractions, ascending, the last one 1.

    The density of the statistic among runs that were not stopped is carried from look to look by
    numerical integration (Armitage, McPherson & Rowe 1969), on fractions (Lan & DeMets 1983).
    """
    _check_alpha(alpha)
    gaps = [after - before for before, after in pairwise([0.0, *information])]
    if not gaps or min(gaps) < NEAREST or not math.isclose(sum(gaps), 1):
        raise ValueError(
            f"expected ascending information fractions that end in 1 and are at least {NEAREST} "
            f"apart, got {list(information)}"
        )
    paths, spent, found = _Paths(min(gaps)), 0.0, []
    for time in information:
        total = spending(min(time, 1.0), alpha)
        found.append(_above(paths.stop(time, total - spent)))
        spent = total
    return found


def constant_bounds(kind: Literal["pocock", "obf"], looks: int, alpha: float) -> list[float]:
    """The z of each of `looks` equally spaced looks, one-sided `alpha` in all: the same at each
    (Pocock 1977), or falling as 1/sqrt(look) (O'Brien & Fleming 1979)."""
    _check_alpha(alpha)
    if kind not in ("pocock", "obf"):
        raise ValueError(f"expected kind pocock or obf, got {kind!r}")
    if looks < 1:
        raise ValueError(f"expected at least one look, got {looks}")
    from scipy.optimize import brentq

    shape = [math.sqrt(looks / (i + 1)) if kind == "obf" else 1.0 for i in range(looks)]

    def left(z: float) -> float:
        paths = _Paths(1 / looks)
        stopped = [paths.go((i + 1) / looks, z * share) for i, share in enumerate(shape)]
        return alpha - sum(stopped)

    # The last look alone stops with `alpha` at the one; the others together can only want more.
    last: float = brentq(left, NormalDist().inv_cdf(1 - alpha), FAR, xtol=1e-7)
    return [last * share for share in shape]


class _Paths:
    """Where the score process B(t) (Brownian, variance t) is, among paths not stopped yet: values
    on a grid with their probability, Simpson's weights included. Stopping is upward. The grid is
    fine enough for the `nearest` two looks: half a standard deviation of the step between them."""

    def __init__(self, nearest: float) -> None:
        self.nodes = max(NODES, 2 * math.ceil(2 * FAR / math.sqrt(nearest)) + 1)
        self.time = 0.0
        self.at: Floats = np.zeros(1)
        self.mass: Floats = np.ones(1)

    def go(self, time: float, z: float) -> float:
        """Stops at `time` what lies above `z` sqrt(time); the chance of that."""
        chance = self._beyond(time, z)
        self._keep(time, z)
        return chance

    def stop(self, time: float, chance: float) -> float:
        """Stops so much; the z of the boundary."""
        low, high = -FAR, 4 * FAR
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self._beyond(time, middle) > chance else (low, middle)
        self._keep(time, high)
        return high

    def _beyond(self, time: float, z: float) -> float:
        from scipy.special import ndtr

        step = math.sqrt(time - self.time)
        return float(self.mass @ ndtr((self.at - z * math.sqrt(time)) / step))

    def _keep(self, time: float, z: float) -> None:
        step, root = math.sqrt(time - self.time), math.sqrt(time)
        grid = np.linspace(-FAR * root, min(z, FAR) * root, self.nodes)
        weights = np.full(self.nodes, 2.0)
        weights[1::2], weights[0], weights[-1] = 4.0, 1.0, 1.0
        weights *= (grid[1] - grid[0]) / 3
        away = (grid[:, None] - self.at) / step
        density = np.exp(-away * away / 2) @ self.mass / (step * math.sqrt(2 * math.pi))
        self.time, self.at, self.mass = time, grid, density * weights


def e_value(
    successes: int,
    n: int,
    p0: float,
    *,
    a: float = 1.0,
    b: float = 1.0,
    side: Literal["two-sided", "less", "greater"] = "two-sided",
) -> float:
    """Evidence against "the mean pass rate is `p0`", after whole rounds: at 1/alpha or more, at any
    time, stop and say so. `less` is against "at least p0" (the rate is less), `greater` against "at
    most p0".

    The likelihood ratio mixed over Beta(a, b) alternatives, B(a+x, b+n-x) / B(a, b) / (p0^x
    (1-p0)^(n-x)) (Robbins 1970); for one side, over the part of them on that side of p0. Can be
    inf. Raises ValueError for impossible counts, p0 outside (0, 1), a prior that is none.
    """
    from scipy.special import betainc

    _check_counts(successes, n)
    if not 0 < p0 < 1:
        raise ValueError(f"expected p0 between 0 and 1, got {p0}")
    if not (a > 0 and b > 0):
        raise ValueError(f"expected a Beta prior with a > 0 and b > 0, got {a} and {b}")
    after, before = (a + successes, b + n - successes), (a, b)
    log_e = _log_e(successes, n, p0, before)
    if side == "less":
        share, prior = float(betainc(*after, p0)), float(betainc(*before, p0))
    elif side == "greater":
        share, prior = (float(betainc(*swap[::-1], 1 - p0)) for swap in (after, before))
    elif side == "two-sided":
        share = prior = 1.0
    else:
        raise ValueError(f"expected side two-sided, less or greater, got {side!r}")
    if share == 0:  # too small for a float: no evidence at all
        return 0.0
    log_e += math.log(share) - math.log(prior)
    return math.exp(log_e) if log_e < 700 else math.inf


def confidence_sequence(successes: int, n: int, alpha: float = 0.05) -> Interval:
    """The mean pass rates that two-sided `e_value`, with the uniform prior, never refused so far:
    holds after all rounds at once with confidence 1 - alpha (Darling & Robbins 1967). It is that
    of this look alone; the intersection with earlier ones holds too."""
    from scipy.optimize import brentq

    _check_alpha(alpha)
    _check_counts(successes, n)
    if not n:
        raise ValueError("expected at least one trial, got none")
    bar = -math.log(alpha)

    def spare(p0: float) -> float:
        return _log_e(successes, n, p0, (1.0, 1.0)) - bar

    rate = successes / n
    low = brentq(spare, 1e-300, rate, xtol=1e-12) if successes else 0.0
    high = brentq(spare, rate, 1 - 1e-16, xtol=1e-12) if successes < n else 1.0
    return Interval(rate, low, high)


class Sprt(msgspec.Struct, frozen=True):
    """Where Wald's test stands: the log likelihood ratio of p1 to p0, and what it accepts."""

    log_ratio: float
    accepts: Literal["p0", "p1", "neither yet"]


def sprt_bounds(alpha: float, beta: float) -> tuple[float, float]:
    """The log likelihood ratios at which Wald's test (1945) accepts p0 and p1: ln(beta / (1 -
    alpha)) and ln((1 - beta) / alpha)."""
    if not (min(alpha, beta) > 0 and alpha + beta < 1):
        raise ValueError(
            f"expected alpha and beta above 0 and together below 1, got {alpha} and {beta}"
        )
    return math.log(beta / (1 - alpha)), math.log((1 - beta) / alpha)


def sprt(
    successes: int, n: int, p0: float, p1: float, *, alpha: float = 0.05, beta: float = 0.2
) -> Sprt:
    """Wald's sequential probability ratio test of the rate p0 against p1."""
    _check_counts(successes, n)
    if not (0 < p0 < 1 and 0 < p1 < 1 and p0 != p1):
        raise ValueError(f"expected two unlike rates between 0 and 1, got {p0} and {p1}")
    ratio = successes * math.log(p1 / p0) + (n - successes) * math.log((1 - p1) / (1 - p0))
    low, high = sprt_bounds(alpha, beta)
    return Sprt(ratio, "p0" if ratio <= low else "p1" if ratio >= high else "neither yet")


def _log_e(successes: int, n: int, p0: float, prior: tuple[float, float]) -> float:
    from scipy.special import betaln

    a, b = prior
    mixed = float(betaln(a + successes, b + n - successes) - betaln(a, b))
    failures = n - successes
    return mixed - (
        (successes * math.log(p0) if successes else 0.0)
        + (failures * math.log1p(-p0) if failures else 0.0)
    )


def _above(z: float) -> float:
    """The normal upper tail; `NormalDist.cdf` loses it below 1e-16."""
    return math.erfc(z / math.sqrt(2)) / 2


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"expected alpha between 0 and 1, got {alpha}")


def _check_spending(t: float, alpha: float) -> None:
    _check_alpha(alpha)
    if not 0 < t <= 1:
        raise ValueError(f"expected an information fraction above 0 and at most 1, got {t}")


def _check_counts(successes: int, n: int) -> None:
    if not 0 <= successes <= n:
        raise ValueError(f"expected 0 <= successes <= n, got {successes} of {n}")
