"""How late the rig's loop runs: what it arbitrates is only as exact as its loop is on time."""

from __future__ import annotations

import asyncio
import time

from proofrig.history.journal import Journal

EVERY_S = 0.02
SAMPLES = 50  # a note a second


async def watch_lag(journal: Journal) -> None:
    """Write a note `lag` every second, for ever."""
    late: list[int] = []
    while True:
        due = time.monotonic_ns() + round(EVERY_S * 1e9)
        await asyncio.sleep(EVERY_S)
        late.append(max(0, time.monotonic_ns() - due))
        if len(late) == SAMPLES:
            late.sort()
            p99 = late[-max(1, SAMPLES // 100)]
            journal.write("note", "lag", attrs={"p99_ns": p99, "max_ns": late[-1]})
            late.clear()
