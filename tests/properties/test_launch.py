"""Schedules: whatever the parameters, in order, complete, within bounds, and the same again."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from proofrig.scenarios import launch

some = settings(max_examples=60, deadline=None)
counts = st.integers(0, 200)
rates = st.floats(0.01, 10_000)
spans = st.floats(0.001, 10_000)
seeds = st.integers(0, 2**53 - 1)
Make = Callable[[int], launch.Schedule]

# Every open schedule, as a function of how many agents there are.
open_schedules = st.one_of(
    st.just(launch.co_launch),
    spans.map(lambda s: lambda n: launch.ramp(n, s)),
    spans.map(lambda s: lambda n: launch.ramp_down(n, s)),
    st.tuples(st.integers(1, 50), spans).map(lambda p: lambda n: launch.waves(n, *p)),
    rates.map(lambda rate: lambda n: launch.constant(n, rate)),
    st.tuples(rates, seeds).map(lambda p: lambda n: launch.poisson(n, *p)),
    st.tuples(rates, seeds).map(lambda p: lambda n: launch.bursty(n, *p)),
    st.tuples(spans, st.integers(1, 50), st.floats(0, 5)).map(
        lambda p: lambda n: launch.aligned(n, *p)
    ),
    st.tuples(st.lists(st.floats(0, 1e5), min_size=1, max_size=9), st.floats(0.01, 100)).map(
        lambda p: lambda n: launch.trace(p[0], n, p[1])
    ),
)


@some
@given(open_schedules, counts)
def test_a_schedule_has_one_instant_for_each_agent_in_ascending_order(
    make: Make, agents: int
) -> None:
    schedule = make(agents)
    assert len(schedule) == agents
    assert all(isinstance(at, int) and at >= 0 for at in schedule)
    assert list(schedule) == sorted(schedule)
    assert schedule == make(agents)


@some
@given(st.sampled_from([launch.poisson, launch.bursty]), rates, seeds, counts, counts)
def test_a_longer_schedule_begins_like_a_shorter_one(
    make: Callable[[int, float, int], launch.Schedule], rate: float, seed: int, a: int, b: int
) -> None:
    short, long = sorted((a, b))
    assert make(long, rate, seed)[:short] == make(short, rate, seed)


@some
@given(st.integers(2, 200), spans)
def test_a_ramp_fills_its_time(agents: int, over_s: float) -> None:
    for schedule in (launch.ramp(agents, over_s), launch.ramp_down(agents, over_s)):
        assert (schedule[0], schedule[-1]) == (0, round(over_s * launch.NS))


@some
@given(rates, seeds, seeds)
def test_another_seed_is_another_schedule(rate: float, one: int, other: int) -> None:
    same = launch.poisson(50, rate, one) == launch.poisson(50, rate, other)
    assert same == (one == other)


@some
@given(counts, st.floats(0.001, 100), seeds)
def test_nobody_thinks_less_than_nothing(agents: int, mean_s: float, seed: int) -> None:
    waits = launch.think(agents, mean_s, seed)
    assert len(waits) == agents
    assert all(wait >= 0 for wait in waits)
    assert waits == launch.think(agents, mean_s, seed)
