"""A process of its own that reserves, starts and commits on a ledger in Redis.

    python -m authority_race URL FIRST COUNT        in tests/

It says `ready`; at a line on its standard input it lets COUNT reservers loose at once and prints
how many were let in; at another line those start, commit and it says `done`.
"""

from __future__ import annotations

import asyncio
import sys

from proofrig.authority.engine import Engine
from proofrig.authority.redis.engine import RedisEngine
from proofrig.authority.transition import ReserveRequest


async def reserve_many(engine: Engine, first: int, count: int) -> list[str]:
    """The ids of those that were let in. Each asks for 1,000 tokens."""
    requests = [
        ReserveRequest(f"race-{n}", f"acme/wf/bot/r{n}", "tool.x", {"tokens": 1000})
        for n in range(first, first + count)
    ]
    decisions = await asyncio.gather(*map(engine.reserve, requests))
    return [decision.id for decision in decisions if decision.allowed]


async def commit_many(engine: Engine, ids: list[str]) -> None:
    """Each took 700 tokens."""
    await asyncio.gather(*map(engine.start, ids))
    await asyncio.gather(*(engine.commit(id, {"tokens": 700}, "measured", "ok") for id in ids))


async def main(url: str, first: int, count: int) -> None:
    engine = RedisEngine(url)
    await engine.scopes()  # connected
    print("ready", flush=True)
    sys.stdin.readline()
    granted = await reserve_many(engine, first, count)
    print(len(granted), flush=True)
    sys.stdin.readline()
    await commit_many(engine, granted)
    print("done", flush=True)
    await engine.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
