"""Paces in, floods out."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from proofrig.anomalies.floods import Flood, Floods
from proofrig.anomalies.settings import Settings

SECOND = 1_000_000_000


def pace(floods: Floods, windows: Iterable[int], *, tokens: int = 0, begin: int = 0) -> list[Flood]:
    """So many calls in each window of ten seconds, evenly. Returns the floods that were told."""
    found = []
    for window, calls in enumerate(windows, begin):
        for call in range(calls):
            now = window * 10 * SECOND + call * 10 * SECOND // calls
            flood = floods.step(now, tokens)
            if flood is not None:
                found.append(flood)
    return found


def test_a_flood_is_hot_windows_in_a_row() -> None:
    floods = Floods()
    found = pace(floods, [2, 3, 2, 2, 3, 2, *[100] * 8])
    assert floods.settled
    assert found[0].count == 1
    steps = {flood.level: flood.count for flood in reversed(found)}
    assert steps == {0: 1, 1: 2, 2: 4, 3: 6}
    assert {flood.of for flood in found} == {"calls"}
    assert {flood.since for flood in found} == {6}
    assert found[-1].usual == 12  # a minute
    assert found[-1].per_minute == 600


def test_a_burst_is_none() -> None:
    found = pace(Floods(), [*[2] * 6, 500, 3, 400, 2, 300, 2, 0, 2])
    assert {flood.level for flood in found} == {0}


@pytest.mark.parametrize("usual", [1, 5, 40])
def test_the_runs_own_pace_and_the_floor_both_count(usual: int) -> None:
    """50 calls in ten seconds are none in any case, and ten times the usual is none."""
    limit = max(50, usual * 10)
    assert pace(Floods(), [*[usual] * 6, *[limit] * 9]) == []
    assert pace(Floods(), [*[usual] * 6, *[limit + 1] * 9])[-1].level == 3


def test_a_run_that_was_always_fast_has_no_flood() -> None:
    assert pace(Floods(), [900] * 30) == []


def test_one_wild_window_at_the_beginning_does_not_set_the_pace() -> None:
    found = pace(Floods(), [2, 900, 2, 2, 2, 2, *[100] * 6])
    assert found[-1].level == 3


def test_before_its_pace_is_known_nothing_is_a_flood() -> None:
    floods = Floods()
    assert pace(floods, [2, 2, 2, 5000, 5000]) == []
    assert not floods.settled


def test_windows_without_calls_are_not_the_runs_pace_and_end_a_flood() -> None:
    floods = Floods()
    assert pace(floods, [3, 0, 0, 3, 0, 3, 3, 0, 3, 3, *[100] * 3, 0, *[100] * 3])[-1].count == 3


def test_tokens_flood_too() -> None:
    settings = Settings(tokens_per_minute=60_000)
    floods = Floods(settings)
    assert pace(floods, [2] * 6, tokens=300) == []
    found = pace(floods, [3] * 7, tokens=9000, begin=6)
    assert (found[-1].of, found[-1].level) == ("tokens", 3)
    assert found[-1].usual == 3600


def test_a_flood_can_be_asked_for_between_two_calls() -> None:
    floods = Floods()
    pace(floods, [*[2] * 6, *[100] * 3])
    assert floods.now(90 * SECOND) is not None
    assert floods.now(130 * SECOND) is None, "it was quiet in between"
