"""The queue: every message at least once."""

from __future__ import annotations

import asyncio
from typing import Any

from proofrig.services.service import Caller, Done, Service
from service_rig import ACME, GLOBEX, Clock, done, make

QUEUE = {"type": "queue", "name": "work", "visibility_s": 10}


def receive(queue: Service, caller: Caller = ACME) -> tuple[Any, int]:
    """(body, delivery) of the next message; (None, 0) when there is none."""
    got = done(queue, "receive", caller).result
    return (got["body"], got["delivery"]) if got["message"] else (None, 0)


def test_messages_come_in_order_and_go_when_acknowledged() -> None:
    queue = make(QUEUE)
    ids = [done(queue, "publish", body={"n": n}).attrs["message"] for n in range(2)]
    assert ids == ["work-1", "work-2"]
    got = done(queue, "receive", GLOBEX)
    assert got.attrs == {"message": "work-1", "delivery": 1, "owner": "acme"}
    assert got.text == '{"n":0}'
    assert receive(queue) == ({"n": 1}, 1)
    assert receive(queue) == (None, 0)
    assert done(queue, "ack", message="work-1").status == 200
    assert "delivered again" in done(queue, "ack", message="work-1").error


def test_what_is_not_acknowledged_in_time_is_delivered_again_first() -> None:
    clock = Clock()
    queue = make(QUEUE, clock)
    for body in "abc":
        done(queue, "publish", body=body)
    assert [receive(queue), receive(queue)] == [("a", 1), ("b", 1)]
    clock.pass_s(10)
    assert done(queue, "ack", message="work-2").status == 409
    assert [receive(queue) for _ in range(4)] == [("a", 2), ("b", 2), ("c", 1), (None, 0)]


def test_duplicates_and_order_are_drawn_from_the_seed() -> None:
    def deliveries(seed: int, **settings: Any) -> list[str]:
        queue = make(QUEUE | settings, seed=seed)
        for n in range(20):
            done(queue, "publish", body=str(n))
        found = []
        while (got := receive(queue))[0] is not None:
            found.append(got[0])
        return found

    plain = [str(n) for n in range(20)]
    assert deliveries(1) == plain
    doubled = deliveries(1, duplicate_rate=0.5)
    assert set(doubled) == set(plain) and 20 < len(doubled) < 40
    assert deliveries(1, duplicate_rate=1.0) == [n for n in plain for _ in range(2)]
    mixed = deliveries(1, reorder=5)
    assert mixed != plain and sorted(mixed) == sorted(plain)
    assert mixed == deliveries(1, reorder=5) != deliveries(2, reorder=5)
    assert all(abs(at - plain.index(one)) < 20 for at, one in enumerate(mixed))


def test_a_full_queue_refuses_and_old_messages_go() -> None:
    clock = Clock()
    queue = make(QUEUE | {"max_entries": 1, "ttl_s": 5}, clock)
    assert done(queue, "publish", body="a").status == 200
    assert "is full: it holds 1 messages" in done(queue, "publish", body="b").error
    clock.pass_s(5)
    assert receive(queue) == (None, 0)


async def test_those_that_wait_get_messages_in_the_order_they_came() -> None:
    clock = Clock()
    queue = make(QUEUE, clock)

    def wait(caller: Caller, seconds: float = 60) -> asyncio.Task[Done]:
        made = queue.apply(queue.ask(caller, "receive", {"wait_s": seconds}))
        assert not isinstance(made, Done)
        return asyncio.ensure_future(made)

    first, second = wait(ACME), wait(GLOBEX)
    assert (await wait(ACME, 0.01)).result == {"message": None}
    done(queue, "publish", body="a")
    assert (await first).result["body"] == "a"
    assert not second.done()
    assert queue.due() == clock.now + 10_000_000_000
    clock.pass_s(10)
    queue.sweep()
    assert (await second).result == {"message": "work-1", "body": "a", "delivery": 2}
    third = wait(GLOBEX)
    await asyncio.sleep(0)
    queue.forget("case:1")
    assert (await third).result == {"message": None}


async def test_a_message_whose_receiver_goes_away_is_put_back() -> None:
    queue = make(QUEUE)
    made = queue.apply(queue.ask(ACME, "receive", {"wait_s": 60}))
    assert not isinstance(made, Done)
    task = asyncio.ensure_future(made)
    await asyncio.sleep(0)
    done(queue, "publish", body="a")
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert receive(queue) == ("a", 1)


def test_seeds_and_partitions() -> None:
    seed = {"globex": ["g"], "*": ["p"], "acme": ["a"]}
    shared = make(QUEUE | {"seed": seed})
    got = [done(shared, "receive").attrs for _ in range(3)]
    assert [(one.get("owner"), one.get("public")) for one in got] == [
        (None, True),
        ("globex", None),
        ("acme", None),
    ]
    parted = make(QUEUE | {"seed": seed, "partition": "tenant"})
    assert [receive(parted, GLOBEX)[0] for _ in range(3)] == ["p", "g", None]
    assert [receive(parted, ACME)[0] for _ in range(3)] == ["p", "a", None]
