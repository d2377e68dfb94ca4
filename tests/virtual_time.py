"""Time that passes only when everybody waits for it."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable
from itertools import count
from typing import Any

_TURNS = 40  # of the loop, until all that can run has run


class VirtualTime:
    """A clock and the sleep that belongs to it, in seconds from 0."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = count()

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._number), woken))
        await woken

    async def run(self, *work: Awaitable[Any]) -> list[Any]:
        """The results of all, errors included, with time passing as they wait."""
        gathered = asyncio.gather(*work, return_exceptions=True)
        while True:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            if gathered.done():
                return list(gathered.result())
            if not self._sleepers:
                gathered.cancel()
                raise AssertionError("everybody waits and nobody sleeps")
            self.now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
