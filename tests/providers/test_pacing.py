"""Times drawn from settings, and schedules without drift."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from proofrig.providers.pacing import Latency, LogNormal, Schedule, Uniform, draw


def quantiles(spread: Any, count: int = 20_000) -> tuple[float, float]:
    rng = Random(1)
    drawn = sorted(draw(spread, rng) for _ in range(count))
    return drawn[count // 2], drawn[count * 99 // 100]


def test_a_number_is_constant_and_milliseconds() -> None:
    assert quantiles(250) == (0.25, 0.25)


def test_log_normal_times_have_the_stated_quantiles() -> None:
    p50, p99 = quantiles(LogNormal(p50=400, p99=2000))
    assert p50 == pytest.approx(0.4, rel=0.03)
    assert p99 == pytest.approx(2.0, rel=0.08)


def test_uniform_times_stay_between_low_and_high() -> None:
    rng = Random(2)
    drawn = [draw(Uniform(low=10, high=20), rng) for _ in range(1000)]
    assert 0.01 <= min(drawn) < 0.0102 and 0.0198 < max(drawn) <= 0.02


def test_settings_are_read_in_their_short_forms() -> None:
    latency = Latency.model_validate(
        {"first_token_ms": {"p50": 300, "p99": 900}, "per_token_ms": {"low": 5, "high": 9}}
    )
    assert latency.first_token_ms == LogNormal(p50=300, p99=900)
    assert latency.per_token_ms == Uniform(low=5, high=9)
    assert not latency.none
    assert Latency().none


@pytest.mark.parametrize(
    "wrong",
    [
        {"first_token_ms": -1},
        {"first_token_ms": {"p50": 5, "p99": 4}},
        {"per_token_ms": {"low": 5, "high": 4}},
        {"per_token_ms": {"low": 5, "p99": 4}},
        {"first_token_s": 1},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Latency.model_validate(wrong)


def test_tokens_are_out_one_after_the_other_from_the_start_of_the_call() -> None:
    schedule = Schedule(Latency(first_token_ms=500, per_token_ms=20), Random(1), began=100.0)
    assert schedule.at(0) == schedule.at(1) == 100.5
    assert schedule.at(2) == pytest.approx(100.52)
    assert schedule.at(51) == pytest.approx(101.5)


def test_the_same_seed_gives_the_same_schedule_however_tokens_are_grouped() -> None:
    latency = Latency(
        first_token_ms=LogNormal(p50=100, p99=400), per_token_ms=LogNormal(p50=20, p99=60)
    )
    one_by_one = Schedule(latency, Random(7))
    times = [one_by_one.at(token) for token in range(1, 41)]
    in_groups = Schedule(latency, Random(7))
    assert [in_groups.at(token) for token in (1, 11, 40)] == pytest.approx(
        [times[0], times[10], times[39]]
    )
    assert times == sorted(times)
    assert Schedule(latency, Random(8)).at(40) != times[39]
