"""Key collisions: what should lie apart is written to one and the same place.

Rules:
1. A service that declares `partition: tenant`, `partition: trial` or `shared: false` keeps what
   belongs to different tenants, or trials, apart. Two of them writing one physical key collide,
   unless the key is declared public.
2. Two different keys that are stored under one physical key collide, whoever wrote them, when at
   least one was written.
3. Each physical key is found once of each kind.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import ClassVar

from proofrig.checkers._operations import (
    PHASE,
    READS,
    Op,
    Operations,
    Places,
    declared,
    where,
)
from proofrig.checkers.checker import Checked, Evidence, Findings, Setting, conclude
from proofrig.history.action import Action, Entry


class _Key:
    """A physical key: its first writer, and the first that used it under which name."""

    __slots__ = ("found", "named", "writer")

    def __init__(self) -> None:
        self.writer: Op | None = None
        self.named: tuple[str, Op] | None = None
        self.found: set[str] = set()


class KeyCollision:
    """Finds different owners, or different keys, in one place."""

    name: ClassVar[str] = "key_collision"
    reads: ClassVar[tuple[str, ...]] = ("kv.", "cache.put")
    notes: ClassVar[tuple[str, ...]] = (PHASE,)
    timing: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._operations = Operations()
        self._keys: Places[_Key] = Places(_Key)
        self._findings = Findings()
        self._partitioned = self._mapped = 0

    def action(self, action: Action) -> None:
        op = self._operations.read(action)
        if op is None or op.outcome == "fail":
            return
        physical, key = action.attr("physical"), action.attr("key", "")
        apart = self._apart(op, key) if op.name not in READS else ""
        if not physical and not apart:
            return
        known = self._keys[op.place]
        if apart:
            self._partitioned += 1
            self._owner(known, op, apart)
        if physical:
            self._mapped += 1
            self._key(known, op, key)

    def note(self, entry: Entry) -> None:
        self._operations.note(entry)

    def _apart(self, op: Op, key: str) -> str:
        """What the service keeps apart: "tenant", "trial" or "" for nothing."""
        said = declared(self._setting, op.place)
        partition = said.get("partition", "none")
        if partition == "none":
            partition = "trial" if said.get("shared") is False else ""
        public = said.get("public") or ()
        if partition and any(fnmatchcase(key, pattern) for pattern in public):
            return ""
        return str(partition)

    def _owner(self, known: _Key, op: Op, apart: str) -> None:
        first = known.writer
        if first is None:
            known.writer = op
            return
        mine, other = (op.tenant, first.tenant) if apart == "tenant" else (op.trial, first.trial)
        if mine == other or not mine or not other or "owner" in known.found:
            return
        known.found.add("owner")
        self._findings.add(
            "key_collision",
            f"the {apart}s {other} and {mine} both wrote {where(op.place)}, though {op.place[0]} "
            f"is declared to keep what belongs to a {apart} apart",
            [self._wrote(first, f"{apart} {other}"), self._wrote(op, f"{apart} {mine}")],
        )

    def _key(self, known: _Key, op: Op, key: str) -> None:
        if known.named is None:
            known.named = (key, op)
            return
        first_key, first = known.named
        if first_key == key:
            if first.name in READS and op.name not in READS:
                known.named = (key, op)
            return
        if "key" in known.found or (first.name in READS and op.name in READS):
            return
        known.found.add("key")
        self._findings.add(
            "key_collision",
            f"the keys {first_key!r} and {key!r} are both stored under {where(op.place)}",
            [self._wrote(first, f"key {first_key!r}"), self._wrote(op, f"key {key!r}")],
        )

    def _wrote(self, op: Op, who: str) -> Evidence:
        did = "read" if op.name in READS else "wrote"
        return op.evidence(f"{did} {where(op.place)} as {who}")

    def result(self) -> Checked:
        exposure = {
            "partitioned_writes": self._partitioned,
            "mapped_keys": self._mapped,
            "judged_uses": self._partitioned + self._mapped,
        }
        return conclude(
            self.name,
            self._findings,
            exposure,
            wanted="judged_uses",
            missing="no key of a service with a `partition` was used, so nothing can be said",
            measures={"key_collisions": float(len(self._findings))},
        )
