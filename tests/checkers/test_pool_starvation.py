"""Waits for a connection, and whose they are."""

from __future__ import annotations

import pytest

from proofrig.checkers.checker import Checked
from specimens.simulated_load.judging import judged
from specimens.simulated_load.world import World

S = 1_000_000_000


def request(
    world: World, at: float, wait: float, held: float, *, stream: bool = False, ends: bool = True
) -> str:
    world.now = at
    id = world.start("pool.request", "c@s:1", service="httpx:1", attempt=1)
    world.now = at + wait + held
    if ends:
        times = {"wait_ns": round(wait * S), "ttfb_ns": round(held * S)}
        world.commit(id, "pool.request", "c@s:1", status=200, stream=stream, **times)
    return id


def pool(size: int = 2, **attrs: float) -> World:
    world = World(0)
    world.scenario("long_stream", **attrs)
    if size:
        world.note("pool", service="httpx:1", max_connections=size)
    return world


def check(world: World) -> Checked:
    return judged("pool_starvation", world.entries)


def test_the_finding_shows_the_victim_and_who_held_the_pool() -> None:
    world = pool()
    holders = [request(world, 0.0, 0.0, 4.0, stream=True) for _ in range(2)]
    victims = [request(world, 1.0 + number / 10, 2.0, 0.02) for number in range(5)]
    found = check(world)
    assert found.verdict == "invalid"
    witness = found.findings[0].witness
    assert {one.id for one in witness[:-1]} == set(holders)
    assert witness[-1].id in victims
    assert witness[-1].says == "waited 2000 ms for a connection"
    assert found.measures["pool_wait_p50_ms"] == pytest.approx(2000, rel=0.01)
    assert found.measures["starvation_ratio"] == 1
    assert found.measures["occupancy_max_ratio"] == 1


@pytest.mark.parametrize(
    ("wait", "held", "streams", "size", "verdict"),
    [
        (0.09, 0.02, 2, 2, "valid"),  # less than 100 ms
        (0.5, 0.02, 1, 2, "valid"),  # half of the pool was free for others
        (0.3, 0.4, 2, 2, "valid"),  # most of its latency is its own
        (0.5, 0.02, 2, 2, "invalid"),
        (0.5, 0.02, 2, 0, "unknown"),  # nobody knows the size
    ],
)
def test_the_limits(wait: float, held: float, streams: int, size: int, verdict: str) -> None:
    world = pool(size)
    for _ in range(streams):
        request(world, 0.0, 0.0, 5.0, stream=True)
    for number in range(10):
        request(world, 1.0 + number / 10, wait, held)
    assert check(world).verdict == verdict


def test_ten_times_what_it_waits_alone_is_allowed() -> None:
    world = World(0)
    world.scenario("sequential")
    for number in range(10):
        request(world, number, 0.06, 0.02)
    world.scenario("long_stream")
    world.note("pool", service="httpx:1", max_connections=1)
    begun = world.now
    request(world, begun, 0.0, 5.0, stream=True)
    for number in range(10):
        request(world, begun + 1 + number / 10, 0.5, 0.02)
    assert check(world).verdict == "valid"


def test_an_abandoned_stream_holds_its_connection() -> None:
    world = pool(1)
    left = request(world, 0.0, 0.0, 0.0, ends=False)
    for number in range(5):
        request(world, 1.0 + number / 10, 2.0, 0.0)  # gave up waiting
    found = check(world)
    assert found.verdict == "invalid"
    assert left in {one.id for one in found.findings[0].witness}


def test_nothing_short_beside_a_long_stream_is_unknown() -> None:
    world = pool()
    for number in range(50):
        request(world, number / 10, 0.5, 0.02)
    found = check(world)
    assert (found.verdict, found.exposure["short_beside_long"]) == ("unknown", 0)


def test_a_rig_that_lags_proves_nothing() -> None:
    world = pool(1)
    world.note("lag", p99_ns=90_000_000)
    request(world, 0.0, 0.0, 5.0, stream=True)
    for number in range(10):
        request(world, 1.0 + number / 10, 0.5, 0.02)
    assert check(world).verdict == "unknown"


def test_the_waits_are_told_apart() -> None:
    world = pool()
    request(world, 0.0, 0.2, 0.04)
    series = check(world).series["wait_connect_ttfb_body_p95_ms:httpx:1"]
    assert series == pytest.approx([200, 0, 40, 0], rel=0.01)
