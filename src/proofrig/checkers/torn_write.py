"""Torn writes: after an agent was killed, a place holds a value that nobody ever asked to write.

Rules:
1. Of the places that a killed trial wrote, or was writing, those are judged that are read after the
   kill. A value is torn when no write, whatever came of it, was of that value.
2. A beginning of what the killed trial was writing is torn for certain. Any other value only where
   all writers are seen (`closed`; by default the rig's own services, and a service of the type
   `files`), and where something else was seen before the write began.
"""

from __future__ import annotations

from collections import defaultdict
from typing import ClassVar

from proofrig.checkers._operations import (
    PHASE,
    READS,
    UNSEEN,
    Op,
    Operations,
    Place,
    declared,
    shown,
    where,
)
from proofrig.checkers._values import Values
from proofrig.checkers.checker import Checked, Findings, Setting, conclude, noted
from proofrig.history.action import Action, Entry


class TornWrite:
    """Finds what killed agents left half written."""

    name: ClassVar[str] = "torn_write"
    reads: ClassVar[tuple[str, ...]] = ("kv.", "file.")
    notes: ClassVar[tuple[str, ...]] = ("note.kill", PHASE)
    timing: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._operations = Operations(setting)
        self._values = Values()
        self._kills: dict[str, Entry] = {}
        self._wrote: dict[str, dict[Place, Op]] = defaultdict(dict)  # trial -> its last write
        self._reads: dict[Place, int] = {}  # place -> when it was last read

    def action(self, action: Action) -> None:
        op = self._operations.read(action)
        if op is None:
            return
        self._values.step(op)
        if op.name in READS:
            self._reads[op.place] = op.begin
        elif op.outcome != "fail":
            self._wrote[op.trial][op.place] = op

    def note(self, entry: Entry) -> None:
        if entry.name == "kill":
            self._kills.setdefault(entry.trial, entry)
        else:
            self._operations.note(entry)

    def result(self) -> Checked:
        findings = Findings()
        left = {
            (place, trial): write
            for trial in self._kills
            for place, write in self._wrote.get(trial, {}).items()
        }
        seen = {place for place, trial in left if self._reads.get(place, -1) > self._kills[trial].t}
        for (place, value), read in self._values.read.items():
            for trial, kill in self._kills.items():
                write = left.get((place, trial))
                if write is not None and value is not None and self._torn(read, write, kill):
                    findings.add(
                        "torn_write",
                        f"{trial} was killed ({kill.attrs.get('point', 'somewhere')}) while it "
                        f"wrote {where(place)}; {read.trial} then read {shown(value)}, which "
                        "nobody ever asked to write",
                        [
                            write.evidence(f"was to write {shown(write.given)}"),
                            noted(kill, "the writer is killed"),
                            read.evidence(f"read {shown(value)}"),
                        ],
                    )
                    break
        exposure = {
            "kills": len(self._kills),
            "writes_of_the_killed": len(left),
            "places_read_after": len(seen),
        }
        return conclude(
            self.name,
            findings,
            exposure,
            wanted="places_read_after",
            missing="nobody read what a killed agent had written, so nothing can be said",
            measures={"torn_writes": float(len(findings))},
        )

    def _torn(self, read: Op, write: Op, kill: Entry) -> bool:
        if read.end <= kill.t or (read.place, read.value) in self._values.failed:
            return False
        if self._values.full or read.place in self._values.unseen:
            return False
        half, whole = self._content(read.value), self._content(write.given)
        if half and whole and half != whole and whole.startswith(half):
            return True
        said = declared(self._setting, read.place)
        closed = said.get("closed", read.rig or said.get("type") == "files")
        before = self._values.since.get(read.place, write.begin) < write.begin
        return bool(closed) and before

    def _content(self, value: str | None) -> str | None:
        """A value whole; None when that was not kept."""
        if value is None or value == UNSEEN or not value.startswith("blake2:"):
            return None if value == UNSEEN else value
        data = self._setting.payload(value.removeprefix("blake2:"))
        return None if data is None else data.decode("utf-8", "replace")
