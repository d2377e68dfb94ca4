"""Limits of calls: no stretch of time lets more of them pass than was said, and none less."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proofrig.faults.rate_limit import Limit

GAPS = st.lists(st.integers(0, 3_000), min_size=1, max_size=60)  # milliseconds between calls


def passed_at(limit: dict[str, Any], gaps: list[int]) -> tuple[list[int], list[tuple[int, float]]]:
    """When calls passed, and when others were told to wait for how long; times in nanoseconds."""
    limiter = Limit.model_validate(limit).fresh()
    now, passed, waits = 0, [], []
    for gap in gaps:
        now += gap * 1_000_000
        wait_s = limiter.take(now)
        if wait_s is None:
            passed.append(now)
        else:
            waits.append((now, wait_s))
    return passed, waits


@settings(max_examples=150, deadline=None)
@given(GAPS, st.integers(1, 5), st.integers(1, 5))
def test_a_window_holds_in_every_stretch(gaps: list[int], calls: int, seconds: int) -> None:
    limit = {"window": {"calls": calls, "seconds": seconds}}
    passed, waits = passed_at(limit, gaps)
    for start in passed:
        assert sum(start <= at < start + seconds * 10**9 for at in passed) <= calls
    for at, wait_s in waits:
        assert sum(at - seconds * 10**9 < one <= at for one in passed) == calls
        assert 0 < wait_s <= seconds


@settings(max_examples=150, deadline=None)
@given(GAPS, st.integers(1, 5), st.sampled_from([0.5, 1.0, 2.0, 7.0]))
def test_a_bucket_holds_between_any_two_calls(gaps: list[int], burst: int, rate: float) -> None:
    passed, waits = passed_at({"bucket": {"rate": rate, "burst": burst}}, gaps)
    for first, start in enumerate(passed):
        for last in range(first, len(passed)):
            most = burst + rate * (passed[last] - start) / 1e9
            assert last - first + 1 <= most + 1e-6
    for _, wait_s in waits:
        assert 0 < wait_s <= 1 / rate


@settings(max_examples=100, deadline=None)
@given(
    GAPS,
    st.sampled_from(
        [{"bucket": {"rate": 2.0, "burst": 3}}, {"window": {"calls": 2, "seconds": 3}}]
    ),
)
def test_who_waits_as_long_as_it_is_told_passes(gaps: list[int], limit: dict[str, Any]) -> None:
    limiter = Limit.model_validate(limit).fresh()
    now = 0
    for gap in gaps:
        now += gap * 1_000_000
        wait_s = limiter.take(now)
        if wait_s is not None:
            now += round(wait_s * 1e9) + 1
            assert limiter.take(now) is None
