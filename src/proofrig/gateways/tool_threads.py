"""Threads for blocking tools.

Rules:
1. A tool that hangs holds its thread, never the loop and never the end of the process: the threads
   are daemons, which `concurrent.futures` cannot offer.
2. Threads are made when a call finds none idle, up to `limit`; then calls wait their turn.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any

Work = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class ToolThreads:
    """Runs blocking functions off the loop."""

    def __init__(self, limit: int = 64) -> None:
        self.limit = limit
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._idle = 0
        self._threads = 0

    async def run(self, function: Callable[[], Any]) -> Any:
        """What `function` returns or raises. Cancelling gives up waiting; a function that runs goes
        on, one that still waits for a thread never runs."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        if self._idle > 0:
            self._idle -= 1
        elif self._threads < self.limit:
            self._threads += 1
            threading.Thread(target=self._serve, name="proofrig-tool", daemon=True).start()
        else:
            self._idle -= 1  # a debt: the next thread that ends its work is spoken for
        self._work.put((loop, done, partial(copy_context().run, function)))
        return await done

    def close(self) -> None:
        """Let the idle threads end; those inside a tool end after it."""
        for _ in range(self._threads):
            self._work.put(None)
        self._threads = 0

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            loop, done, function = work
            value, error = None, None
            try:
                if not done.cancelled():  # given up while it waited for a thread
                    value = function()
            except BaseException as raised:  # a tool may even call sys.exit
                error = raised
            try:
                loop.call_soon_threadsafe(self._finish, done, value, error)
            except RuntimeError:  # the loop has closed; nobody waits for this result
                return

    def _finish(self, done: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
        self._idle += 1
        if done.cancelled():
            return
        if error is None:
            done.set_result(value)
        else:
            done.set_exception(_raisable(error))


def _raisable(error: BaseException) -> Exception:
    """A future cannot carry StopIteration, and SystemExit would end the loop."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    wrapped = RuntimeError(f"{type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
