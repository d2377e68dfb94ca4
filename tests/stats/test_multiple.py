"""Adjusted p-values, by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proofrig.stats.multiple import benjamini_hochberg, bonferroni, holm

Method = Callable[[list[float]], list[float]]


@pytest.mark.parametrize(
    ("method", "p", "expected"),
    [
        (bonferroni, [0.01, 0.5], [0.02, 1.0]),
        (holm, [0.04, 0.01, 0.03], [0.06, 0.03, 0.06]),
        (holm, [0.9, 0.9], [1.0, 1.0]),
        (benjamini_hochberg, [0.04, 0.01, 0.03], [0.04, 0.03, 0.04]),
        (benjamini_hochberg, [0.02, 0.02], [0.02, 0.02]),
    ],
)
def test_by_hand(method: Method, p: list[float], expected: list[float]) -> None:
    assert method(p) == pytest.approx(expected)


@pytest.mark.parametrize("method", [bonferroni, holm, benjamini_hochberg])
def test_edges(method: Method) -> None:
    assert method([]) == []
    assert method([0.2]) == pytest.approx([0.2])
    assert method([0.0, 1.0]) == [0.0, 1.0]
    with pytest.raises(ValueError, match=r"between 0 and 1, got 1\.5"):
        method([0.1, 1.5])
    with pytest.raises(ValueError, match="between 0 and 1, got nan"):
        method([float("nan")])
