"""The rig's entries of the trials that are still open, read once, as they are flushed."""

from __future__ import annotations

from pathlib import Path

from proofrig.history.action import Entry
from proofrig.history.history import Tail


class Following:
    """Hands each trial its entries when it has ended; keeps nothing of trials that are done."""

    def __init__(self, run_dir: Path, segment: str) -> None:
        self._tail = Tail(run_dir, segment)
        self._open: dict[str, list[Entry]] = {}

    def open(self, trial: str) -> None:
        """Keep this trial's entries from now on."""
        self._open[trial] = []

    def take(self, trial: str) -> list[Entry]:
        """The trial's entries so far; it is not followed any longer."""
        for entry in self._tail.poll():
            kept = self._open.get(entry.trial)
            if kept is not None:
                kept.append(entry)
        return self._open.pop(trial, [])
