"""Copies that wait: resumed, with random numbers of their own, stopped, each for one trial.

Rules:
1. A copy is handed out once and never comes back.
2. The pool is filled in the background, one copy after another, once the first was asked for. Who
   comes when it is empty gets a fresh one.
3. A copy that ended while it waited is thrown away.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable

from proofrig.errors import SandboxError
from proofrig.sandboxes.qemu.machine import Machine


class Pool:
    """Up to `size` waiting copies, which `make` makes, and `ready` warms up."""

    def __init__(
        self,
        make: Callable[[], Awaitable[Machine]],
        ready: Callable[[Machine], Awaitable[None]],
        size: int,
    ) -> None:
        self.make = make
        self.ready = ready
        self.size = size
        self.waiting: deque[Machine] = deque()
        self.filling: asyncio.Task[None] | None = None
        self.closed = False

    async def take(self) -> Machine:
        """A running copy. Raises SandboxError."""
        machine = None
        while self.waiting and machine is None:
            machine = self.waiting.popleft()
            try:
                await machine.go_on()
            except SandboxError:
                await machine.close()
                machine = None
        if machine is None:
            machine = await self.make()
        self.fill()
        return machine

    def fill(self) -> None:
        """Start filling, unless that is going on."""
        if not self.closed and (self.filling is None or self.filling.done()):
            self.filling = asyncio.create_task(self._fill())

    async def _fill(self) -> None:
        # One that cannot be made is no failure here: who needs it makes its own, and is told.
        with contextlib.suppress(SandboxError):
            while len(self.waiting) < self.size and not self.closed:
                machine = await self.make()
                try:
                    await self.ready(machine)
                    await machine.pause()
                except BaseException:
                    await machine.close()
                    raise
                self.waiting.append(machine)

    async def full(self) -> None:
        """Wait until it is filled."""
        self.fill()
        if self.filling is not None:
            await asyncio.wait([self.filling])

    async def close(self) -> None:
        """Throw all away."""
        self.closed = True
        if self.filling is not None:
            self.filling.cancel()
            await asyncio.wait([self.filling])
        while self.waiting:
            await self.waiting.popleft().close()
