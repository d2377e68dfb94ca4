"""Clients whose requests share a connection pool with long streams, in first come first served."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from proofrig.history.action import Entry
from specimens.simulated_load.world import SECOND, Line, Process, World

SHORT_S = 0.02


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What uses a pool. streams: long ones of `stream_s`, begun in the first 50 ms; abandoned: such
    that are left open and never read to their end. shorts: short requests of `short_s`, begun
    between `from_s` and `to_s`; one in `slow_one` takes a hundred times as long."""

    size: int = 10
    streams: int = 0
    abandoned: int = 0
    stream_s: float = 2.0
    shorts: int = 40
    short_s: float = SHORT_S
    from_s: float = 0.2
    to_s: float = 1.2
    slow_one: int = 0
    apart: bool = False
    tell_size: bool = True
    baseline: bool = True


class Pool:
    """Connections, and a line for them."""

    def __init__(self, world: World, name: str, size: int) -> None:
        self._world, self.name, self._free = world, name, size
        self._line: Line[Process] = Line()

    def request(
        self, trial: str, seconds: float, *, stream: bool = False, left_open: bool = False
    ) -> Process:
        """One request; `left_open` holds its connection and never ends."""
        world, asked = self._world, self._world.now
        id = world.start("pool.request", trial, service=self.name, host="api", attempt=1)
        while not self._free:
            yield self._line
        self._free -= 1
        wait = world.now - asked
        if left_open:
            return
        first = min(0.01, seconds / 2)
        yield first
        yield seconds - first
        self._free += 1
        world.wake(self._line)
        times = {"wait": wait, "connect": 0.001, "ttfb": first, "body": seconds - first}
        told = {f"{name}_ns": round(at * SECOND) for name, at in times.items()}
        attrs = {"status": 200, **told, **({"stream": True} if stream else {})}
        world.commit(id, "pool.request", trial, **attrs)


def shared(plan: Plan) -> Callable[[int], list[Entry]]:
    """A pool as planned."""

    def history(seed: int) -> list[Entry]:
        world = World(seed)
        draw = world.random

        def short(pool: Pool, trial: str, number: int) -> Process:
            world.begin(trial)
            slow = plan.slow_one and number % plan.slow_one == plan.slow_one - 1
            yield from pool.request(
                trial, plan.short_s * (0.8 + 0.4 * draw.random()) * (100 if slow else 1)
            )
            world.end(trial)

        def long(pool: Pool, trial: str, left_open: bool) -> Process:
            world.begin(trial)
            seconds = plan.stream_s * (0.9 + 0.2 * draw.random())
            yield from pool.request(trial, seconds, stream=True, left_open=left_open)
            world.end(trial)

        def pools() -> tuple[Pool, Pool]:
            pool = Pool(world, "httpx:1", plan.size)
            other = Pool(world, "httpx:2", plan.size) if plan.apart else pool
            if plan.tell_size:
                for one in {pool.name, other.name}:
                    world.note("pool", service=one, max_connections=plan.size)
            return pool, other

        if plan.baseline:
            world.scenario("sequential", agents=1)
            pool, other = pools()
            for number in range(3):
                world.spawn(short(other, f"short@sequential:{number}", number))
                world.run()
            world.spawn(long(pool, "long@sequential:9", False))
            world.run()
        world.scenario("long_stream", agents=plan.shorts)
        pool, other = pools()
        for number in range(plan.streams + plan.abandoned):
            left_open = number >= plan.streams
            trial = f"long@long_stream:{number}"
            world.spawn(long(pool, trial, left_open), 0.05 * draw.random())
        for number in range(plan.shorts):
            at = plan.from_s + (plan.to_s - plan.from_s) * draw.random()
            world.spawn(short(other, f"short@long_stream:{number}", number), at)
        world.run()
        return world.entries

    return history


def of_the_rig(size: int, streams: int) -> Callable[[int], list[Entry]]:
    """Model calls that wait for a connection of the endpoint, whose size the topology declares."""

    def history(seed: int) -> list[Entry]:
        world = World(seed)
        draw = world.random
        world.scenario(
            "long_stream", topology={"llm": {"type": "provider", "max_connections": size}}
        )
        free, line = [size], Line[Process]()

        def call(trial: str, seconds: float, stream: bool) -> Process:
            world.begin(trial)
            asked = world.now
            id = world.reserve("llm.messages", trial, stream=stream, attempt=1)
            while not free[0]:
                yield line
            free[0] -= 1
            queue = world.now - asked
            yield seconds
            free[0] += 1
            world.wake(line)
            times = {"queue_ns": round(queue * SECOND), "service_ns": round(seconds * SECOND)}
            world.commit(id, "llm.messages", trial, status=200, ttft_ns=10_000_000, **times)
            world.end(trial)

        for number in range(streams):
            seconds = 2.0 + 0.2 * draw.random()
            world.spawn(call(f"long@long_stream:{number}", seconds, True), 0.05 * draw.random())
        for number in range(30):
            seconds = SHORT_S + 0.01 * draw.random()
            world.spawn(call(f"short@long_stream:{number}", seconds, False), 0.2 + draw.random())
        world.run()
        return world.entries

    return history


STARVED = "pool_starvation"
SPECIMENS = [
    *(
        ("pools", variant, STARVED, "pool_starvation", history)
        for variant, history in (
            ("10 streams of 10", shared(Plan(streams=10))),
            ("30 streams in line", shared(Plan(streams=30))),
            ("5 abandoned, 5 streams", shared(Plan(streams=5, abandoned=5))),
            ("1 stream, 1 connection", shared(Plan(size=1, streams=1, stream_s=30.0, shorts=20))),
            ("no baseline", shared(Plan(streams=10, baseline=False))),
            ("the rig's own pool", of_the_rig(4, 4)),
        )
    ),
    *(
        ("pools", variant, None, "pool_starvation", history)
        for variant, history in (
            ("a pool for each class", shared(Plan(streams=30, apart=True))),
            ("8 streams of 10", shared(Plan(streams=8))),
            ("9 streams of 10", shared(Plan(streams=9, shorts=20))),
            ("one stream of 10", shared(Plan(streams=1, stream_s=30.0))),
            ("slow but fair", shared(Plan(shorts=60, short_s=1.2, to_s=0.3))),
            ("overload by the short", shared(Plan(shorts=600, short_s=0.1, to_s=0.6))),
            ("one in 20 slow", shared(Plan(streams=1, shorts=60, slow_one=20))),
            ("2 abandoned of 10", shared(Plan(abandoned=2, streams=2))),
            ("short streams alone", shared(Plan(streams=40, stream_s=0.06, shorts=60))),
            ("the rig's own pool, room", of_the_rig(10, 4)),
        )
    ),
]
