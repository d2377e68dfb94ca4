"""Retries in step, told from retries that are spread."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from proofrig.checkers.checker import Checked
from specimens.simulated_load.judging import judged
from specimens.simulated_load.world import World


def check(at: Iterable[float], *, service: int = 1, lag_ms: float = 0.0) -> Checked:
    """Agents that are all refused at 0 and tried again at `at`, round robin over services."""
    world = World(0)
    world.scenario("burst")
    world.note("lag", p99_ns=round(lag_ms * 1e6))
    at = list(at)
    names = [f"api{number % service}" for number in range(len(at))]
    for begun in (0.0, None):
        for number, again in sorted(enumerate(at), key=lambda one: one[1]):
            trial = f"c@burst:{number}"
            world.now = again if begun is None else begun
            id = world.start("quota.take", trial, service=names[number], limit="b", amount=1)
            attrs = {"status": 429, "retry_after_ns": 1_000_000_000}
            world.commit(id, "quota.take", trial, outcome="fail", **attrs)
    return judged("synchronised_retries", world.entries)


def test_a_herd_is_proved_by_its_first_retries_and_what_they_were_told() -> None:
    found = check(1.0 + number * 0.0001 for number in range(60))
    assert found.verdict == "invalid"
    witness = found.findings[0].witness
    assert len(witness) == 10
    assert witness[0].says == "retry at 1000 ms, told to come back at 1000 ms"
    assert found.measures["fullest_100ms_share"] == 1
    assert found.measures["fano"] == pytest.approx(54)  # all in one of ten bins of 50 ms


def test_thirty_retries_are_needed() -> None:
    few = check([1.0] * 29)
    assert (few.verdict, few.found) == ("unknown", 0)
    assert check([1.0] * 30).verdict == "invalid"


def test_retries_spread_evenly_are_no_herd_however_many() -> None:
    found = check(1.0 + number * 0.001 for number in range(2000))
    assert found.verdict == "valid"
    assert found.measures["fano"] < 1


def test_a_ramp_of_retries_has_a_large_fano_factor_and_is_no_herd() -> None:
    found = check(1.0 + (number / 3000) ** 0.5 for number in range(3000))
    assert found.measures["fano"] > 10
    assert found.verdict == "valid"


def test_each_service_is_judged_alone() -> None:
    found = check([1.0 + number * 0.00001 for number in range(120)], service=3)
    assert found.found == 3
    assert found.exposure == {"retries": 120, "services": 3}


def test_together_they_are_judged_where_none_has_enough() -> None:
    found = check([1.0] * 40, service=2)
    assert [one.kind for one in found.findings] == ["synchronised_retries"]


def test_a_rig_that_lags_proves_nothing() -> None:
    found = check([1.0] * 60, lag_ms=50)
    assert (found.verdict, found.found) == ("unknown", 1)
    assert "50 ms late" in found.says


def test_the_histogram_is_bounded_and_whole() -> None:
    found = check(1.0 + number for number in range(100))
    assert len(found.series["retries"]) <= 200
    assert sum(found.series["retries"]) == 100
