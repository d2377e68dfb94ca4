"""Simulated runs of a suite, before and now, and what four rules say of each pair.

Rules:
1. Cases differ: their true pass rates are p_i ~ Beta(2p, 2(1-p)).
2. The rule that ships is called, not imitated; the others are worked out for many pairs at once.
3. Chance comes from the seed and the design alone, whichever process draws it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from proofrig.adaptive import levels, looks_of
from proofrig.stats._hypergeometric import dealt
from proofrig.stats.decision import Decision, decide, evidence
from proofrig.stats.equivalence import non_inferior

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CHUNK = 1000  # suites at once
WORKED_OUT = 200_000  # trials now, after which no more true levels are worked out
CASES, REPEATS, RATES = (20, 50, 100, 200), (1, 2, 4, 8), (0.6, 0.8, 0.95)
DROPS, MODES = (0.05, 0.10, 0.20), ("uniform", "logit", "broken")
ALPHA, FLIPS, CACHED, MARGIN = 0.05, 999, 20, 0.05
OURS, BEST, FLIP, NAIVE, LEVEL = "ours", "stratified", "sign-flip", "naive", "level"
FAIL, PASS, TRIALS = "fail", "pass", "trials"


@dataclass(frozen=True, slots=True)
class Cell:
    """One design: `n` cases, `base` and `k` repeats, mean rate `p`, and what became of it. looks:
    adaptive repeats up to `k`."""

    n: int
    base: int
    k: int
    p: float
    mode: str = "uniform"
    drop: float = 0.0
    looks: bool = False


def cells() -> Iterator[Cell]:
    """All of them, the long ones first."""
    for n in reversed(CASES):
        for k in reversed(REPEATS):
            for p in RATES:
                for base in (k, CACHED):
                    yield Cell(n, base, k, p)
                    yield from (Cell(n, base, k, p, "uniform", drop) for drop in DROPS)
                for mode in MODES[1:]:
                    yield from (Cell(n, k, k, p, mode, drop) for drop in DROPS)
        for p in RATES:
            for drop in (0.0, *DROPS):
                yield Cell(n, REPEATS[-1], REPEATS[-1], p, "uniform", drop, looks=True)


def rates(cell: Cell, size: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """True pass rates, (suites, cases), before and now."""
    p, drop = cell.p, cell.drop
    before = rng.beta(2 * p, 2 * (1 - p), (size, cell.n))
    if not drop:
        return before, before
    if cell.mode == "uniform":
        return before, before * (1 - drop / p)
    if cell.mode == "broken":
        return before, np.where(rng.random(before.shape) < drop / p, 0.0, before)
    with np.errstate(divide="ignore"):
        odds = np.log(before) - np.log1p(-before)
    return before, 1 / (1 + np.exp(_logit_shift(p, drop) - odds))


@cache
def _logit_shift(p: float, drop: float) -> float:
    """By how much the log odds of all cases must fall for the mean rate to fall by `drop`."""
    draws = np.random.default_rng(1).beta(2 * p, 2 * (1 - p), 200_000).clip(1e-12, 1 - 1e-12)
    odds, low, high = np.log(draws / (1 - draws)), 0.0, 30.0
    for _ in range(40):
        shift = (low + high) / 2
        enough = draws.mean() - (1 / (1 + np.exp(shift - odds))).mean() >= drop
        low, high = (low, shift) if enough else (shift, high)
    return high


def ours(before: Ints, now: Ints, cell: Cell) -> list[Decision]:
    """The rule that ships, called for each suite."""
    return [
        decide([(cell.base, x) for x in xs], [(cell.k, y) for y in ys], alpha=ALPHA)
        for xs, ys in zip(before.tolist(), now.tolist(), strict=True)
    ]


def true_levels(totals: Ints, decisions: list[Decision], cell: Cell) -> Floats:
    """How often the rule alarms by chance, given the totals of each suite: worked out, not drawn.
    An upper bound: a suite that both alarm about counts twice, and too small a fall counts."""
    total = cell.base + cell.k
    steps = [evidence(cell.base, cell.k, t) for t in range(total + 1)]
    counts = np.stack([(totals == t).sum(axis=1) for t in range(total + 1)], axis=1)
    top = int((counts @ [max(one) for one in steps]).max())
    length = 1 << top.bit_length()
    waves = np.exp(-2j * np.pi * np.arange(length) / length)
    places = np.arange(length // 2 + 1)
    logs = np.empty((total + 1, len(places)), dtype=np.complex128)
    for t, own in enumerate(steps):
        chances = dealt(cell.base, cell.k, t)[1]
        wave = sum(p * waves[places * e % length] for p, e in zip(chances, own, strict=True))
        logs[t] = np.log(wave + 1e-300)
    allowed = np.array([one.level for one in decisions])[:, None]
    found = np.array([one.cases.attained for one in decisions], dtype=float)
    for at in range(0, len(totals), 100):
        rows = slice(at, at + 100)
        pmf = np.fft.irfft(np.exp(counts[rows] @ logs), length, axis=1).clip(0)
        above = pmf[:, ::-1].cumsum(axis=1)[:, ::-1]
        alarming = (pmf > 1e-13) & (above - pmf / 2 <= allowed[rows])
        found[rows] += np.where(alarming, above, 0).max(axis=1)
    return found


def stratified(before: Ints, now: Ints, cell: Cell) -> npt.NDArray[np.bool_]:
    """The best rule of the first study: exact, conditional on totals, unweighted, mid-p."""
    total = cell.base + cell.k
    totals, lows = before + now, np.maximum(0, np.arange(total + 1) - cell.base)
    counts = np.stack([(totals == t).sum(axis=1) for t in range(total + 1)], axis=1)
    length = 1 << (cell.n * cell.k).bit_length()
    roots = np.exp(
        -2j * np.pi * np.outer(np.arange(length // 2 + 1), np.arange(cell.k + 1)) / length
    )
    spread = np.zeros((total + 1, cell.k + 1))
    for t in range(total + 1):
        for x in range(lows[t], min(cell.k, t) + 1):
            spread[t, x - lows[t]] = (
                math.comb(cell.k, x) * math.comb(cell.base, t - x) / math.comb(total, t)
            )
    logs = np.log(spread @ roots.T + 1e-300)
    seen = (now - lows[totals]).sum(axis=1)
    p = np.empty(len(seen))
    for at in range(0, len(seen), 500):
        rows = slice(at, at + 500)
        pmf = np.fft.irfft(np.exp(counts[rows] @ logs), length, axis=1).clip(0)
        here = np.take_along_axis(pmf, seen[rows, None], 1)[:, 0]
        p[rows] = np.take_along_axis(pmf.cumsum(axis=1), seen[rows, None], 1)[:, 0] - here / 2
    return p <= ALPHA


def sign_flip(
    before: Ints, now: Ints, cell: Cell, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Signs of the cases' differences flipped at random, mid-p."""
    differences = now / cell.k - before / cell.base
    sums = differences @ rng.choice([-1.0, 1.0], size=(cell.n, FLIPS))
    seen = differences.sum(axis=1, keepdims=True)
    hits = (sums < seen - 1e-9).sum(axis=1) + (np.abs(sums - seen) <= 1e-9).sum(axis=1) / 2
    return (hits + 0.5) / (FLIPS + 1) <= ALPHA


