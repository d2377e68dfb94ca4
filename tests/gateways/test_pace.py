"""How fast an endpoint may be called."""

from __future__ import annotations

from itertools import pairwise

import pytest

from proofrig.gateways.pace import Pace


def leave(pace: Pace, count: int, now: float = 0.0, tokens: int = 0) -> list[float]:
    """When so many calls leave that are all there at `now`."""
    times = []
    for _ in range(count):
        now = max(now, pace.opens())
        pace.take(now, tokens)
        times.append(now)
    return times


def test_without_ceilings_nothing_waits() -> None:
    pace = Pace()
    assert leave(pace, 1000, tokens=10_000) == [0.0] * 1000
    assert pace.per_minute is None


def test_calls_are_spread_evenly_below_the_ceiling() -> None:
    times = leave(Pace(600), 601)
    gaps = {round(after - before, 6) for before, after in pairwise(times)}
    assert gaps == {round(60 / 588, 6)}
    assert max(sum(start <= t < start + 60 for t in times) for start in times) <= 600


def test_a_silence_earns_no_credit() -> None:
    pace = Pace(60)
    leave(pace, 1)
    assert leave(pace, 3, now=1000.0) == pytest.approx([1000, 1000 + 60 / 58.8, 1000 + 120 / 58.8])


def test_tokens_are_taken_at_their_most_and_given_back() -> None:
    pace = Pace(0, 60_000)
    assert leave(pace, 2, tokens=9800) == pytest.approx([0, 10])
    pace.give_back(2 * 9800 - 98 * 2)  # they came to 98 each
    assert pace.opens() == 10.0


def test_a_refusal_halves_the_pace_once_for_all_that_had_left() -> None:
    pace = Pace(600)
    leave(pace, 4)
    assert pace.refused(sent=0.1, now=1.0, told_s=0.0) == (588.0, 294.0)
    assert pace.refused(sent=0.2, now=1.1, told_s=0.0) == (294.0, 294.0)
    assert pace.refused(sent=1.05, now=1.2, told_s=0.0) == (294.0, 147.0)


def test_nobody_leaves_before_the_vendor_wants_it() -> None:
    pace = Pace(600)
    pace.refused(sent=0.0, now=1.0, told_s=7.0)
    assert leave(pace, 2) == pytest.approx([8.0, 8.0 + 60 / 294])


def test_what_goes_well_raises_the_pace_up_to_its_ceiling() -> None:
    pace = Pace(600)
    pace.refused(sent=0.0, now=0.0, told_s=0.0)
    rates = []
    for second in range(1, 40):
        pace.went_well(float(second), float(second), {}, 0.0)
        rates.append(pace.per_minute)
    assert rates[0] == pytest.approx(294 + 588 / 30, abs=1)
    assert rates == sorted(rates)  # type: ignore[type-var]
    assert rates[14:] == [588.0] * 25


def test_what_had_left_before_the_refusal_raises_nothing() -> None:
    pace = Pace(600)
    pace.refused(sent=5.0, now=6.0, told_s=0.0)
    pace.went_well(sent=5.5, now=8.0, headers={}, unix_time=0.0)
    assert pace.per_minute == 294.0


def test_without_a_ceiling_the_pace_comes_down_to_what_the_vendor_lets_through() -> None:
    pace = Pace()
    leave(pace, 20)  # at once; the vendor takes five a second
    rates = [pace.refused(sent=0.0, now=1.0, told_s=1.0)[1] for _ in range(15)]
    assert rates[0] == 600.0  # half of what had left
    assert rates[-1] == 300.0
    assert pace.opens() == 2.0


def test_the_pace_never_comes_to_a_stop() -> None:
    pace = Pace(60)
    for second in range(100):
        pace.refused(sent=float(second), now=float(second), told_s=0.0)
    assert pace.per_minute == 1.0


def test_headers_that_say_that_nothing_remains_close_it_until_one_fits() -> None:
    pace = Pace()
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m0s",
    }
    pace.went_well(0.0, 2.0, headers, 0.0)
    assert pace.opens() == 3.0
    assert pace.per_minute is None


def test_headers_never_close_it_for_longer_than_vendors_count() -> None:
    pace = Pace()
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "9" * 400 + "h",
    }
    pace.went_well(10.0, 10.0, headers, 0.0)
    assert pace.opens() == 70.0
