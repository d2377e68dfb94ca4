"""A ramp: rising load, or a recorded one played again."""

from __future__ import annotations

from itertools import pairwise

import pytest

from proofrig.errors import UsageError
from proofrig.scenarios import launch
from proofrig.scenarios.ramp import Ramp
from scenario_facts import facts, shape, starts


def at(ramp: Ramp) -> tuple[int, ...]:
    return tuple(start.at_ns for start in starts(ramp.phases(facts())))


def test_the_rate_rises_to_the_end() -> None:
    assert at(Ramp(agents=20, over_s=2.0)) == launch.ramp(20, 2.0)
    assert shape(Ramp(agents=20).phases(facts())) == [("ramp", 20, 0, None)]


def test_a_trace_takes_its_place() -> None:
    given = (5.0, 5.5, 9.0)
    assert at(Ramp(agents=4, trace=given, speed=2.0)) == launch.trace(given, 4, 2.0)


def test_a_trace_of_no_times_says_so() -> None:
    with pytest.raises(UsageError, match="scenario ramp: "):
        Ramp(trace=(0.0, float("nan"))).phases(facts())


def test_down_the_rate_falls() -> None:
    (phase,) = Ramp(agents=9, over_s=1, down=True).phases(facts())
    at = [start.at_ns for start in phase.starts]
    gaps = [later - earlier for earlier, later in pairwise(at)]
    assert gaps == sorted(gaps)
