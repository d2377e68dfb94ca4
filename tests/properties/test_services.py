"""What holds of the shared services whatever agents do, in whatever order."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proofrig.services.service import Caller
from service_rig import Clock, done, make

CALLERS = [Caller(f"case:{n}", f"t{n % 2}") for n in range(3)]
who = st.sampled_from(CALLERS)
pause = st.sampled_from([0.0, 0.3, 1.0, 4.0])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            who,
            st.sampled_from(["get", "put", "cas", "delete", "incr"]),
            st.sampled_from("ab"),
            st.integers(0, 4),
        ),
        max_size=40,
    )
)
def test_memory_answers_as_one_that_does_one_thing_at_a_time(steps: list[Any]) -> None:
    memory = make({"type": "kv", "name": "m"})
    values: dict[str, Any] = {"a": None, "b": None}
    versions = {"a": 0, "b": 0}
    for caller, operation, key, number in steps:
        arguments: dict[str, Any] = {"key": key}
        if operation in ("put", "cas", "incr"):
            arguments["value"] = number
        if operation == "cas":
            arguments["expected"] = number
        got = done(memory, operation, caller, **arguments)
        if operation == "get":
            assert got.result == {"value": values[key], "version": versions[key]}
            continue
        if operation == "cas" and number != versions[key]:
            assert (got.status, got.attrs["version"]) == (409, versions[key])
            continue
        if operation == "delete" and values[key] is None:
            assert got.attrs["version"] == versions[key]
            continue
        was = values[key] or 0
        values[key] = {"delete": None, "incr": was + number}.get(operation, number)
        versions[key] += 1
        assert got.attrs["version"] == versions[key]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(who, st.sampled_from(["acquire", "renew", "release"]), pause), max_size=40)
)
def test_a_lock_has_one_holder_within_its_time_and_tokens_grow(steps: list[Any]) -> None:
    clock = Clock()
    lock = make({"type": "lock", "name": "l", "ttl_s": 2}, clock)
    holder, until, token = "", 0, 0
    for caller, operation, seconds in steps:
        clock.pass_s(seconds)
        held = holder if clock.now < until else ""
        got = done(lock, operation, caller, key="k")
        if operation == "acquire":
            assert (got.status == 200) == (not held)
            if got.status == 200:
                assert got.attrs["fencing"] > token
                holder, until, token = caller.trial, clock.now + 2 * 10**9, got.attrs["fencing"]
            else:
                assert got.attrs["holder"] == held
            continue
        assert (got.status == 200) == (held == caller.trial)
        if got.status == 200:
            until = clock.now + 2 * 10**9 if operation == "renew" else 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["publish", "receive", "ack"]), pause), max_size=40),
    st.sampled_from([0.0, 0.5]),
    st.integers(1, 4),
    st.integers(0, 99),
)
def test_a_queue_delivers_everything_at_least_once(
    steps: list[Any], duplicates: float, reorder: int, seed: int
) -> None:
    clock = Clock()
    declared = {"visibility_s": 2, "duplicate_rate": duplicates, "reorder": reorder}
    queue = make({"type": "queue", "name": "q"} | declared, clock, seed)
    published, acked, deliveries, last = set(), set(), dict[str, int](), ""
    for operation, seconds in steps:
        clock.pass_s(seconds)
        if operation == "publish":
            published.add(done(queue, "publish", body="x").attrs["message"])
        elif operation == "receive":
            got = done(queue, "receive").attrs
            if got:
                last = got["message"]
                deliveries[last] = deliveries.get(last, 0) + 1
                assert got["delivery"] == deliveries[last]
        elif last and done(queue, "ack", message=last).status == 200:
            acked.add(last)
    clock.pass_s(10)
    left = set()
    while got := done(queue, "receive").attrs:
        left.add(got["message"])
    assert published - acked <= left <= published
    if not duplicates:
        assert not left & acked


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["bucket", "window"]),
    st.integers(1, 5),
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 900)), max_size=60),
)
def test_a_quota_never_lets_in_more_than_its_capacity(
    limit: str, capacity: int, steps: list[tuple[int, int]]
) -> None:
    clock = Clock()
    quota = make(
        {"type": "quota", "name": "q", "limit": limit, "capacity": capacity, "per_s": 1}, clock
    )
    let_in: list[tuple[int, int]] = []
    for amount, milliseconds in steps:
        clock.now += milliseconds * 1_000_000
        got = done(quota, "take", amount=amount)
        if got.status == 200:
            let_in.append((clock.now, amount))
        elif got.status == 429:
            assert got.retry_after_ns > 0
            again = clock.now + got.retry_after_ns
            if limit == "window":
                assert again % 10**9 == 0
    for first, _ in let_in:
        for last in sorted({at for at, _ in let_in if at >= first}):
            inside = sum(amount for at, amount in let_in if first <= at <= last)
            flowed = (last - first) * capacity // 10**9
            if limit == "bucket":
                assert inside <= capacity + flowed
            elif first // 10**9 == last // 10**9:
                assert inside <= capacity
