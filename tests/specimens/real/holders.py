"""Processes that are paused (SIGSTOP) while they hold a lock, lose it to time, and then write: with
and without something that keeps the late write out."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from proofrig.services.client import AsyncServices, Services
from specimens.real.lab import Lab, Ran, Specimen, say, told
from specimens.real.redis_stores import Server
from specimens.real.truth import of_trials

TTL_S = 0.2

# The agent that is paused: it takes the lock, says so, waits to be told, writes, and says how that
# went. Another agent comes in between.
SERVICES = """
from proofrig.services.client import ServiceError, connect
held = connect().lock("locks").acquire("job", ttl_s=%s)
print("held", flush=True)
sys.stdin.readline()
try:
    connect().kv("memory").put("plan", "of the paused", fencing=held.fencing if %s else None)
    print("written", flush=True)
except ServiceError as refused:
    print(refused.status, flush=True)
"""
REDIS = """
from redis import Redis
redis = Redis.from_url(os.environ["PROOFRIG_REDIS_MEMORY_URL"])
assert redis.set("lock", "mine", nx=True, px=%d)
print("held", flush=True)
sys.stdin.readline()
%s
"""
BLIND = """
redis.set("plan", "of the paused")
print("written", flush=True)
"""
IN_TRANSACTION = """
from redis.exceptions import WatchError
with redis.pipeline() as pipe:
    pipe.watch("lock")
    if pipe.get("lock") == b"mine":
        pipe.multi()
        pipe.set("plan", "of the paused")
        pipe.execute()
        print("written", flush=True)
    else:
        print("lost the lock", flush=True)
"""


async def _paused(
    lab: Lab, code: str, other: Callable[[str], Awaitable[None]]
) -> tuple[str, str, str]:
    """Let the agent take the lock, pause it, let the other work, and go on. Both, and what the
    paused one says of its write."""
    with lab.trial() as paused, lab.program(code, paused) as child:
        assert await _said(child) == "held"
        child.send_signal(signal.SIGSTOP)
        await asyncio.sleep(TTL_S * 1.5)
        holder = await asyncio.create_task(_work(lab, other))
        child.send_signal(signal.SIGCONT)
        say(child, "go on")
        said = await _said(child)
        await asyncio.to_thread(child.wait, 20)
    return paused, holder, said


async def _said(child: subprocess.Popen[str]) -> str:
    return await asyncio.to_thread(told, child)


async def _work(lab: Lab, other: Callable[[str], Awaitable[None]]) -> str:
    with lab.trial() as trial:
        await other(trial)
    return trial


def _services(*, tells: bool, fencing: bool) -> Callable[[Path, int], Ran]:
    """Lock and memory of the rig. tells: the token goes with the write; fencing: it is minded."""
    kinds: list[dict[str, Any]] = [
        {"type": "lock", "name": "locks", "ttl_s": TTL_S},
        {"type": "kv", "name": "memory", "fencing": fencing},
    ]

    async def play(lab: Lab) -> tuple[str, str, str, str]:
        async with lab.rig(services=kinds):

            async def other(trial: str) -> None:
                shared = AsyncServices(Services(lab.services_url(trial)), threads=1)
                held = await shared.lock("locks").acquire("job", ttl_s=5, wait_s=1)
                token = held._face.fencing if tells else None
                await shared.kv("memory").put("plan", "of the other", fencing=token)
                await held.release()

            code = SERVICES % (TTL_S, tells)
            paused, holder, said = await _paused(lab, code, other)
            with lab.trial() as reader:
                memory = AsyncServices(Services(lab.services_url(reader)), threads=1).kv("memory")
                return paused, holder, said, str(await memory.get("plan"))

    def run(folder: Path, seed: int) -> Ran:
        with Lab(folder, seed, topology={one["name"]: one for one in kinds}) as lab:
            paused, holder, said, left = asyncio.run(play(lab))
        overwritten = said == "written" and left == "of the paused"
        return Ran(lab.run_dir, overwritten, of_trials(paused, holder))

    return run


def _redis(write: str) -> Callable[[Path, int], Ran]:
    """Lock and memory in Redis, without fencing."""

    async def play(lab: Lab, server: Server) -> tuple[str, str, str, str]:
        async with lab.rig(redis={"memory": server.port}):

            async def other(trial: str) -> None:
                async with Redis.from_url(lab.redis_url(trial)) as redis:
                    assert await redis.set("lock", "theirs", nx=True, px=5000)
                    await redis.set("plan", "of the other")
                    await redis.delete("lock")

            code = REDIS % (round(TTL_S * 1000), write)
            made = await _paused(lab, code, other)
            with lab.trial() as reader:
                async with Redis.from_url(lab.redis_url(reader)) as redis:
                    left = await redis.get("plan")
            return *made, left.decode()

    def run(folder: Path, seed: int) -> Ran:
        with Server(folder) as server, Lab(folder, seed) as lab:
            paused, holder, said, left = asyncio.run(play(lab, server))
        overwritten = said == "written" and left == "of the paused"
        return Ran(lab.run_dir, overwritten, of_trials(paused, holder))

    return run


def _of(variant: str, run: Callable[[Path, int], Ran], *, bad: bool) -> Specimen:
    kind = "stale_holder" if bad else None
    return Specimen("stale holder", variant, kind, "stale_holder", run)


SPECIMENS = [
    _of("services: a lock without fencing", _services(tells=False, fencing=False), bad=True),
    _of("services: a token that nobody minds", _services(tells=True, fencing=False), bad=True),
    _of("Redis: a lock with a time-to-live", _redis(BLIND), bad=True),
    _of("services: fencing", _services(tells=True, fencing=True), bad=False),
    _of("Redis: the lock watched in the transaction", _redis(IN_TRANSACTION), bad=False),
]
