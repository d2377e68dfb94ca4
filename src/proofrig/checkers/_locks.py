"""Who holds which lock, as the trials themselves may believe.

Rules:
1. A trial holds a lock from the end of an acquire that was granted until it asks to release it, or
   a note says that the lock's time was up.
2. An acquire that nobody saw the end of grants nothing that could be held against the trial.
"""

from __future__ import annotations

from collections import defaultdict, deque

import msgspec

from proofrig.checkers._operations import FOREVER, Operations, Place, where
from proofrig.checkers.checker import Evidence
from proofrig.history.action import Action, Entry

PAST = 16  # locks that a trial gave back, kept for actions that end later
EXPIRED = "note.lock_expired"


class LockOp(msgspec.Struct, gc=False):
    """An action on a lock. ttl_ns: -1 for none. end: FOREVER when its end was not seen."""

    name: str
    id: str
    trial: str
    tenant: str
    place: Place
    outcome: str
    begin: int
    end: int
    ttl_ns: int
    fencing: int | None
    holder: str
    key: str

    def evidence(self, says: str) -> Evidence:
        """It as evidence, at its end or, without one, at its beginning."""
        t = self.begin if self.end == FOREVER else self.end
        return Evidence(t, self.name, says, self.id, self.trial, self.tenant)


class Held(msgspec.Struct, gc=False):
    """A lock that was granted by `grant`, and is believed to be held until `until`. renewed: when
    its time last began anew; FOREVER when nobody knows. expired: the note that ended it, until its
    holder gives it back all the same."""

    grant: LockOp
    until: int = FOREVER
    renewed: int = -1
    expired: Entry | None = None

    @property
    def certain_until(self) -> int:
        """Until when no time-to-live can have ended it unseen."""
        if self.grant.ttl_ns < 0:
            return self.until
        renewed = -1 if self.renewed == FOREVER else self.renewed
        return min(self.until, max(self.grant.begin, renewed) + self.grant.ttl_ns)


def lock_op(action: Action, operations: Operations) -> LockOp | None:
    """An action of a lock; None when it names no key."""
    place = operations.place(action)
    if place is None:
        return None
    first, last = action.reserve or action.start, action.end
    begin = first.t if first is not None else last.t if last is not None else -1
    return LockOp(
        action.name,
        action.id,
        action.trial,
        action.tenant,
        place,
        action.outcome,
        begin,
        FOREVER if last is None else last.t,
        int(action.attr("ttl_ns", -1)),
        action.attr("fencing"),
        action.attr("holder", ""),
        action.attr("key", ""),
    )


class Locks:
    """The locks of a scenario. Feed it every action on them, and the notes `lock_expired`."""

    def __init__(self) -> None:
        self.held: dict[str, dict[Place, Held]] = defaultdict(dict)
        self.past: dict[str, deque[Held]] = defaultdict(lambda: deque(maxlen=PAST))
        self.granted = 0
        self.overlaps = 0  # grants while another believed to hold the lock
        self._owners: dict[Place, str] = {}

    def step(self, op: LockOp) -> None:
        """An action on a lock, as it ended."""
        mine = self.held[op.trial]
        if op.name == "lock.acquire":
            if op.outcome != "ok":
                return
            other = self._owners.get(op.place)
            if other is not None and other != op.trial and op.place in self.held[other]:
                self.overlaps += 1
            self.granted += 1
            mine[op.place] = Held(op)
            self._owners[op.place] = op.trial
        elif op.name == "lock.release":
            self._end(op.trial, op.place, op.begin)
        elif op.outcome != "fail" and op.place in mine:
            mine[op.place].renewed = op.end if op.outcome == "ok" else FOREVER

    def expired(self, entry: Entry) -> None:
        """A note: the time-to-live freed a lock."""
        attrs = entry.attrs
        trial, of = attrs.get("holder", ""), (attrs.get("service", ""), attrs.get("key", ""))
        held = self.held[trial].items()
        for place in [place for place, one in held if (place[0], one.grant.key) == of]:
            self._end(trial, place, entry.t, entry)

    def at(self, trial: str, t: int) -> list[Held]:
        """What a trial held at `t`, given back since or not."""
        now = [one for one in self.held[trial].values() if one.grant.end <= t]
        then = [one for one in self.past[trial] if one.grant.end <= t < one.until]
        return now + then

    def _end(self, trial: str, place: Place, t: int, note: Entry | None = None) -> None:
        held = self.held[trial].pop(place, None)
        if held is not None:
            held.until, held.expired = t, note
            self.past[trial].append(held)
            return
        for one in self.past[trial]:
            if one.grant.place == place:
                one.expired = None


def lock_name(place: Place) -> str:
    """A lock for people."""
    return f"the lock {where(place)}"
