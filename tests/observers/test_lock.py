"""Locks of threads, of asyncio and of others: who held what, and who waited."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from proofrig.observers import observed_lock
from proofrig.observers.recorder import Recorder

from .conftest import Recorded


def test_a_lock_of_threads(recorded: Recorded) -> None:
    lock = observed_lock(threading.Lock(), "locks", "file", recorder=recorded.recorder)
    entered = threading.Event()

    def holder() -> None:
        with lock:
            entered.set()
            time.sleep(0.05)

    thread = threading.Thread(target=holder)
    thread.start()
    entered.wait()
    assert lock.acquire(blocking=False) is False
    assert lock.acquire() is True
    assert lock.locked() is True
    lock.release()
    thread.join()
    with pytest.raises(RuntimeError):
        lock.release()
    told = sorted(recorded.told("key", "error"), key=str)
    assert told == sorted(
        [
            ("lock.acquire", "ok", "file", None),
            ("lock.acquire", "fail", "file", None),
            ("lock.acquire", "ok", "file", None),
            ("lock.release", "ok", "file", None),
            ("lock.release", "ok", "file", None),
            ("lock.release", "fail", "file", "RuntimeError: release unlocked lock"),
        ],
        key=str,
    )
    waits = [a.attr("waited_ns") for a in recorded.actions() if a.name == "lock.acquire"]
    assert sorted(waits)[-1] > 20_000_000


def test_a_lock_taken_twice_by_its_holder_is_held_once(recorded: Recorded) -> None:
    lock = observed_lock(threading.RLock(), "locks", "file", recorder=recorded.recorder)
    with lock, lock:
        lock.acquire()
        lock.release()
    with lock:
        pass
    assert recorded.told() == [("lock.acquire", "ok"), ("lock.release", "ok")] * 2


def test_a_condition_gives_the_lock_back_where_all_can_see(recorded: Recorded) -> None:
    for inner in (threading.Lock(), threading.RLock()):
        lock = observed_lock(inner, "locks", "file", recorder=recorded.recorder)
        condition = threading.Condition(lock)
        with condition:
            assert condition.wait(0.001) is False
    told = recorded.told()
    assert [one for one in told if one[1] == "ok"] == [
        ("lock.acquire", "ok"),
        ("lock.release", "ok"),
    ] * 4


async def test_a_lock_of_asyncio(recorded: Recorded) -> None:
    lock = observed_lock(asyncio.Lock(), "locks", "file", recorder=recorded.recorder)
    async with lock:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(lock.acquire(), 0.01)
    assert await lock.acquire() is True
    lock.release()
    assert recorded.told() == [
        ("lock.acquire", "ok"),
        ("lock.acquire", "fail"),
        ("lock.release", "ok"),
        ("lock.acquire", "ok"),
        ("lock.release", "ok"),
    ]


class LockNotOwnedError(Exception):
    """As redis-py names it."""


class Fenced:
    """A lock with a time to live and tokens that grow."""

    timeout = 2.5

    def __init__(self) -> None:
        self.fencing_token = 0
        self.expired = False

    async def acquire(self) -> bool:
        self.fencing_token += 1
        return True

    async def release(self) -> None:
        if self.expired:
            raise LockNotOwnedError("no longer owned")

    def extend(self, seconds: float) -> bool:
        return True


async def test_time_to_live_fencing_and_expiry(recorded: Recorded) -> None:
    lock: Any = observed_lock(Fenced(), "locks", "job", recorder=recorded.recorder)
    await lock.acquire()
    lock.extend(1)
    await lock.release()
    await lock.acquire()
    lock._inner.expired = True
    with pytest.raises(LockNotOwnedError):
        await lock.release()
    assert recorded.told("fencing", "ttl_ns", "expired") == [
        ("lock.acquire", "ok", 1, 2_500_000_000, None),
        ("lock.renew", "ok", 1, None, None),
        ("lock.release", "ok", 1, None, None),
        ("lock.acquire", "ok", 2, 2_500_000_000, None),
        ("lock.release", "fail", 2, None, True),
    ]


def test_without_a_history_the_lock_itself_is_given_back() -> None:
    inner = threading.Lock()
    assert observed_lock(inner, "locks", "file", recorder=Recorder({})) is inner
