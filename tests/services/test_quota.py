"""The quota-limited API: never more than its capacity, and when to come again."""

from __future__ import annotations

import pytest

from proofrig.services.service import Caller, Service
from service_rig import ACME, ADAPTER, GLOBEX, Clock, done, make

QUOTA = {"type": "quota", "name": "search", "capacity": 4, "per_s": 2}


def take(quota: Service, count: int, caller: Caller = ACME) -> list[int]:
    return [done(quota, "take", caller).status for _ in range(count)]


def test_a_bucket_is_full_at_first_and_refilled_steadily() -> None:
    clock = Clock()
    quota = make(QUOTA, clock)
    assert take(quota, 5) == [200] * 4 + [429]
    over = done(quota, "take", amount=2)
    assert over.attrs == {"status": 429, "level": 0, "capacity": 4, "retry_after_ns": 10**9}
    assert (over.outcome, over.retry_after_ns) == ("fail", 10**9)
    clock.now += 10**9 - 1
    assert done(quota, "take", amount=2).retry_after_ns == 1
    clock.now += 1
    assert done(quota, "take", amount=2).attrs == {"status": 200, "level": 0, "capacity": 4}
    clock.pass_s(100)
    assert take(quota, 5) == [200] * 4 + [429]


def test_a_window_lets_its_capacity_in_each_time() -> None:
    clock = Clock()
    quota = make(QUOTA | {"limit": "window"}, clock)
    clock.pass_s(1.5)
    assert take(quota, 5) == [200] * 4 + [429]
    assert done(quota, "take").retry_after_ns == 500_000_000
    clock.pass_s(0.5)
    assert take(quota, 5) == [200] * 4 + [429]


def test_concurrency_counts_who_is_inside() -> None:
    quota = make(QUOTA | {"limit": "concurrency", "capacity": 2, "latency_ms": 50})
    inside = [done(quota, "take") for _ in range(2)]
    over = done(quota, "take")
    assert (over.status, over.retry_after_ns) == (429, 50_000_000)
    for one in inside:
        assert one.after is not None
        one.after()
    assert take(quota, 3) == [200, 200, 429]


def test_concurrency_without_time_is_refused() -> None:
    with pytest.raises(ValueError, match="latency_ms: expected more than 0"):
        ADAPTER.validate_python(QUOTA | {"limit": "concurrency"})


def test_tenants_share_one_unless_each_has_its_own() -> None:
    shared = make(QUOTA)
    assert take(shared, 4) + take(shared, 1, GLOBEX) == [200] * 4 + [429]
    own = make(QUOTA | {"partition": "tenant"})
    assert take(own, 4) + take(own, 1, GLOBEX) == [200] * 5
    assert own.ask(GLOBEX, "take", {}).started == {
        "service": "search",
        "physical": "globex",
        "limit": "bucket",
        "amount": 1,
    }


def test_a_fixed_answer_and_what_never_fits() -> None:
    quota = make(QUOTA | {"retry_after_s": 7})
    take(quota, 4)
    assert done(quota, "take").retry_after_ns == 7_000_000_000
    assert done(quota, "take", amount=5).status == 409
