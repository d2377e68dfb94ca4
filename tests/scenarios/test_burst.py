"""A burst: all at once, in waves, at a rate, or when a quota is refilled."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.scenarios import launch
from proofrig.scenarios.burst import Burst
from scenario_facts import TENANTS, facts, shape, shares, starts

S = launch.NS


def test_all_at_once_within_the_spread_that_was_asked_for() -> None:
    phases = Burst(agents=10, spread_ms=5).phases(facts())
    assert shape(phases) == [("burst", 10, 0, 5.0)]
    assert {start.at_ns for start in starts(phases)} == {0}
    assert shares(starts(phases)) == {name: 2 * weight for name, weight in TENANTS.items()}


@pytest.mark.parametrize(
    ("given", "schedule"),
    [
        ({"arrival": "waves", "size": 2, "every_s": 1.5}, (0, 0, 3 * S // 2, 3 * S // 2, 3 * S)),
        ({"arrival": "aligned", "size": 3, "every_s": 2.0}, (0, 0, 0, 2 * S, 2 * S)),
        ({"arrival": "constant", "rate": 2.0}, (0, S // 2, S, 3 * S // 2, 2 * S)),
        ({"arrival": "poisson", "rate": 9.0}, launch.poisson(5, 9.0, 7)),
        ({"arrival": "bursty", "rate": 9.0}, launch.bursty(5, 9.0, 7)),
    ],
)
def test_others_come_by_their_schedule_and_promise_no_spread(
    given: dict[str, Any], schedule: tuple[int, ...]
) -> None:
    [phase] = Burst(agents=5, **given).phases(facts(seed=7))
    assert tuple(start.at_ns for start in phase.starts) == schedule
    assert phase.spread_ms is None


def test_closed_keeps_so_many_at_work_and_each_thinks_first() -> None:
    (phase,) = Burst(agents=6, arrival="closed", workers=2, think_s=0.5).phases(facts())
    assert (phase.workers, phase.spread_ms) == (2, None)
    assert len({start.at_ns for start in phase.starts}) == 6
