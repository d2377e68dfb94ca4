"""Exact search of the nearest of many vectors.

Rules:
1. The nearest is the one of the greatest cosine; of equals, the one added last.
2. Nothing is approximated: every vector added and not removed takes part.
3. Sparse vectors are found through the dimensions they share, dense ones by looking at each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from operator import mul
from typing import Any, Protocol

from proofrig.services.embedding import Vector

# From Python 3.12 on, several times as fast.
_dot: Callable[[Sequence[float], Sequence[float]], float] = getattr(
    math, "sumprod", lambda one, other: sum(map(mul, one, other))
)


class Index(Protocol):
    """Vectors by number; numbers only grow."""

    def add(self, number: int, vector: Any) -> None:
        """Take in a normalised vector."""

    def remove(self, number: int) -> None:
        """Leave one out from now on."""

    def nearest(self, vector: Any) -> tuple[int, float]:
        """Number and cosine of the nearest; (-1, 0.0) when nothing is like it at all."""


class SparseIndex:
    """For vectors that are mostly zero: by dimension, which vectors have it and how much."""

    def __init__(self) -> None:
        self._postings: dict[int, dict[int, float]] = {}
        self._vectors: dict[int, Mapping[int, float]] = {}

    def add(self, number: int, vector: Mapping[int, float]) -> None:
        self._vectors[number] = vector
        for dimension, weight in vector.items():
            self._postings.setdefault(dimension, {})[number] = weight

    def remove(self, number: int) -> None:
        for dimension in self._vectors.pop(number):
            posting = self._postings[dimension]
            del posting[number]
            if not posting:
                del self._postings[dimension]

    def nearest(self, vector: Mapping[int, float]) -> tuple[int, float]:
        scores: dict[int, float] = {}
        get = scores.get
        for dimension, weight in vector.items():
            for number, other in self._postings.get(dimension, {}).items():
                scores[number] = get(number, 0.0) + weight * other
        return _best(scores)


class DenseIndex:
    """For vectors with a number for every dimension."""

    def __init__(self) -> None:
        self._vectors: dict[int, list[float]] = {}

    def add(self, number: int, vector: Sequence[float]) -> None:
        self._vectors[number] = list(vector)

    def remove(self, number: int) -> None:
        del self._vectors[number]

    def nearest(self, vector: Sequence[float]) -> tuple[int, float]:
        mine = list(vector)
        return _best({number: _dot(mine, other) for number, other in self._vectors.items()})


def index_for(vector: Vector) -> Index:
    """An empty index for vectors of this kind."""
    return SparseIndex() if isinstance(vector, Mapping) else DenseIndex()


def _best(scores: Mapping[int, float]) -> tuple[int, float]:
    if not scores:
        return -1, 0.0
    number, score = max(scores.items(), key=lambda item: (round(item[1], 12), item[0]))
    return number, min(1.0, score)
