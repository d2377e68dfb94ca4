"""A ledger on a real Redis server, emptied before each test that asks for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from proofrig.authority.redis.engine import RedisEngine
from redis_server import redis_server


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with redis_server(tmp_path_factory.mktemp("redis")) as port:
        yield port


@pytest.fixture
async def url(redis_port: int) -> str:
    url = f"redis://127.0.0.1:{redis_port}/0"
    async with Redis.from_url(url) as client:
        await client.flushall()
    return url


@pytest.fixture
async def engine(url: str) -> AsyncIterator[RedisEngine]:
    engine = RedisEngine(url)
    yield engine
    await engine.close()
