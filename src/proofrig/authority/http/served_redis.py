"""The Redis ledger behind the HTTP service; see `served`."""

from __future__ import annotations

from proofrig.authority.http.served import Seen
from proofrig.authority.redis.engine import RedisEngine

_END_OF_TIME_US = (1 << 53) - 1
_LOOKED_AT = 100_000


class ServedRedis(RedisEngine):
    """A ledger in Redis that can be looked into. What it answers is as durable as the server."""

    async def look(self, id: str) -> Seen | None:
        held = await self._look(id)
        if held is None:
            return None
        return Seen(held.state, held.opened, held.last, held.held, held.expires)

    async def pending(self) -> list[str]:
        """Costs a look at every id that is remembered."""
        found = []
        for id in await self._link.due(_END_OF_TIME_US, _LOOKED_AT):
            held = await self._look(id)
            if held is not None and held.state == "pending":
                found.append(held.opened)
        return [opened.id for opened in sorted(found, key=lambda opened: opened.seq)]

    async def check(self) -> None:
        await self._link.command("PING")
