"""The lock: one holder, in turn, for a time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proofrig.services.lock import LockService
from proofrig.services.service import Caller, Done, Misasked, Service
from service_rig import ACME, GLOBEX, Clock, done, make

LOCK = {"type": "lock", "name": "jobs", "ttl_s": 10}


def listen(service: Service) -> list[tuple[str, dict[str, Any]]]:
    heard: list[tuple[str, dict[str, Any]]] = []
    service.note = lambda name, attrs: heard.append((name, attrs))
    return heard


async def waiting(service: Service, caller: Caller, **arguments: Any) -> asyncio.Task[Done]:
    """A task that waits for the lock by now."""
    made = service.apply(service.ask(caller, "acquire", arguments))
    assert not isinstance(made, Done)
    task = asyncio.ensure_future(made)
    await asyncio.sleep(0)
    return task


@pytest.mark.parametrize("ttl_s", [0, -1, 3601])
def test_a_time_to_live_of_nothing_is_no_time_to_live(ttl_s: float) -> None:
    with pytest.raises(Misasked, match="ttl_s"):
        make(LOCK).ask(ACME, "acquire", {"key": "a", "ttl_s": ttl_s})


def test_one_holds_it_until_it_is_given_back() -> None:
    lock = make(LOCK)
    first = done(lock, "acquire", key="a", ttl_s=3)
    assert (first.result, first.attrs) == (
        {"ttl_s": 3.0, "fencing": 1},
        {"waited_ns": 0, "fencing": 1},
    )
    refused = done(lock, "acquire", GLOBEX, key="a")
    assert (refused.status, refused.attrs) == (409, {"waited_ns": 0, "holder": "case:0"})
    assert done(lock, "acquire", key="a").status == 409, "it is not reentrant"
    assert done(lock, "acquire", GLOBEX, key="b").result["fencing"] == 2
    assert done(lock, "release", GLOBEX, key="a").attrs == {}
    assert done(lock, "release", key="a", fencing=1).status == 200
    assert done(lock, "acquire", GLOBEX, key="a").result["fencing"] == 3


def test_what_an_acquire_says_before_it_is_done() -> None:
    ask = make(LOCK).ask(ACME, "acquire", {"key": "a"})
    assert ask.started == {"service": "jobs", "key": "a", "ttl_ns": 10_000_000_000}
    ask = make(LOCK | {"ttl_s": None}).ask(ACME, "acquire", {"key": "a", "ttl_s": 3})
    assert ask.started == {"service": "jobs", "key": "a"}


def test_time_frees_it_and_a_note_says_so() -> None:
    clock = Clock()
    lock = make(LOCK, clock)
    heard = listen(lock)
    done(lock, "acquire", key="a")
    assert lock.due() == clock.now + 10_000_000_000
    clock.pass_s(6)
    assert done(lock, "renew", key="a", fencing=1).status == 200
    clock.pass_s(9.9)
    assert done(lock, "acquire", GLOBEX, key="a").status == 409
    clock.pass_s(0.1)
    lock.sweep()
    said = {"service": "jobs", "key": "a", "holder": "case:0", "fencing": 1}
    assert heard == [("lock_expired", said)]
    for operation in ("release", "renew"):
        late = done(lock, operation, key="a", fencing=1)
        assert (late.status, late.attrs) == (409, {"expired": True})
    assert lock.due() is None


def test_an_old_token_of_the_same_trial_releases_nothing() -> None:
    clock = Clock()
    lock = make(LOCK, clock)
    done(lock, "acquire", key="a")
    clock.pass_s(10)
    assert done(lock, "acquire", key="a").result["fencing"] == 2
    assert done(lock, "release", key="a", fencing=1).attrs == {"expired": True}
    assert done(lock, "acquire", GLOBEX, key="a").status == 409


def test_without_a_time_to_live_it_is_never_free() -> None:
    clock = Clock()
    lock = make(LOCK | {"ttl_s": None, "fencing": False}, clock)
    assert done(lock, "acquire", key="a", ttl_s=1).result == {"ttl_s": None}
    clock.pass_s(1e6)
    assert lock.due() is None
    assert done(lock, "acquire", GLOBEX, key="a").status == 409


async def test_those_that_wait_get_it_in_the_order_they_came() -> None:
    clock = Clock()
    lock = make(LOCK, clock)
    done(lock, "acquire", key="a")
    callers = [Caller(f"case:{n}", "acme") for n in (3, 1, 2)]
    tasks = [await waiting(lock, one, key="a", wait_s=60) for one in callers]
    clock.pass_s(2)
    order = []
    done(lock, "release", key="a")
    for caller, task in zip(callers, tasks, strict=True):
        got = await task
        order.append((got.attrs["fencing"], got.attrs["waited_ns"]))
        assert [one.done() for one in tasks].count(True) == len(order)
        done(lock, "release", caller, key="a")
    assert order == [(2, 2_000_000_000), (3, 2_000_000_000), (4, 2_000_000_000)]


async def test_time_gives_it_to_the_next() -> None:
    clock = Clock()
    lock = make(LOCK, clock)
    done(lock, "acquire", key="a")
    task = await waiting(lock, GLOBEX, key="a", wait_s=60)
    clock.pass_s(10)
    lock.sweep()
    assert (await task).attrs == {"waited_ns": 10_000_000_000, "fencing": 2}


async def test_waiting_ends() -> None:
    lock = make(LOCK)
    done(lock, "acquire", key="a")
    gave_up = await waiting(lock, GLOBEX, key="a", wait_s=0.01)
    assert (await gave_up).status == 409
    gone = await waiting(lock, GLOBEX, key="a", wait_s=60)
    lock.forget("case:1")
    assert (await gone).status == 409
    done(lock, "release", key="a")
    assert done(lock, "acquire", key="a").status == 200, "nobody was left in the line"


async def test_one_that_goes_away_leaves_it_to_the_next() -> None:
    lock = make(LOCK)
    done(lock, "acquire", key="a")
    first = await waiting(lock, GLOBEX, key="a", wait_s=60)
    second = await waiting(lock, Caller("case:2", "acme"), key="a", wait_s=60)
    done(lock, "release", key="a")  # it is the first's now, who does not know yet
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await second).attrs["fencing"] == 3


def test_partitions_are_locked_apart() -> None:
    lock = make(LOCK | {"partition": "tenant"})
    assert done(lock, "acquire", key="a").status == 200
    assert done(lock, "acquire", GLOBEX, key="a").status == 200


def test_what_is_taken_away_counts_as_expired() -> None:
    clock = Clock()
    lock = make(LOCK, clock)
    heard = listen(lock)
    moved: list[None] = []
    lock.changed = lambda: moved.append(None)
    for key in ("a1", "a2", "b"):
        done(lock, "acquire", key=key)
    done(lock, "acquire", GLOBEX, key="a3")
    assert isinstance(lock, LockService)
    assert lock.expire("case:0", "a*") == ["a1", "a2"]
    assert lock.expire("case:0", "a*") == []
    assert len(moved) == 1
    assert [(name, attrs["key"], attrs["fencing"]) for name, attrs in heard] == [
        ("lock_expired", "a1", 1),
        ("lock_expired", "a2", 2),
    ]
    assert done(lock, "release", key="a1").attrs == {"expired": True}
    assert done(lock, "release", key="b").status == 200
    assert done(lock, "acquire", GLOBEX, key="a1").result["fencing"] == 5
    clock.pass_s(20)
    lock.sweep()  # what it would have freed is gone
    assert [attrs["key"] for _, attrs in heard[2:]] == ["a3", "a1"]
