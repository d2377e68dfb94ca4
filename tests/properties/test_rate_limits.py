"""Token buckets under any sequence of requests."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from proofrig.providers.limits import Bucket, Hold, Meter, Refusal, TenantLimits

STEPS = st.lists(
    st.tuples(
        st.floats(0, 30),  # seconds since the step before
        st.integers(0, 1500),  # tokens held
        st.integers(0, 1500),  # tokens used
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_no_span_of_time_admits_more_than_flowed_in(steps: list[tuple[float, int, int]]) -> None:
    meter = Meter(TenantLimits(requests_per_minute=30, burst=5), 0.0)
    now, admitted = 0.0, []
    for wait, tokens, _ in steps:
        now += wait
        if isinstance(meter.admit(tokens, now), Hold):
            admitted.append(now)
    for first, begin in enumerate(admitted):
        for last in range(first, len(admitted)):
            span = admitted[last] - begin
            assert last - first + 1 <= 5 + span * 0.5 + 1e-6


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_a_request_that_waits_as_told_is_let_in(steps: list[tuple[float, int, int]]) -> None:
    meter = Meter(TenantLimits(requests_per_minute=30, tokens_per_minute=1000), 0.0)
    now = 0.0
    for wait, held, used in steps:
        now += wait
        answer = meter.admit(held, now)
        if isinstance(answer, Refusal):
            assert answer.retry_after > 0
            if answer.limit == "too_large":
                assert held > 1000
                continue
            now += answer.retry_after + 1e-6
            answer = meter.admit(held, now)
        assert isinstance(answer, Hold)
        with answer:
            answer.settle(used)
    assert meter.in_flight == 0


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_what_is_in_a_bucket_adds_up(steps: list[tuple[float, int, int]]) -> None:
    bucket = Bucket(600, 0.0)
    level, now = 600.0, 0.0
    for wait, taken, back in steps:
        now += wait
        bucket.take(taken, now)
        bucket.take(-back, now)
        level = min(600.0, min(600.0, level + wait * 10) - taken + back)
        assert abs(bucket.level(now) - level) < 1e-6
