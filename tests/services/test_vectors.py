"""Exact search: it finds what looking at every vector finds."""

from __future__ import annotations

import random

import pytest

from proofrig.services.embedding import similarity
from proofrig.services.vectors import DenseIndex, SparseIndex, index_for


def test_sparse_search_finds_what_looking_at_each_finds() -> None:
    chance, index, held = random.Random(1), SparseIndex(), dict[int, dict[int, float]]()

    def vector() -> dict[int, float]:
        return {chance.randrange(50): chance.random() for _ in range(8)}

    for number in range(200):
        held[number] = vector()
        index.add(number, held[number])
    for number in range(0, 200, 3):
        del held[number]
        index.remove(number)
    for _ in range(50):
        probe = vector()
        best = max(held, key=lambda number: (similarity(probe, held[number]), number))
        number, score = index.nearest(probe)
        assert number == best
        assert score == pytest.approx(min(1.0, similarity(probe, held[best])))


def test_dense_search() -> None:
    index = index_for([1.0, 0.0])
    assert isinstance(index, DenseIndex)
    assert index.nearest([1.0, 0.0]) == (-1, 0.0)
    index.add(1, [1.0, 0.0])
    index.add(2, [0.6, 0.8])
    index.add(3, [0.6, 0.8])
    assert index.nearest([0.0, 1.0]) == (3, 0.8)
    index.remove(3)
    assert index.nearest([0.0, 1.0]) == (2, 0.8)


def test_nothing_in_common_is_nothing_found() -> None:
    index = index_for({1: 1.0})
    index.add(1, {1: 1.0})
    assert index.nearest({2: 1.0}) == (-1, 0.0)
    assert index.nearest({}) == (-1, 0.0)
