"""The engines that are held to one semantics, each with what a test does to it from outside."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
from redis.asyncio import Redis

from proofrig.authority.authority import Authority
from proofrig.authority.budget import Balance
from proofrig.authority.engine import Engine, MemoryEngine
from proofrig.authority.journal import Journal
from proofrig.authority.ledger import Ledger
from proofrig.authority.policy import Policy
from proofrig.authority.redis.engine import RedisEngine
from proofrig.authority.transition import MINUTE_NS, ReserveRequest, Transition

Clock = Callable[[], int]
RUN = "acme/wf/bot/r1"


@contextlib.asynccontextmanager
async def opened(engine: RedisEngine) -> AsyncIterator[RedisEngine]:
    """The engine, closed at the end."""
    try:
        yield engine
    finally:
        await engine.close()


def ask(id: str, scope: str = RUN, name: str = "tool.x", **amounts: int) -> ReserveRequest:
    return ReserveRequest(id, scope, name, amounts)


class Driver:
    """An engine under a clock that is set by hand. durable: a restart loses nothing. stop_refuses:
    who waits for approval in a scope that is stopped is refused."""

    durable = True
    stop_refuses = True
    engine: Engine

    async def begin(self, clock: Clock, policy: Policy | None, retention_ns: int) -> None:
        """Start on an empty ledger."""
        self.clock, self.policy, self.retention = clock, policy, retention_ns

    async def restart(self) -> None:
        """What is in the process is lost; a new one takes over."""

    async def state(self, id: str) -> str:
        raise NotImplementedError

    async def last(self) -> int:
        """The number of the last transition."""
        raise NotImplementedError

    async def transitions(self) -> list[Transition]:
        """What was written down, from the first."""
        raise NotImplementedError

    async def figures(self, scopes: tuple[str, ...]) -> dict[str, dict[str, Balance]]:
        """The balances that say something."""
        found = {}
        for scope in scopes:
            balances = await self.engine.balances(scope)
            found[scope] = {u: b for u, b in balances.items() if b != Balance(None, 0, 0)}
        return found

    async def end(self) -> None:
        await self.engine.close()


class InMemory(Driver):
    """No journal: a restart would begin anew."""

    durable = False
    authority: Authority

    async def begin(
        self, clock: Clock, policy: Policy | None = None, retention_ns: int = 10 * MINUTE_NS
    ) -> None:
        await super().begin(clock, policy, retention_ns)
        self.ledger = Ledger(retention_ns=retention_ns)
        self.authority = Authority(self.ledger, None, clock, policy)
        self.engine = MemoryEngine(self.authority)

    async def state(self, id: str) -> str:
        return self.authority.state(id)

    async def last(self) -> int:
        return self.ledger.seq


class Journalled(InMemory):
    """In memory, with every transition in a SQLite file."""

    durable = True

    async def begin(
        self, clock: Clock, policy: Policy | None = None, retention_ns: int = 10 * MINUTE_NS
    ) -> None:
        await Driver.begin(self, clock, policy, retention_ns)
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "journal"
        self._open()

    def _open(self) -> None:
        self.ledger, journal = Ledger(retention_ns=self.retention), Journal(self.path)
        journal.replay(self.ledger)
        self.authority = Authority(self.ledger, journal, self.clock, self.policy)
        self.engine = MemoryEngine(self.authority)

    async def restart(self) -> None:
        await self.engine.close()
        self._open()

    async def cut(self, seq: int) -> None:
        """Lose all after transition `seq`, and start on the rest."""
        await self.engine.close()
        other = sqlite3.connect(self.path, isolation_level=None)
        other.execute("delete from transitions where seq > ?", (seq,))
        other.close()
        self._open()

    async def transitions(self) -> list[Transition]:
        other = sqlite3.connect(self.path)
        try:
            rows = other.execute("select body from transitions order by seq").fetchall()
        finally:
            other.close()
        return [msgspec.json.decode(body, type=Transition) for (body,) in rows]

    async def end(self) -> None:
        await super().end()
        self.folder.cleanup()


class InRedis(Driver):
    """On a real server, whose database is emptied first."""

    stop_refuses = False

    def __init__(self, url: str) -> None:
        self.url = url

    async def begin(
        self, clock: Clock, policy: Policy | None = None, retention_ns: int = 10 * MINUTE_NS
    ) -> None:
        await super().begin(clock, policy, retention_ns)
        self.client = Redis.from_url(self.url)
        await self.client.flushdb()
        self._open()

    def _open(self) -> None:
        self.engine = self.redis = RedisEngine(
            self.url, self.policy, now=self.clock, retention_ns=self.retention
        )

    async def restart(self) -> None:
        """Another process goes on, and the server has forgotten its scripts."""
        await self.engine.close()
        await self.client.script_flush()
        self._open()

    async def state(self, id: str) -> str:
        state = await self.client.hget(f"{{proofrig}}:id:{id}", "state")
        return "new" if state is None else state.decode()

    async def last(self) -> int:
        return int(await self.client.hget("{proofrig}:ledger", "seq") or 0)

    async def transitions(self) -> list[Transition]:
        found: list[Transition] = []
        for _ in itertools.count():
            more = await self.redis.journal(found[-1].seq if found else 0)
            if not more:
                return found
            found += more
        return found

    async def end(self) -> None:
        await super().end()
        await self.client.aclose()
