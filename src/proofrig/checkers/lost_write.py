"""Acknowledged writes that are gone: the service said they had happened, and nobody can read them.

Rules:
1. A put is lost when a read that was asked for after its acknowledgement shows what certainly is
   older, and nobody saw the put or anything newer from then on (it was only late, if somebody did).
2. An element that was appended is lost when such a read does not contain it, and no other
   kind of write may have removed it.
3. Two acknowledged writes under one version, or a later write under a lower one, are one lost.
4. What the suite declares to go by itself (`ttl_s`, `max_entries`, `eviction`) is not lost. A
   service declared `linearizable: false` may show what is older; only rule 3 is held against it.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import ClassVar

import msgspec

from proofrig.checkers._operations import (
    APPENDS,
    PHASE,
    READS,
    UNSEEN,
    Op,
    Operations,
    Places,
    declared,
    forgets,
    shown,
    where,
)
from proofrig.checkers._registers import Register, Suspicion
from proofrig.checkers.checker import Checked, Findings, Setting, conclude
from proofrig.history.action import Action, Entry

ELEMENTS = 64  # appended to one place, that a read is held against
VERSIONS = 256  # of one place
TWIN = "version "  # how a suspicion of rule 3 is named


class _Key(Register):
    """A place, with what was appended to it and the versions its writes were given."""

    __slots__ = ("elements", "removed", "versions")

    def __init__(self) -> None:
        super().__init__()
        self.elements: deque[Op] = deque(maxlen=ELEMENTS)
        self.removed = -1  # until when something may have taken elements away
        self.versions: dict[int, Op] = {}


class LostWrite:
    """Finds acknowledged writes that a later read should show and does not."""

    name: ClassVar[str] = "lost_write"
    reads: ClassVar[tuple[str, ...]] = ("kv.", "file.")
    notes: ClassVar[tuple[str, ...]] = (PHASE,)
    timing: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._operations = Operations(setting)
        self._keys: Places[_Key] = Places(_Key)
        self._checked = self._counted = self._acknowledged = 0

    def action(self, action: Action) -> None:
        op = self._operations.read(action)
        if op is None or op.outcome == "fail":
            return
        key = self._keys[op.place]
        if op.name in READS:
            if op.outcome == "ok":
                self._read(key, op)
        else:
            self._wrote(key, op)

    def note(self, entry: Entry) -> None:
        self._operations.note(entry)

    def _wrote(self, key: _Key, op: Op) -> None:
        key.wrote(op)
        if op.name not in APPENDS:
            key.removed = max(key.removed, op.end)
            key.elements.clear()
        if op.outcome != "ok":
            return
        self._acknowledged += 1
        if op.name in APPENDS and op.begin > key.removed and op.given is not None:
            key.elements.append(op)
        if op.version is not None and op.name != "kv.delete":
            self._version(key, op)

    def _version(self, key: _Key, op: Op) -> None:
        """Rule 3."""
        assert op.version is not None
        self._counted += 1
        twin = key.versions.get(op.version)
        last = next(reversed(key.versions.values()), None)
        if twin is None and last is not None and last.end < op.begin:
            twin = last if (last.version or 0) > op.version else None
        if twin is not None and key.counts(op, forgets=forgets(self._setting, op.place)):
            key.suspicions[TWIN + twin.id] = Suspicion(op, twin, True)
        if len(key.versions) >= VERSIONS:
            del key.versions[next(iter(key.versions))]
        key.versions[op.version] = op

    def _read(self, key: _Key, read: Op) -> None:
        if key.suspicions:
            self._seen(key, read)
        if declared(self._setting, read.place).get("linearizable") is False:
            return
        put = key.put_before(read.begin)
        if put is not None:
            self._checked += 1
            goes = forgets(self._setting, read.place)
            if put.id not in key.suspicions:
                found = key.less(read, put, forgets=goes)
                if found is not None:
                    key.suspicions[put.id] = found
        if key.elements and not forgets(self._setting, read.place):
            self._contains(key, read)

    def _contains(self, key: _Key, read: Op) -> None:
        """Rule 2."""
        content = self._content(read.value)
        if content is None:
            return
        self._checked += 1
        for element in key.elements:
            given = element.given
            if (
                given is not None
                and given not in content
                and element.end < read.begin
                and element.id not in key.suspicions
                and not self._holds(content, given)
            ):
                key.suspicions[element.id] = Suspicion(read, element, False)

    def _content(self, value: str | None) -> str | None:
        """What a read showed, whole; None when that was not kept."""
        if value is None:
            return ""
        if value == UNSEEN or not value.startswith("blake2:"):
            return None if value == UNSEEN else value
        data = self._setting.payload(value.removeprefix("blake2:"))
        return None if data is None else data.decode("utf-8", "replace")

    def _holds(self, content: str, element: str) -> bool:
        """True unless `content` is certainly without the element, however it is written there."""
        if element == UNSEEN or element.startswith("blake2:"):
            return True
        if msgspec.json.encode(element).decode()[1:-1] in content:
            return True
        try:
            return bool(msgspec.json.decode(element) in msgspec.json.decode(content))
        except (msgspec.DecodeError, TypeError):
            return False

    def _seen(self, key: _Key, read: Op) -> None:
        """What was missed and is there after all was only late. The youngest are looked at."""
        content = self._content(read.value) if key.elements else None
        for name in list(islice(reversed(key.suspicions), ELEMENTS)):
            one = key.suspicions[name].newer
            if one.name in APPENDS:
                late = content is not None and one.given is not None and one.given in content
            elif read.version is not None and one.version is not None:
                late = read.version == one.version
            else:
                late = read.value == one.value
            if late and not name.startswith(TWIN):
                del key.suspicions[name]

    def result(self) -> Checked:
        findings = Findings()
        for place, key in self._keys.items():
            for name, one in key.suspicions.items():
                lost, seen = one.newer, one.read
                what = "appended" if lost.name in APPENDS else "wrote"
                if name.startswith(TWIN):
                    how = f"a later write by {seen.trial} was given version {seen.version}, though "
                    how += f"this one had {lost.version}"
                else:
                    how = f"{seen.trial} asked later and read {shown(seen.value)}"
                findings.add(
                    "lost_write",
                    f"{lost.trial} {what} {shown(lost.given)} to {where(place)}, which was "
                    f"acknowledged; {how}",
                    one.witness(f"{what} {shown(lost.given)}, acknowledged", how),
                )
        exposure = {
            "acknowledged_writes": self._acknowledged,
            "reads_after_writes": self._checked,
            "versioned_writes": self._counted,
            "judged_operations": self._checked + self._counted,
        }
        measures = {"lost_writes": float(len(findings))}
        return conclude(
            self.name,
            findings,
            exposure,
            wanted="judged_operations",
            missing="nothing was read after it had been written, so nothing can be said",
            measures=measures,
        )
