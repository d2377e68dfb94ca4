"""pass@k and pass^k: what repeats say about retries and about reliability."""

from __future__ import annotations

from collections.abc import Iterable
from math import comb, sqrt
from statistics import stdev


def pass_at_k(trials: int, successes: int, k: int) -> float:
    """Chance that at least one of k trials passes: 1 - C(n-c,k)/C(n,k), the unbiased estimator of
    Chen et al. 2021 ("Evaluating Large Language Models Trained on Code")."""
    _check(trials, successes, k)
    return 1 - comb(trials - successes, k) / comb(trials, k)


def pass_hat_k(trials: int, successes: int, k: int) -> float:
    """Chance that all of k trials pass: C(c,k)/C(n,k), the unbiased estimator of Yao et al. 2024
    (tau-bench)."""
    _check(trials, successes, k)
    return comb(successes, k) / comb(trials, k)


def over_cases(counts: Iterable[tuple[int, int]], k: int) -> tuple[float, float, int]:
    """Mean pass@k and pass^k over cases given (trials, successes), and how many cases had at least
    k measured trials. Cases with fewer are left out, and the count says so; (0, 0, 0) if none."""
    usable = [(n, c) for n, c in counts if n >= k]
    if not usable:
        return 0.0, 0.0, 0
    at = sum(pass_at_k(n, c, k) for n, c in usable) / len(usable)
    hat = sum(pass_hat_k(n, c, k) for n, c in usable) / len(usable)
    return at, hat, len(usable)


def standard_errors(counts: Iterable[tuple[int, int]], k: int) -> tuple[float, float] | None:
    """Standard errors of what `over_cases` gives, pass@k and pass^k, with the cases as a sample of
    more such: the scatter of their values over the root of their number. None for fewer than two
    cases with k measured trials, which show no scatter."""
    usable = [(n, c) for n, c in counts if n >= k]
    if len(usable) < 2:
        return None
    at = stdev(pass_at_k(n, c, k) for n, c in usable)
    hat = stdev(pass_hat_k(n, c, k) for n, c in usable)
    return at / sqrt(len(usable)), hat / sqrt(len(usable))


def _check(trials: int, successes: int, k: int) -> None:
    if not (1 <= k <= trials and 0 <= successes <= trials):
        raise ValueError(
            f"expected 1 <= k <= trials and 0 <= successes <= trials, "
            f"got k={k}, trials={trials}, successes={successes}"
        )
