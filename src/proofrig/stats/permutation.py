"""Two arms of the same cases, compared on any figure: labels permuted within each case.

Rules:
1. A trial's label says nothing when nothing changed, so within a case every deal of the labels is
   as likely as the one seen (Fisher 1935; Pitman 1937). Nothing is assumed about the figures.
2. One set of random deals serves every metric. The deal seen counts among them, so p is never 0
   (Phipson & Smyth 2010).
3. Every case weighs the same. A case without trials in both arms is left out.
4. Chance comes from the seed alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
CHUNK = 1 << 21  # numbers held at once, so that memory stays small


class Permuted(NamedTuple):
    """By metric: the effect (now - base, mean over cases of the difference of means), its standard
    error with the cases fixed, and p that it is this low, this high, this far from 0, by chance."""

    effect: Floats
    se: Floats
    p_less: Floats
    p_greater: Floats
    p_two: Floats


class Shift(NamedTuple):
    """How far apart two arms' mean profiles are, in [0, 1]: by case (`cases` holds their numbers)
    and on average, beside what chance alone would show, and the p of the average."""

    cases: Ints
    by_case: Floats
    chance_by_case: Floats
    distance: float
    chance: float
    p: float


class _Block(NamedTuple):
    """Cases with the same numbers of trials: trial indices (trials of a case, cases), and how many
    of each case are now's."""

    trials: Ints
    now: int


def permute(
    values: Floats, case: Ints, arm: Bools, *, draws: int = 1999, seed: int = 0
) -> Permuted:
    """The change of each metric, tested. `values`: (trials, metrics); `case`: (trials,) any whole
    numbers; `arm`: (trials,), True for now. Raises ValueError for shapes that do not fit, values
    that are not finite, or no case with trials in both arms."""
    values = np.asarray(values, dtype=np.float64)
    blocks = _blocks(values, case, arm)
    order = np.concatenate([block.trials.ravel() for block in blocks])
    cases = sum(block.trials.shape[1] for block in blocks)
    pull, rest = np.empty(len(order)), np.empty(len(order))
    start = 0
    for block in blocks:
        end = start + block.trials.size
        base = block.trials.shape[0] - block.now
        pull[start:end] = (1 / block.now + 1 / base) / cases
        rest[start:end] = 1 / base / cases
        start = end
    moved = values[order]
    offset = rest @ moved
    pulled = moved * pull[:, None]
    effect = np.asarray(arm, dtype=np.float64)[order] @ pulled - offset
    near = 1e-9 * np.abs(pulled).sum(axis=0) + 1e-300
    low = np.ones(values.shape[1])
    high, far = low.copy(), low.copy()
    for deal in _deals(blocks, draws, seed):
        chance = deal @ pulled - offset
        low += (chance <= effect + near).sum(axis=0)
        high += (chance >= effect - near).sum(axis=0)
        far += (np.abs(chance) >= np.abs(effect) - near).sum(axis=0)
    total = draws + 1
    return Permuted(effect, _se(values, blocks, arm), low / total, high / total, far / total)


