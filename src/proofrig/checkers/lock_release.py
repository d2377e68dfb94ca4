"""Locks that outlive their holder: a trial was killed, and nobody can take the lock it held.

Rules:
1. A lock that a killed trial held must be free again when its time-to-live, counted from the kill,
   and `grace_s` (by default 1 second, and what the rig's loop lagged at most) have passed.
2. It is not, when an acquire that began after the kill was refused or unanswered later than that,
   and nobody else was given the lock since the kill. A lock without time-to-live is never free:
   what counts is then only that grace.
3. Where a refusal names another holder than the killed trial, the lock was free in between.
"""

from __future__ import annotations

from collections import defaultdict
from typing import ClassVar

from proofrig.checkers._locks import Held, LockOp, Locks, lock_name, lock_op
from proofrig.checkers._operations import FOREVER, PHASE, Operations, Place
from proofrig.checkers.checker import Checked, Findings, Setting, conclude, noted
from proofrig.history.action import Action, Entry

SECOND = 1_000_000_000
GRACE_S = 1.0
KEPT = 64  # acquires of one lock that were not granted


class LockRelease:
    """Finds locks that stay with the dead."""

    name: ClassVar[str] = "lock_release"
    reads: ClassVar[tuple[str, ...]] = ("lock.",)
    notes: ClassVar[tuple[str, ...]] = ("note.kill", "note.lag", "trial.end", PHASE)
    timing: ClassVar[bool] = False  # what the loop lagged is part of the grace

    def __init__(self, setting: Setting) -> None:
        self._grace = int(float(setting.params.get("grace_s", GRACE_S)) * SECOND)
        self._operations = Operations()
        self._locks = Locks()
        self._kills: dict[str, Entry] = {}
        self._gone: dict[str, int] = {}
        self._granted: dict[Place, LockOp] = {}  # the last grant
        self._refused: dict[Place, list[LockOp]] = defaultdict(list)
        self._lag = self._last = 0

    def action(self, action: Action) -> None:
        op = lock_op(action, self._operations)
        if op is None:
            return
        self._last = max(self._last, op.begin, 0 if op.end == FOREVER else op.end)
        self._locks.step(op)
        if op.name != "lock.acquire":
            return
        if op.outcome == "ok":
            self._granted[op.place] = op
            self._refused.pop(op.place, None)
        else:
            refused = self._refused[op.place]
            if len(refused) >= KEPT:
                del refused[KEPT // 2]  # the first and the last ones tell most
            refused.append(op)

    def note(self, entry: Entry) -> None:
        self._last = max(self._last, entry.t)
        if entry.name == "kill":
            self._kills.setdefault(entry.trial, entry)
            self._gone.setdefault(entry.trial, entry.t)
        elif entry.name == "lag":
            self._lag = max(self._lag, int(entry.attrs.get("max_ns", 0)))
        elif entry.name == "phase":
            self._operations.note(entry)
        else:
            self._gone.setdefault(entry.trial, entry.t)

    def result(self) -> Checked:
        findings = Findings()
        held_at_kill = tried = 0
        for trial, kill in self._kills.items():
            for held in self._locks.at(trial, kill.t):
                held_at_kill += 1
                place = held.grant.place
                later = [one for one in self._refused[place] if one.begin > kill.t]
                given = self._granted.get(place)
                freed = given is not None and given.trial != trial and given.end > held.grant.end
                tried += bool(later) or freed
                if not freed:
                    self._judge(findings, kill, held, later)
        exposure = {
            "kills": len(self._kills),
            "locks_held_at_kill": held_at_kill,
            "locks_wanted_after": tried,
        }
        return conclude(
            self.name,
            findings,
            exposure,
            wanted="locks_wanted_after",
            missing="nobody wanted a lock that a killed agent held, so nothing can be said"
            if held_at_kill
            else "no agent was seen to hold a lock when it was killed, so nothing can be said",
            measures={"locks_not_released": float(len(findings))},
        )

    def _judge(self, findings: Findings, kill: Entry, held: Held, later: list[LockOp]) -> None:
        ttl = max(held.grant.ttl_ns, 0)
        limit = kill.t + ttl + self._grace + self._lag
        for op in later:
            until = min(op.end, self._gone.get(op.trial, self._last), self._last)
            if until <= limit or op.trial in self._kills:
                continue
            if op.holder != kill.trial and (op.holder or self._may_hold(held, op)):
                continue
            waited = (until - kill.t) / SECOND
            life = f"its time-to-live is {ttl / SECOND:g} s" if ttl else "it has no time-to-live"
            findings.add(
                "lock_not_released",
                f"{kill.trial} was killed while it held {lock_name(op.place)}; {waited:.1f} s "
                f"later {op.trial} still could not take it, and {life}",
                [
                    held.grant.evidence("takes the lock"),
                    noted(kill, "the holder is killed"),
                    op.evidence("asks for the lock and does not get it"),
                ],
            )
            return

    def _may_hold(self, held: Held, op: LockOp) -> bool:
        """Another acquire since then may have been granted, though nobody was told."""
        return any(
            one.outcome == "unknown"
            and one.id != op.id
            and one.trial != held.grant.trial
            and (one.end != FOREVER or one.trial in self._kills)
            for one in self._refused[op.place]
        )
