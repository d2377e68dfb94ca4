"""Token buckets on a clock that is passed in, and the vendors' headers."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from proofrig.providers.limits import (
    Bucket,
    Hold,
    Limits,
    Meter,
    Refusal,
    TenantLimits,
    go_duration,
    limit_headers,
    retry_headers,
)


def enter(meter: Meter, tokens: int, now: float) -> Hold:
    hold = meter.admit(tokens, now)
    assert isinstance(hold, Hold), hold
    return hold


def refuse(meter: Meter, tokens: int, now: float) -> Refusal:
    refusal = meter.admit(tokens, now)
    assert isinstance(refusal, Refusal)
    return refusal


def test_a_bucket_is_full_at_first_and_refills_steadily() -> None:
    bucket = Bucket(per_minute=60, now=1000.0)
    bucket.take(60, 1000.0)
    assert bucket.wait(1, 1000.0) == 1.0
    assert bucket.wait(1, 1000.75) == pytest.approx(0.25)
    assert bucket.wait(1, 1001.0) == 0.0
    assert bucket.level(5000.0) == 60  # never above its depth
    assert bucket.wait(61, 5000.0) == math.inf


def test_requests_over_the_limit_wait_for_the_next_drop() -> None:
    meter = Meter(TenantLimits(requests_per_minute=120, burst=2), now=0.0)
    for _ in range(2):
        enter(meter, 10, 0.0)
    assert refuse(meter, 10, 0.0) == Refusal("requests", 0.5, 120, 1)
    assert refuse(meter, 10, 0.25).retry_after == pytest.approx(0.25)
    enter(meter, 10, 0.5)
    assert refuse(meter, 10, 0.5).limit == "requests"


def test_a_refused_request_takes_nothing() -> None:
    meter = Meter(TenantLimits(requests_per_minute=60, tokens_per_minute=100), now=0.0)
    enter(meter, 80, 0.0)
    for _ in range(50):
        assert refuse(meter, 80, 0.0).limit == "tokens"
    assert meter.requests and meter.requests.level(0.0) == 59
    assert meter.tokens and meter.tokens.level(0.0) == 20
    assert meter.in_flight == 1


def test_tokens_are_corrected_when_the_turn_is_known() -> None:
    meter = Meter(TenantLimits(tokens_per_minute=1000), now=0.0)
    assert meter.tokens
    with enter(meter, 900, 0.0) as hold:
        assert meter.tokens.level(0.0) == 100
        hold.settle(50)
    assert meter.tokens.level(0.0) == 950
    with enter(meter, 100, 0.0) as hold:
        hold.settle(1450)  # more than was held: the bucket stands in debt
    assert meter.tokens.level(0.0) == -500
    assert refuse(meter, 1, 0.0).retry_after == pytest.approx(501 * 60 / 1000)


def test_a_request_that_failed_used_no_tokens() -> None:
    meter = Meter(TenantLimits(tokens_per_minute=1000), now=0.0)
    with pytest.raises(RuntimeError), enter(meter, 900, 0.0):
        raise RuntimeError
    assert meter.tokens and meter.tokens.level(0.0) == 1000
    assert meter.in_flight == 0


def test_a_request_that_never_fits_is_refused_for_good() -> None:
    meter = Meter(TenantLimits(tokens_per_minute=1000), now=0.0)
    assert refuse(meter, 1001, 0.0) == Refusal("too_large", math.inf, 1000, 1001)
    assert retry_headers("responses", math.inf) == [("x-should-retry", "false")]


def test_concurrent_requests_are_capped_until_one_ends() -> None:
    meter = Meter(TenantLimits(concurrent=2), now=0.0)
    first = enter(meter, 1, 0.0)
    enter(meter, 1, 0.0)
    assert refuse(meter, 1, 0.0).limit == "concurrent"
    with first:
        pass
    enter(meter, 1, 0.0)
    assert meter.peak == 2


def test_tenants_may_have_limits_of_their_own() -> None:
    limits = Limits(requests_per_minute=10, tenants={"big": TenantLimits(requests_per_minute=1000)})
    assert limits.of("big").requests_per_minute == 1000
    assert limits.of("other").requests_per_minute == 10


def test_openai_headers() -> None:
    meter = Meter(TenantLimits(requests_per_minute=600, tokens_per_minute=40_000), now=0.0)
    enter(meter, 10_000, 0.0)
    assert dict(limit_headers("chat_completions", meter, 0.0)) == {
        "x-ratelimit-limit-requests": "600",
        "x-ratelimit-remaining-requests": "599",
        "x-ratelimit-reset-requests": "100ms",
        "x-ratelimit-limit-tokens": "40000",
        "x-ratelimit-remaining-tokens": "30000",
        "x-ratelimit-reset-tokens": "15s",
    }
    assert dict(retry_headers("chat_completions", 1.25)) == {
        "retry-after": "2",
        "retry-after-ms": "1250",
        "x-should-retry": "true",
    }


def test_anthropic_headers() -> None:
    meter = Meter(TenantLimits(requests_per_minute=60), now=0.0)
    enter(meter, 1, 0.0)
    noon = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
    assert dict(limit_headers("messages", meter, 0.0, noon)) == {
        "anthropic-ratelimit-requests-limit": "60",
        "anthropic-ratelimit-requests-remaining": "59",
        "anthropic-ratelimit-requests-reset": "2026-01-02T12:00:01Z",
    }
    assert dict(retry_headers("messages", 0.2)) == {"retry-after": "1", "x-should-retry": "true"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.012, "12ms"),
        (1.5, "1.5s"),
        (59.9999, "60s"),
        (360, "6m0s"),
        (3602, "1h0m2s"),
    ],
)
def test_durations_are_written_as_openai_writes_them(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text