def _blocks(values: Floats, case: Ints, arm: Bools) -> list[_Block]:
    case, arm = np.asarray(case), np.asarray(arm, dtype=bool)
    if values.ndim != 2 or case.shape != values.shape[:1] or arm.shape != values.shape[:1]:
        raise ValueError(
            f"expected (trials, columns) with a case and an arm for each trial, "
            f"got shapes {values.shape}, {case.shape} and {arm.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError("expected finite numbers, got some that are not; leave those trials out")
    _, number = np.unique(case, return_inverse=True)
    order = np.argsort(number, kind="stable")
    sizes = np.bincount(number)
    nows = np.bincount(number, weights=arm).astype(np.int64)
    starts = np.cumsum(sizes) - sizes
    blocks = []
    for size, now in sorted(set(zip(sizes.tolist(), nows.tolist(), strict=True))):
        if 0 < now < size:
            first = starts[(sizes == size) & (nows == now)]
            blocks.append(_Block(order[first[None, :] + np.arange(size)[:, None]], now))
    if not blocks:
        raise ValueError("expected at least one case with trials in both arms, got none")
    return blocks


def _deals(blocks: list[_Block], draws: int, seed: int, width: int = 0) -> Iterator[Floats]:
    """Random labels, 1.0 for now: (some draws, trials in the order of the blocks). Trial by trial,
    each is now's with the chance of the labels left (Fan, Muller & Rezucha 1962). `width`: numbers
    that are worked out per case and draw."""
    dice = np.random.default_rng(seed)
    trials = sum(block.trials.size for block in blocks)
    at_once = max(1, CHUNK // max(trials, width * sum(block.trials.shape[1] for block in blocks)))
    for done in range(0, draws, at_once):
        rows = min(at_once, draws - done)
        deal = np.empty((rows, trials))
        start = 0
        for block in blocks:
            size, cases = block.trials.shape
            wanted = np.full((rows, cases), block.now, dtype=np.float32)
            for left in range(size, 0, -1):
                taken = dice.random((rows, cases), dtype=np.float32) * left < wanted
                deal[:, start : start + cases] = taken
                wanted -= taken
                start += cases
        yield deal


def _se(values: Floats, blocks: list[_Block], arm: Bools) -> Floats:
    """With the cases fixed: each arm's own variance within the case; where an arm has a single
    trial, how the cases' differences scatter, which errs on the wide side; nan where one case of
    such trials is all there is."""
    arm = np.asarray(arm, dtype=bool)
    variance = np.zeros(values.shape[1])
    changes, thin = [], []
    for block in blocks:
        own, of_case = arm[block.trials][:, :, None], values[block.trials]
        base = block.trials.shape[0] - block.now
        means = [(of_case * own).sum(axis=0) / block.now, (of_case * ~own).sum(axis=0) / base]
        changes.append(means[0] - means[1])
        if min(block.now, base) == 1:
            thin.append(changes[-1])
            continue
        for mean, mine, n in ((means[0], own, block.now), (means[1], ~own, base)):
            variance += (mine * (of_case - mean) ** 2).sum(axis=(0, 1)) / (n - 1) / n
    change = np.concatenate(changes)
    cases = len(change)
    if thin:
        scatter = ((np.concatenate(thin) - change.mean(axis=0)) ** 2).sum(axis=0)
        variance += scatter * cases / (cases - 1) if cases > 1 else np.nan
    return np.asarray(np.sqrt(variance) / cases)


def profile_shift(
    profiles: Floats, case: Ints, arm: Bools, *, draws: int = 1999, seed: int = 0
) -> Shift:
    """Whether the arms do different things. `profiles`: (trials, features), each row a trial's
    shares (of tools called, of steps taken). The distance of a case is half the L1 distance of the
    arms' mean profiles (total variation); it is above 0 by chance alone, so it is held against what
    relabelled trials show. Raises ValueError as `permute`."""
    profiles = np.asarray(profiles, dtype=np.float64)
    blocks = _blocks(profiles, case, arm)
    labels = np.asarray(arm, dtype=np.float64)
    seen = _distances(
        labels[np.concatenate([b.trials.ravel() for b in blocks])][None], profiles, blocks
    )[0]
    chance, hits = np.zeros_like(seen), 1
    for deal in _deals(blocks, draws, seed, width=profiles.shape[1]):
        found = _distances(deal, profiles, blocks)
        chance += found.sum(axis=0)
        hits += int((found.mean(axis=1) >= seen.mean() - 1e-12).sum())
    cases = np.concatenate([np.asarray(case)[block.trials[0]] for block in blocks])
    order = np.argsort(cases, kind="stable")
    chance /= draws
    return Shift(
        cases[order],
        seen[order],
        chance[order],
        float(seen.mean()),
        float(chance.mean()),
        hits / (draws + 1),
    )


def _distances(deal: Floats, profiles: Floats, blocks: list[_Block]) -> Floats:
    """Half the L1 distance of the arms' mean profiles: (deals, cases as in the blocks)."""
    found, start = [], 0
    for block in blocks:
        size, cases = block.trials.shape
        base = size - block.now
        labels = deal[:, start : start + block.trials.size].reshape(len(deal), size, cases)
        of_case = profiles[block.trials].transpose(1, 0, 2)  # cases, trials of a case, features
        summed = np.matmul(labels.transpose(2, 0, 1), of_case)  # cases, deals, features
        apart = summed * (1 / block.now + 1 / base) - of_case.sum(axis=1, keepdims=True) / base
        found.append(np.abs(apart).sum(axis=2).T / 2)
        start += block.trials.size
    return np.concatenate(found, axis=1)
