"""Schedules: numbers in, instants out; nothing sleeps."""

from __future__ import annotations

from itertools import pairwise

import pytest

from proofrig.scenarios import launch

S = launch.NS


def test_all_start_at_once() -> None:
    assert launch.co_launch(3) == (0, 0, 0)


def test_a_ramp_rises_from_the_first_to_the_last_second() -> None:
    assert launch.ramp(5, 2.0) == (0, S, round(2**0.5 * S), round(3**0.5 * S), 2 * S)
    assert launch.ramp(1, 2.0) == (0,)
    assert launch.ramp(0, 2.0) == ()
    late = [at for at in launch.ramp(1000, 10.0) if at >= 7 * S]
    assert 500 <= len(late) <= 520  # half of them in the last 30 % of the time


def test_a_ramp_down_is_a_ramp_run_backwards() -> None:
    up, down = launch.ramp(50, 3.0), launch.ramp_down(50, 3.0)
    assert (down[0], down[-1]) == (0, 3 * S)
    gaps = [b - a for a, b in pairwise(up)]
    assert [b - a for a, b in pairwise(down)] == gaps[::-1]
    assert launch.ramp_down(0, 3.0) == ()


def test_waves_come_whole_and_the_last_may_be_small() -> None:
    assert launch.waves(5, 2, 1.5) == (0, 0, 3 * S // 2, 3 * S // 2, 3 * S)


def test_a_constant_rate_is_even() -> None:
    assert launch.constant(4, 4.0) == (0, S // 4, S // 2, 3 * S // 4)


@pytest.mark.parametrize("schedule", [launch.poisson, launch.bursty])
def test_chance_keeps_the_rate_on_average(schedule: object) -> None:
    assert callable(schedule)
    spans = [schedule(40_000, 100.0, seed)[-1] / S for seed in range(5)]
    assert 330 < sum(spans) / len(spans) < 470  # 40,000 at 100 a second


def test_a_bursty_schedule_clumps_and_a_poisson_one_does_not() -> None:
    def fano(schedule: launch.Schedule) -> float:
        """Variance over mean of the starts per 100 ms; 1 for independent starts."""
        bins = [0] * (schedule[-1] // (S // 10) + 1)
        for at in schedule:
            bins[at // (S // 10)] += 1
        mean = sum(bins) / len(bins)
        return sum((count - mean) ** 2 for count in bins) / len(bins) / mean

    assert fano(launch.poisson(4000, 100.0, 3)) < 1.5
    assert fano(launch.bursty(4000, 100.0, 3)) > 4


def test_an_aligned_schedule_lies_on_multiples_of_the_period_or_before() -> None:
    assert launch.aligned(5, 2.0, 2) == (0, 0, 2 * S, 2 * S, 4 * S)
    assert launch.aligned(3, 2.0, 1, lead_s=0.5) == (0, 3 * S // 2, 7 * S // 2)


def test_a_trace_is_played_from_its_first_start_in_order_and_again() -> None:
    assert launch.trace([12.0, 10.0, 11.0], 3) == (0, S, 2 * S)
    assert launch.trace([10.0, 11.0, 12.0], 5) == (0, S, 2 * S, 3 * S, 4 * S)
    assert launch.trace([10.0, 14.0], 2, speed=2.0) == (0, 2 * S)
    assert launch.trace([10.0], 3) == (0, 0, 0)
    with pytest.raises(ValueError, match="at least one start, got none"):
        launch.trace([], 3)


def test_thinking_is_around_its_mean_and_may_be_nothing() -> None:
    assert launch.think(3, 0.0, 1) == (0, 0, 0)
    waits = launch.think(4000, 2.0, 1)
    assert 1.8 < sum(waits) / len(waits) / S < 2.2


def test_a_schedule_may_come_later() -> None:
    assert launch.after((0, 5), 1.5) == (3 * S // 2, 3 * S // 2 + 5)
