"""Exact tails of a sum of independent whole numbers.

Rules:
1. One Fourier transform for all parts; equal parts are one part with copies, raised to a power.
2. A Fourier transform is exact to about 1e-16 of its largest value, too coarse for a far tail. So
   the sum is tilted first, until what was seen lies in its middle, and tilted back after (Esscher
   1932): the smaller tail keeps twelve digits, however small it is, of terms whose chances rise
   and fall once, as hypergeometric ones and coins do.
3. The transform is as long as the tilted sum is wide (Chernoff's bound, 1952), not as long as its
   support: what lies further out wraps around and is too little to matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
CHUNK = 1 << 20  # numbers held at once
NEGLIGIBLE = 46.0  # -log of the mass that may wrap around: 1e-20


class Part(NamedTuple):
    """`copies` independent terms, each `step` * j with chance `pmf[j]`."""

    step: int
    pmf: Sequence[float]
    copies: int


class Tails(NamedTuple):
    """The chances that a sum is below, at and above a value."""

    below: float
    at: float
    above: float


class Tilted(NamedTuple):
    """A sum's parts under a tilt: normalised chances (parts, terms), cumulant, mean, variance."""

    pmf: Floats
    cumulant: float
    mean: float
    variance: float


def tails(parts: Sequence[Part], at: int) -> Tails:
    """The tails of the sum of all parts at a value that it can take."""
    moving = [part for part in parts if part.copies and len(part.pmf) > 1 and part.step]
    if not moving:
        return Tails(0.0, 1.0, 0.0)
    unit = math.gcd(*(part.step for part in moving))
    top = sum(part.step * (len(part.pmf) - 1) * part.copies for part in moving)
    if not 0 <= at <= top or at % unit:
        raise ValueError(f"expected a multiple of {unit} in 0..{top}, got {at}")
    mean = sum(
        part.step * part.copies * sum(j * p for j, p in enumerate(part.pmf)) for part in moving
    )
    down = at <= mean
    if not down:  # count from the other end: only lower tails are worked out
        moving = [part._replace(pmf=tuple(reversed(part.pmf))) for part in moving]
        at = top - at
    steps = np.array([part.step // unit for part in moving])
    counts = np.array([part.copies for part in moving])
    pmf = np.zeros((len(moving), max(len(part.pmf) for part in moving)))
    for row, part in zip(pmf, moving, strict=True):
        row[: len(part.pmf)] = part.pmf
    below, here = _lower(pmf, steps, counts, at // unit)
    beyond = max(0.0, 1 - below - here)
    return Tails(below, here, beyond) if down else Tails(beyond, here, below)


def _lower(
    pmf: Floats, steps: npt.NDArray[np.int_], counts: npt.NDArray[np.int_], at: int
) -> tuple[float, float]:
    """P(S < at) and P(S = at) for `at` not above the mean of S."""
    if at == 0:
        return 0.0, float(math.exp(counts @ np.log(pmf[:, 0])))
    places = steps[:, None] * np.arange(pmf.shape[1]) * (pmf > 0)
    theta = _tilt_to(at, pmf, places, counts)
    tilted = _tilted(theta, pmf, places, counts)
    top = int(counts @ places.max(axis=1))
    down, up = _reach(tilted, places, counts)
    first = min(at, max(0, math.floor(tilted.mean - down)))
    last = max(at, math.ceil(min(top, tilted.mean + up)))
    length = 1 << (last - first).bit_length()
    chances = np.fft.irfft(_transform(tilted.pmf, places % length, counts, length), length)
    values = np.arange(first, at + 1)
    lower = np.maximum(chances[values % length], 0) * np.exp(theta * (at - values))
    scale = math.exp(tilted.cumulant - theta * at)
    return min(1.0, scale * float(lower[:-1].sum())), min(1.0, scale * float(lower[-1]))


def _tilted(
    theta: float, pmf: Floats, places: npt.NDArray[np.int_], counts: npt.NDArray[np.int_]
) -> Tilted:
    weighted = pmf * np.exp(theta * places)
    sums = weighted.sum(axis=1, keepdims=True)
    weighted /= sums
    means = (weighted * places).sum(axis=1)
    squares = (weighted * places * places).sum(axis=1)
    return Tilted(
        weighted,
        float(counts @ np.log(sums[:, 0])),
        float(counts @ means),
        float(counts @ (squares - means * means)),
    )


def _tilt_to(
    at: int, pmf: Floats, places: npt.NDArray[np.int_], counts: npt.NDArray[np.int_]
) -> float:
    """A theta <= 0 under which the sum's mean is about `at` > 0. A tenth of its standard deviation
    is near enough: a tilt changes no result, only how many digits of it are kept."""
    low, high, theta = -math.inf, 0.0, 0.0
    for _ in range(60):
        now = _tilted(theta, pmf, places, counts)
        off = now.mean - at
        if abs(off) <= 0.1 * math.sqrt(now.variance) + 1e-9:
            break
        low, high = (low, theta) if off > 0 else (theta, high)
        guess = theta - off / now.variance if now.variance > 0 else -math.inf
        if not low < guess < high:
            guess = (low + high) / 2 if low > -math.inf else 2 * theta - 1
        theta = guess
    return theta


def _reach(
    tilted: Tilted, places: npt.NDArray[np.int_], counts: npt.NDArray[np.int_]
) -> tuple[float, float]:
    """How far below and above its mean the sum goes but for negligible chances. Any slope gives a
    bound; the best is near the first one tried, or flatter where the sum is skewed."""
    steepest = 500 / float(places.max())  # beyond it exp() overflows
    if tilted.variance > 0:
        steepest = min(steepest, math.sqrt(2 * NEGLIGIBLE / tilted.variance))
    reach = [math.inf, math.inf]
    for slope in (steepest, steepest / 2, steepest / 4):
        for side, sign in enumerate((-1, 1)):
            cumulant = counts @ np.log((tilted.pmf * np.exp(sign * slope * places)).sum(axis=1))
            bound = (float(cumulant) + NEGLIGIBLE) / slope - sign * tilted.mean
            reach[side] = min(reach[side], bound)
    return reach[0], reach[1]


def _transform(
    pmf: Floats, places: npt.NDArray[np.int_], counts: npt.NDArray[np.int_], length: int
) -> npt.NDArray[np.complex128]:
    """The Fourier transform of the whole sum: of each part, to the power of its copies by repeated
    squaring, multiplied. Some parts at a time, so that memory stays small."""
    product = np.ones(length // 2 + 1, dtype=np.complex128)
    at_once = max(1, CHUNK // length)
    for start in range(0, len(pmf), at_once):
        some = slice(start, start + at_once)
        left, spread = counts[some], np.zeros((len(counts[some]), length))
        for chances, where in zip(pmf[some].T, places[some].T, strict=True):
            spread[np.arange(len(spread)), where] += chances
        rows = np.fft.rfft(spread, axis=1)
        while left.size:
            for row in rows[left % 2 == 1]:
                product *= row
            left = left // 2
            rows = rows[left > 0] ** 2
            left = left[left > 0]
    return product
