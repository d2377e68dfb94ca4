"""Dirty reads: a value was read that only a write wrote which certainly did not happen.

Rules:
1. `fail` means that the write did not happen. Who reads its value has read what was taken back, or
   was told that a write failed which did not.
2. A value that any other write wrote, or may have, is no finding; nor is one that may have been
   there before: something else must have been seen there, ended before the failed write began.
"""

from __future__ import annotations

from typing import ClassVar

from proofrig.checkers._operations import PHASE, READS, Operations, shown, where
from proofrig.checkers._values import Values
from proofrig.checkers.checker import Checked, Findings, Setting, conclude
from proofrig.history.action import Action, Entry


class DirtyRead:
    """Finds reads of what only failed writes wrote."""

    name: ClassVar[str] = "dirty_read"
    reads: ClassVar[tuple[str, ...]] = ("kv.", "file.")
    notes: ClassVar[tuple[str, ...]] = (PHASE,)
    timing: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self._operations = Operations(setting)
        self._values = Values()
        self._reads = self._failed = 0

    def action(self, action: Action) -> None:
        op = self._operations.read(action)
        if op is None:
            return
        self._reads += op.name in READS
        self._failed += op.name not in READS and op.outcome == "fail"
        self._values.step(op)

    def note(self, entry: Entry) -> None:
        self._operations.note(entry)

    def result(self) -> Checked:
        findings, values = Findings(), self._values
        for what, write in values.failed.items():
            read = values.read.get(what)
            if read is None or values.full or read.end <= write.begin:
                continue
            if write.place in values.unseen:
                continue
            if values.since.get(write.place, write.begin) >= write.begin:
                continue
            findings.add(
                "dirty_read",
                f"{read.trial} read {shown(read.value)} from {where(read.place)}, which only "
                f"{write.trial} asked to be written, and that failed",
                [
                    write.evidence(f"asked for {shown(write.given)}; it failed"),
                    read.evidence(f"read {shown(read.value)}"),
                ],
            )
        exposure = {"reads": self._reads, "failed_writes": self._failed}
        return conclude(
            self.name,
            findings,
            exposure,
            wanted="reads",
            measures={"dirty_reads": float(len(findings))},
        )
