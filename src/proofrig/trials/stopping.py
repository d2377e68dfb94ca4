"""Ctrl-C and SIGTERM while trials run: stop gracefully the first time, at once the second.

Rules:
1. Work is stopped by its own `stop`; while it is being set up there is none, and it is cancelled.
2. Once the work has said that it is done with trials (`Stopping.close`), a signal ends the process
   as it ends any other.
3. Whoever watches the work may `cut` it too: then it is finished early, and was not interrupted.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Protocol

from proofrig.errors import InfraError
from proofrig.trials.allowance import Why

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Worker(Protocol):
    """What ran trials; says why it came to an end early."""

    @property
    def failure(self) -> InfraError | None: ...
    @property
    def stopped(self) -> bool: ...


class Stopping:
    """What the signals do now: `act`, and what a cut does: `cut`. `came`: a signal did come."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act
        self.cut: Callable[[Why], object] = lambda why: None  # no trials yet
        self.came = False
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._signal)

    def _signal(self) -> None:
        self.came = True
        self.act()

    def close(self) -> None:
        """Leave signals to themselves again."""
        for number in SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)


async def until_stopped(work: Callable[[Stopping], Awaitable[Worker]]) -> Worker | None:
    """Do the work, or as much of it as signals allow. None when it was stopped while it was set
    up."""
    task = asyncio.current_task()
    assert task is not None
    stopping = Stopping(task.cancel)
    try:
        return await work(stopping)
    except asyncio.CancelledError:
        if not stopping.came:
            raise
        while task.cancelling():
            task.uncancel()
        return None
    finally:
        stopping.close()