def naive(before: Ints, now: Ints, cell: Cell) -> npt.NDArray[np.bool_]:
    """Red when the pass rate fell by five points."""
    return before.mean(axis=1) / cell.base - now.mean(axis=1) / cell.k >= 0.05 - 1e-9


def looked(before: Ints, now: Floats, cell: Cell, rng: np.random.Generator) -> dict[str, Floats]:
    """Adaptive repeats: at each look `decide`, and "no worse than the margin", at its level."""
    looks = looks_of(cell.k)
    allowed = levels(cell.base, looks, ALPHA)
    told = {name: np.zeros(len(before)) for name in (FAIL, PASS, TRIALS)}
    done = [0, *looks]
    for i, (xs, rates_now) in enumerate(zip(before.tolist(), now, strict=True)):
        base, passed = [(cell.base, x) for x in xs], np.zeros(cell.n, dtype=np.int64)
        for look, level, more in zip(looks, allowed, np.diff(done), strict=True):
            passed += rng.binomial(more, rates_now)
            arm = [(look, y) for y in passed.tolist()]
            told[TRIALS][i] = look
            if decide(base, arm, alpha=level).regressed:
                told[FAIL][i] = 1
            elif non_inferior(base, arm, MARGIN) <= level:
                told[PASS][i] = 1
            if told[FAIL][i] or told[PASS][i]:
                break
    return told


def simulate(job: tuple[Cell, int, int]) -> dict[str, tuple[float, float]]:
    """What each rule said of `size` pairs of runs: its rate, and the squared standard error of that
    rate less the stratified test's (of a true level: of itself)."""
    cell, size, seed = job
    rng = np.random.default_rng([seed, *repr(cell).encode()])
    found: dict[str, list[Floats]] = {}
    for at in range(0, size, CHUNK):
        before, after = rates(cell, min(CHUNK, size - at), rng)
        x = rng.binomial(cell.base, before)
        if cell.looks:
            said = looked(x, after, cell, rng)
        else:
            y = rng.binomial(cell.k, after)
            decisions = ours(x, y, cell)
            said = {OURS: np.array([float(one.regressed) for one in decisions])}
            said[BEST] = stratified(x, y, cell).astype(float)
            if cell.base == cell.k:
                said[FLIP] = sign_flip(x, y, cell, rng).astype(float)
                said[NAIVE] = naive(x, y, cell).astype(float)
            if not cell.drop and at * cell.n * cell.k <= WORKED_OUT:
                said[LEVEL] = true_levels(x + y, decisions, cell)
        for name, values in said.items():
            found.setdefault(name, []).append(values)
    every = {name: np.concatenate(parts) for name, parts in found.items()}
    against = every.get(BEST, np.zeros(size))
    return {
        name: (float(one.mean()), _error2(one if name == LEVEL else one - against))
        for name, one in every.items()
    }


def _error2(values: Floats) -> float:
    return float(values.var() / len(values))
