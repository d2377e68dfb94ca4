"""What agents keep in a real Redis server, seen by the rig's proxy: lost updates, lost writes, key
collisions, and how each is prevented. The server is started and ended by the specimen."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from redis.asyncio import Redis
from redis.asyncio.lock import Lock
from redis.exceptions import WatchError

from specimens.real.lab import Lab, Ran, Specimen, now
from specimens.real.truth import Changes, says

AGENTS, ROUNDS = 6, 3
THINKS_S = 0.004
IN_MEMORY = ("--save", "", "--appendonly", "no")
ON_DISK = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")


class Server:
    """A `redis-server` on a free port; it keeps the port when it is started again."""

    def __init__(self, folder: Path, options: tuple[str, ...] = IN_MEMORY) -> None:
        program = shutil.which("redis-server")
        assert program, "redis-server is not installed (Debian: apt-get install redis-server)"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        where = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder))
        self._argv = [program, *where, "--loglevel", "warning", *options]

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.kill()

    def start(self) -> None:
        self._process = subprocess.Popen(self._argv, stdout=subprocess.DEVNULL)
        for _ in range(1000):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)) as asked:
                asked.sendall(b"PING\r\n")
                if asked.recv(7) == b"+PONG\r\n":  # an append-only file may still be loading
                    break
            time.sleep(0.005)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


# A counter

Raise = Callable[[Redis, Changes, int], Awaitable[None]]


async def get_and_set(memory: Redis, changes: Changes, agent: int) -> None:
    seats, since = int(await memory.get("seats") or 0), changes.read()
    await asyncio.sleep(THINKS_S)
    await memory.set("seats", seats + 1)
    changes.wrote(since)


async def somebody_elses_lock(memory: Redis, changes: Changes, agent: int) -> None:
    """A lock that is given back by deleting it, whoever has it by then: the first to work longer
    than its time deletes the lock of the second, so that a third comes in beside him."""
    while not await memory.set("lock", "taken", nx=True, px=120):  # noqa: ASYNC110
        await asyncio.sleep(0.003)
    seats, since = int(await memory.get("seats") or 0), changes.read()
    await asyncio.sleep(0.3 if agent == 0 else 0.09)
    await memory.set("seats", seats + 1)
    changes.wrote(since)
    await memory.delete("lock")


async def incr(memory: Redis, changes: Changes, agent: int) -> None:
    since = changes.read()
    await memory.incr("seats")
    changes.wrote(since)


async def transaction(memory: Redis, changes: Changes, agent: int) -> None:
    async with memory.pipeline() as pipe:
        while True:
            with suppress(WatchError):
                await pipe.watch("seats")
                seats, since = int(await pipe.get("seats") or 0), changes.read()
                await asyncio.sleep(THINKS_S)
                pipe.multi()
                pipe.set("seats", seats + 1)
                await pipe.execute()
                changes.wrote(since)
                return


async def own_lock(memory: Redis, changes: Changes, agent: int) -> None:
    async with Lock(memory, "lock", timeout=5, sleep=0.003):
        await get_and_set(memory, changes, agent)


def _counting(way: Raise, rounds: int = ROUNDS) -> Callable[[Path, int], Ran]:
    async def play(lab: Lab, changes: Changes, server: Server) -> int:
        async with lab.rig(redis={"memory": server.port}):

            async def agent(number: int) -> None:
                async with Redis.from_url(lab.redis_url(now())) as memory:
                    for _ in range(rounds):
                        await way(memory, changes, number)

            await lab.tasks([agent(number) for number in range(AGENTS)])
        async with Redis(port=server.port) as memory:
            return int(await memory.get("seats"))

    def run(folder: Path, seed: int) -> Ran:
        changes = Changes()
        with Server(folder) as server, Lab(folder, seed) as lab:
            final = asyncio.run(play(lab, changes, server))
        return Ran(lab.run_dir, final < changes.acknowledged, changes.overlapped)

    return run


# A write that is acknowledged before the server dies


async def put(memory: Redis) -> None:
    await memory.set("orders", "order-17")


async def push(memory: Redis) -> None:
    await memory.rpush("orders", "order-17")


async def put_is_lost(memory: Redis) -> bool:
    return await memory.get("orders") is None


async def push_is_lost(memory: Redis) -> bool:
    return b"order-17" not in await memory.lrange("orders", 0, -1)


def _dying(
    write: Callable[[Redis], Awaitable[None]],
    is_lost: Callable[[Redis], Awaitable[bool]],
    options: tuple[str, ...],
) -> Callable[[Path, int], Ran]:
    """An agent writes, the server is killed and started again, another agent reads."""

    async def play(lab: Lab, server: Server) -> bool:
        async with lab.rig(redis={"memory": server.port}):
            with lab.trial() as trial:
                async with Redis.from_url(lab.redis_url(trial)) as memory:
                    await write(memory)
            server.kill()
            server.start()
            with lab.trial() as trial:
                async with Redis.from_url(lab.redis_url(trial)) as memory:
                    return await is_lost(memory)

    def run(folder: Path, seed: int) -> Ran:
        with Server(folder, options) as server, Lab(folder, seed) as lab:
            lost = asyncio.run(play(lab, server))
        writer, reader = "case@burst:1", "case@burst:2"
        return Ran(
            lab.run_dir,
            lost,
            lambda finding: finding.trials == (writer, reader) and says(finding, "order-17"),
        )

    return run


# Keys of several tenants in one server


def _keys(key: Callable[[str], str]) -> Callable[[Path, int], Ran]:
    """Tenants store their settings, though the suite declares that they are kept apart. Two of them
    collide when one finds what the other has written."""

    async def play(lab: Lab, server: Server) -> bool:
        collided = []
        async with lab.rig(redis={"memory": server.port}):

            async def agent(tenant: str) -> None:
                mine = f"settings of {now()}, {tenant}"
                async with Redis.from_url(lab.redis_url(now())) as memory:
                    await memory.set(key(tenant), mine)
                    await asyncio.sleep(THINKS_S)
                    found = (await memory.get(key(tenant))).decode()
                    collided.append(not found.endswith(tenant))

            names = ("acme", "globex", "initech")
            await lab.tasks([agent(name) for name in names], *names)
        return any(collided)

    def run(folder: Path, seed: int) -> Ran:
        topology = {"redis:memory": {"type": "redis", "partition": "tenant"}}
        tenants = {"acme": 1, "globex": 1, "initech": 1}
        with (
            Server(folder) as server,
            Lab(folder, seed, "interleaved", tenants=tenants, topology=topology) as lab,
        ):
            collided = asyncio.run(play(lab, server))
        return Ran(lab.run_dir, collided, lambda finding: len(finding.tenants) == 2)

    return run


def _of(
    name: str, checker: str, variant: str, run: Callable[[Path, int], Ran], *, bad: bool
) -> Specimen:
    return Specimen(name, f"Redis: {variant}", checker if bad else None, checker, run)


def _shortened(tenant: str) -> str:
    """A key that is too short to tell tenants apart: the length of the name, as a bad hash is."""
    return f"settings:{len(tenant) % 2}"


def _hashed(tenant: str) -> str:
    return f"settings:{hashlib.sha256(tenant.encode()).hexdigest()}"


SPECIMENS = [
    *(
        _of("lost update", "lost_update", variant, run, bad=bad)
        for variant, run, bad in (
            ("GET, then SET", _counting(get_and_set), True),
            ("DEL of somebody else's lock", _counting(somebody_elses_lock, rounds=1), True),
            ("INCR", _counting(incr), False),
            ("WATCH, MULTI, EXEC", _counting(transaction), False),
            ("redis-py Lock around GET and SET", _counting(own_lock), False),
        )
    ),
    *(
        _of("lost write", "lost_write", variant, run, bad=bad)
        for variant, run, bad in (
            ("SET, no persistence, killed", _dying(put, put_is_lost, IN_MEMORY), True),
            ("RPUSH, no persistence, killed", _dying(push, push_is_lost, IN_MEMORY), True),
            ("SET, appendfsync always, killed", _dying(put, put_is_lost, ON_DISK), False),
            ("RPUSH, appendfsync always, killed", _dying(push, push_is_lost, ON_DISK), False),
        )
    ),
    *(
        _of("key collision", "key_collision", variant, run, bad=bad)
        for variant, run, bad in (
            ("one key for all tenants", _keys(lambda tenant: "settings"), True),
            ("a hash that is too short", _keys(_shortened), True),
            ("the tenant in the key", _keys(lambda tenant: f"{tenant}:settings"), False),
            ("the tenant hashed into the key", _keys(_hashed), False),
        )
    ),
]
