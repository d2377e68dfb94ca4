"""The gate agents are parked behind until all of them are there, and are then released by one pipe.

    parked, parked, ... the last one parked ──▶ the pipe's only write end is closed ──▶ all go

Rules:
1. A gate knows how many are expected; whoever cannot come after all counts as parked.
2. Hosts park inside their own processes, on a named pipe: its end wakes all of them at once. What
   has no host of ours waits in the runner.
3. Each starts `at_ns` after the release: the same clock for all, so that a schedule is kept
   whatever process it runs in.
4. When nobody has come for PATIENCE_S, the gate opens for those who are there: an agent that hangs
   before it is parked costs its own trial, not the run.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path

PATIENCE_S = 120.0  # what a host may take to import its agent, which parks it


class Gate:
    """A gate for `expected` agents. `path` is the named pipe that hosts park on."""

    def __init__(self, path: Path, expected: int, patience_s: float = PATIENCE_S) -> None:
        self.path = str(path)
        self._left = expected
        self._patience_s = patience_s
        loop = asyncio.get_running_loop()
        self._released: asyncio.Future[int] = loop.create_future()
        self._came_at = loop.time()  # the last of them
        self._impatience = loop.call_later(patience_s, self._look)
        with suppress(FileNotFoundError):
            os.unlink(path)  # of a run that was killed while agents were parked
        os.mkfifo(path, 0o600)
        # Opened for both, so that it neither blocks nor depends on a reader being there.
        self._writer = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def parked(self) -> None:
        """One more is ready to go, or will not come. The last one releases all."""
        self._left -= 1
        self._came_at = self._released.get_loop().time()
        if self._left == 0:
            self.release()

    def release(self) -> None:
        """Let all go now, whoever is missing. Releasing twice is fine."""
        if self._released.done():
            return
        self._impatience.cancel()
        with suppress(FileNotFoundError):
            os.unlink(self.path)  # first, so that whoever comes now does not wait for its end
        at = time.monotonic_ns()
        os.close(self._writer)
        self._released.set_result(at)

    def _look(self) -> None:
        loop = self._released.get_loop()
        left_s = self._came_at + self._patience_s - loop.time()
        if left_s > 0:
            self._impatience = loop.call_later(left_s, self._look)
        else:
            self.release()

    async def released(self) -> int:
        """Wait for the release; when it was (`time.monotonic_ns`)."""
        return await asyncio.shield(self._released)

    async def passed(self, at_ns: int) -> int:
        """Park here and go `at_ns` after the release; when it was (`time.monotonic_ns`)."""
        self.parked()
        due = await self.released() + at_ns
        await asyncio.sleep(max(0.0, (due - time.monotonic_ns()) / 1e9))
        return time.monotonic_ns()


class Ticket:
    """One agent's place behind a gate: when it is to start, and when it did.

    at_ns: after the release. intended_ns, started_ns: `time.monotonic_ns`, 0 until known.
    """

    def __init__(self, gate: Gate | None = None, at_ns: int = 0) -> None:
        self.gate = gate
        self.at_ns = at_ns
        self.intended_ns = 0
        self.started_ns = 0
        self._parked = gate is None

    def parked(self) -> None:
        """Count at the gate, once."""
        if not self._parked and self.gate is not None:
            self._parked = True
            self.gate.parked()

    async def here(self) -> None:
        """Park in this process until it is time to start. Without a gate that is now."""
        if self.gate is not None:
            self._parked = True
            self.started_ns = await self.gate.passed(self.at_ns)
            self.intended_ns = await self.gate.released() + self.at_ns
        else:
            self.started_ns = self.intended_ns = time.monotonic_ns()

    async def elsewhere(self) -> float:
        """Wait until it is time to start for an agent that is parked in its host; the seconds
        from now until then, or 0."""
        assert self.gate is not None
        self.intended_ns = await self.gate.released() + self.at_ns
        return max(0.0, (self.intended_ns - time.monotonic_ns()) / 1e9)
