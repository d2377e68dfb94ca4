"""The rig's lag: a loop that is held up says by how much."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from proofrig.history.history import History
from proofrig.history.journal import Journal
from proofrig.rig.lag import EVERY_S, SAMPLES, watch_lag


async def test_a_second_in_which_the_loop_was_held_up_is_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "rig", time.monotonic_ns)
    watching = asyncio.create_task(watch_lag(journal))
    await asyncio.sleep(0.1)
    time.sleep(0.2)  # noqa: ASYNC251  (what the watch is there for)
    notes = []
    while not notes:
        await asyncio.sleep(EVERY_S * SAMPLES / 4)
        journal.flush()
        notes = [entry for entry in History(tmp_path).entries() if entry.name == "lag"]
    watching.cancel()
    journal.close()
    [note] = notes
    assert (note.kind, note.trial) == ("note", "")
    assert note.attrs["max_ns"] >= note.attrs["p99_ns"] >= 0
    assert note.attrs["max_ns"] >= 150_000_000
