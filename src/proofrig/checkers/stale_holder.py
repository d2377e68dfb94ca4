"""Stale holders: who has lost the lock writes after the one who has it now.

Rules:
1. With fencing tokens: a write is acknowledged under a token lower than one that was acknowledged
   for the same key before the write was asked for. Tokens of different locks are not compared.
2. Without: a trial whose lock's time was up writes after another trial took the lock and wrote the
   same key; the key being one that in this scenario nobody writes without that lock.
3. That two believe to hold a lock at once is a hazard alone, counted as `overlaps`.
"""

from __future__ import annotations

from collections import deque
from typing import ClassVar

import msgspec

from proofrig.checkers._locks import EXPIRED, Held, Locks, lock_name, lock_op
from proofrig.checkers._operations import (
    FOREVER,
    PHASE,
    READS,
    Op,
    Operations,
    Place,
    Places,
    shown,
    where,
)
from proofrig.checkers.checker import Checked, Evidence, Findings, Setting, conclude, noted
from proofrig.history.action import Action, Entry

RECORDS = 16  # of rising tokens of one key
WRITES = 16  # the last ones of one key
KEPT = 1_000  # suspicions


class _Key:
    """A place: its highest tokens, its last writes under locks, the locks it is always under."""

    __slots__ = ("guards", "records", "writes")

    def __init__(self) -> None:
        self.records: deque[Op] = deque(maxlen=RECORDS)
        self.writes: deque[tuple[Op, dict[Place, Held]]] = deque(maxlen=WRITES)
        self.guards: frozenset[Place] | None = None


class _Suspicion(msgspec.Struct):
    late: Op
    newer: Op
    lost: Held
    taken: Held


class StaleHolder:
    """Finds writes under a lock that another has taken over."""

    name: ClassVar[str] = "stale_holder"
    reads: ClassVar[tuple[str, ...]] = ("lock.", "kv.", "file.")
    notes: ClassVar[tuple[str, ...]] = (EXPIRED, PHASE)
    timing: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self._operations = Operations()
        self._locks = Locks()
        self._lock_of: dict[tuple[str, int], Place] = {}  # who was given a token, for which lock
        self._keys: Places[_Key] = Places(_Key)
        self._findings = Findings()
        self._suspicions: list[_Suspicion] = []
        self._under = self._fenced = 0

    def action(self, action: Action) -> None:
        if action.name.startswith("lock."):
            lock = lock_op(action, self._operations)
            if lock is not None:
                self._locks.step(lock)
                if lock.outcome == "ok" and lock.fencing is not None:
                    self._lock_of[lock.trial, lock.fencing] = lock.place
            return
        if action.name in READS:
            return
        op = self._operations.read(action)
        if op is None or op.outcome == "fail":
            return
        if op.fencing is not None and op.outcome == "ok":
            self._token(self._keys[op.place], op)
        elif op.name in ("kv.put", "file.write"):
            self._held(self._keys[op.place], op)

    def note(self, entry: Entry) -> None:
        if entry.name == "lock_expired":
            self._locks.expired(entry)
        else:
            self._operations.note(entry)

    def _token(self, key: _Key, op: Op) -> None:
        """Rule 1."""
        assert op.fencing is not None
        self._fenced += 1
        mine = self._lock_of.get((op.trial, op.fencing))
        for top in reversed(key.records):
            token = top.fencing or 0
            if top.end >= op.begin:
                continue
            if token > op.fencing and self._one_lock(mine, top):
                self._findings.add(
                    "stale_holder",
                    f"{op.trial} wrote {shown(op.given)} to {where(op.place)} under the token "
                    f"{op.fencing}, after a write by {top.trial} under {token} was acknowledged",
                    [
                        top.evidence(f"wrote under the token {token}"),
                        op.evidence(f"wrote under the older token {op.fencing}, acknowledged"),
                    ],
                )
            break
        if not key.records or op.fencing > (key.records[-1].fencing or 0):
            key.records.append(op)

    def _one_lock(self, mine: Place | None, other: Op) -> bool:
        theirs = self._lock_of.get((other.trial, other.fencing or 0))
        return mine is None or theirs is None or mine == theirs

    def _held(self, key: _Key, op: Op) -> None:
        """Rule 2, but for whether the key is always written under the lock."""
        held = {one.grant.place: one for one in self._believed(op)}
        places = frozenset(held)
        key.guards = places if key.guards is None else key.guards & places
        self._under += bool(held)
        if op.outcome != "ok":
            return
        for place in places & key.guards:
            lost = held[place]
            if not self._over(lost, op):
                continue
            for newer, theirs in reversed(key.writes):
                taken = theirs.get(place)
                if newer.end >= op.begin or newer.trial == op.trial or taken is None:
                    continue
                if lost.grant.end < taken.grant.begin or self._passed_on(lost, taken):
                    if len(self._suspicions) < KEPT:
                        self._suspicions.append(_Suspicion(op, newer, lost, taken))
                    break
        key.writes.append((op, held))

    def _believed(self, op: Op) -> list[Held]:
        """What the trial had taken and not given back: what time took, it may not know."""
        mine = [one for one in self._locks.past[op.trial] if one.expired is not None]
        mine += self._locks.held[op.trial].values()
        return [one for one in mine if one.grant.end <= op.begin]

    def _over(self, held: Held, op: Op) -> bool:
        """The lock's time was up before the write was asked for."""
        if held.expired is not None:
            return held.until < op.begin
        ttl = held.grant.ttl_ns
        return ttl >= 0 and max(held.grant.end, held.renewed) + ttl < op.begin

    def _passed_on(self, lost: Held, taken: Held) -> bool:
        return lost.until <= taken.grant.end and lost.grant.end <= taken.grant.end

    def result(self) -> Checked:
        for one in self._suspicions:
            place = one.lost.grant.place
            guards = self._keys[one.late.place].guards
            if guards is None or place not in guards:
                continue
            if one.lost.expired is None and one.lost.renewed == FOREVER:
                continue  # a renewal that nobody saw the end of is seen last
            witness: list[Evidence] = [
                one.lost.grant.evidence(f"takes {lock_name(place)}"),
                one.taken.grant.evidence(f"takes {lock_name(place)} after it"),
                one.newer.evidence(f"wrote {shown(one.newer.given)} as the holder"),
                one.late.evidence(f"wrote {shown(one.late.given)}, no longer the holder"),
            ]
            if one.lost.expired is not None:
                witness.append(noted(one.lost.expired, "its time is up"))
            self._findings.add(
                "stale_holder",
                f"{one.late.trial} wrote {where(one.late.place)} when its time on "
                f"{lock_name(place)} was up, after {one.newer.trial} had taken the lock and "
                "written",
                witness,
            )
        exposure = {
            "writes_under_lock": self._under + self._fenced,
            "fenced_writes": self._fenced,
            "overlaps": self._locks.overlaps,
        }
        return conclude(
            self.name,
            self._findings,
            exposure,
            wanted="writes_under_lock",
            missing="nothing was seen to be written under a lock, so nothing can be said",
            measures={"stale_holder_writes": float(len(self._findings))},
        )
