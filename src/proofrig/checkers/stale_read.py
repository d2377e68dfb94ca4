"""Stale reads: a trial that has seen, or written, something newer is shown something older.

Rules:
1. Within a trial reads never go back: what it reads is not older than what it read before.
2. A trial sees what it wrote: after the acknowledgement of its own put, nothing older.
3. Between trials that is held only against a service declared `linearizable: true`.
4. Older is certain, by version or by which writes had ended before which began; what may have
   gone by itself, or been written again by somebody nobody saw the end of, is no finding.
"""

from __future__ import annotations

from typing import ClassVar

from proofrig.checkers._operations import (
    PHASE,
    PUTS,
    READS,
    Op,
    Operations,
    Places,
    declared,
    forgets,
    shown,
    where,
)
from proofrig.checkers._registers import Register
from proofrig.checkers.checker import Checked, Findings, Setting, conclude
from proofrig.history.action import Action, Entry


class _Key(Register):
    """A place, with what each trial last saw and wrote there."""

    __slots__ = ("read_by", "wrote_by")

    def __init__(self) -> None:
        super().__init__()
        self.read_by: dict[str, Op] = {}
        self.wrote_by: dict[str, Op] = {}


class StaleRead:
    """Finds reads that go back behind what the trial already knew."""

    name: ClassVar[str] = "stale_read"
    reads: ClassVar[tuple[str, ...]] = ("kv.", "file.")
    notes: ClassVar[tuple[str, ...]] = (PHASE,)
    timing: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._operations = Operations(setting)
        self._keys: Places[_Key] = Places(_Key)
        self._sessions = self._between = 0

    def action(self, action: Action) -> None:
        op = self._operations.read(action)
        if op is None or op.outcome == "fail":
            return
        key = self._keys[op.place]
        if op.name not in READS:
            key.wrote(op)
            if op.outcome == "ok" and op.name in PUTS:
                key.wrote_by[op.trial] = op
        elif op.outcome == "ok":
            self._read(key, op)
            key.read_by[op.trial] = op

    def note(self, entry: Entry) -> None:
        self._operations.note(entry)

    def _read(self, key: _Key, read: Op) -> None:
        before, own = key.read_by.get(read.trial), key.wrote_by.get(read.trial)
        if before is not None and before.end <= read.begin:
            self._sessions += 1
            self._hold(key, "back", read, before)
        if own is not None and own.end <= read.begin:
            self._sessions += 1
            self._hold(key, "own", read, own)
        if declared(self._setting, read.place).get("linearizable") is True:
            put = key.put_before(read.begin)
            if put is not None and put.trial != read.trial:
                self._between += 1
                self._hold(key, "other", read, put)

    def _hold(self, key: _Key, why: str, read: Op, newer: Op) -> None:
        found = key.less(read, newer, forgets=forgets(self._setting, read.place))
        if found is not None:
            key.suspicions[f"{why} {read.id}"] = found

    def result(self) -> Checked:
        findings = Findings()
        for place, key in self._keys.items():
            told: set[str] = set()  # a read that is stale in several ways is one finding
            for name, one in key.suspicions.items():
                if one.read.id in told:
                    continue
                told.add(one.read.id)
                newer, read = one.newer, one.read
                had = "read" if newer.name in READS else "written"
                who = f"{newer.trial} had" if name.startswith("other") else "it had"
                findings.add(
                    "stale_read",
                    f"{read.trial} read {shown(read.value)} from {where(place)}, older than "
                    f"{shown(newer.value)}, which {who} {had} before",
                    one.witness(f"{had} {shown(newer.value)}", f"read {shown(read.value)}, older"),
                )
        exposure = {
            "reads_in_session": self._sessions,
            "reads_between_trials": self._between,
            "judged_reads": self._sessions + self._between,
        }
        return conclude(
            self.name,
            findings,
            exposure,
            wanted="judged_reads",
            missing="no trial read twice, or what it had written itself, so nothing can be said",
            measures={"stale_reads": float(len(findings))},
        )
