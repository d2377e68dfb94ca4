"""How near a run came to its declared caps."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.checkers.checker import Checked
from specimens.simulated_load.judging import judged
from specimens.simulated_load.world import World

TRIAL = "c@burst:1"


def world_of(**topology: dict[str, Any]) -> World:
    world = World(0)
    world.scenario("burst", topology=topology)
    return world


def act(
    world: World,
    name: str,
    seconds: float = 0.0,
    *,
    ended: dict[str, Any] | None = None,
    **asked: Any,
) -> None:
    id = world.start(name, TRIAL, **asked)
    world.now += seconds
    world.commit(id, name, TRIAL, **(ended or {}))


def check(world: World) -> Checked:
    return judged("topology", world.entries)


def test_the_longest_time_a_lock_was_held() -> None:
    world = world_of(desk={"type": "lock", "ttl_s": 10})
    for held in (2.0, 7.0, 1.0):
        act(world, "lock.acquire", service="desk", key="k", ended={"fencing": held})
        world.now += held
        act(world, "lock.release", service="desk", key="k", fencing=held)
    assert check(world).measures == {"cap:desk.ttl": pytest.approx(0.7)}


def test_a_lock_that_was_no_longer_held() -> None:
    world = world_of(desk={"type": "lock", "ttl_s": 1})
    act(world, "lock.acquire", service="desk", key="k", ended={"fencing": 1})
    world.now += 3
    late = {"outcome": "fail", "expired": True}
    act(world, "lock.release", service="desk", key="k", fencing=1, ended=late)
    assert check(world).measures["cap:desk.ttl"] == pytest.approx(3)


def test_the_emptiest_a_quota_was() -> None:
    world = world_of(api={"type": "quota", "capacity": 40})
    for level in (39, 10, 30):
        ended = {"status": 200, "level": level, "capacity": 40}
        act(world, "quota.take", service="api", amount=1, ended=ended)
    found = check(world)
    assert found.measures == {"cap:api.capacity": 0.75}
    assert found.says == "nearest to a cap: api.capacity 75%"


def test_connections_at_once() -> None:
    world = world_of()
    world.note("pool", service="httpx:1", max_connections=4)
    begun = world.now
    for at, wait in ((0.0, 0.0), (0.5, 0.0), (0.6, 0.4), (1.5, 0.0)):
        world.now = begun + at
        ended = {"wait_ns": round(wait * 1e9)}
        act(world, "pool.request", wait + 0.5, service="httpx:1", ended=ended)
    assert check(world).measures == {"cap:httpx:1.max_connections": 0.25}


def test_keys_at_once() -> None:
    world = world_of(memory={"type": "kv", "max_entries": 4})
    for name, key in (
        ("kv.put", "a"),
        ("kv.put", "b"),
        ("kv.put", "a"),
        ("kv.delete", "a"),
        ("kv.put", "c"),
        ("kv.get", "d"),
    ):
        act(world, name, service="memory", key=key)
    act(world, "kv.put", service="memory", key="e", ended={"outcome": "fail"})
    assert check(world).measures == {"cap:memory.max_entries": 0.5}


def test_what_was_not_declared_or_not_used_is_unknown() -> None:
    world = world_of()
    act(world, "kv.put", service="memory", key="a")
    assert check(world).verdict == "unknown"
    unused = check(world_of(api={"type": "quota", "capacity": 40}))
    assert (unused.verdict, unused.measures) == ("unknown", {"cap:api.capacity": 0.0})
