"""Steps and their levels."""

from __future__ import annotations

import pytest

from proofrig.anomalies.settings import Steps


@pytest.mark.parametrize(
    ("count", "level"), [(0, 0), (2, 0), (3, 1), (4, 1), (5, 2), (7, 2), (8, 3), (99, 3)]
)
def test_a_count_has_the_level_of_the_last_step_it_reached(count: int, level: int) -> None:
    assert Steps(3, 5, 8).level(count) == level
