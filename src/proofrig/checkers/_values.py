"""Where values come from: which were written, which only by writes that failed, and which were read
although nobody wrote them.

Rules:
1. A value counts as written as soon as any write of it happened or may have, seen before or after.
2. What a place held before anybody was seen to write it is not known: a value that was read before
   it was first asked to be written was there already.
"""

from __future__ import annotations

from collections import defaultdict

from proofrig.checkers._operations import ADDS, PUTS, READS, UNSEEN, Op, Place

LIMIT = 2_000_000  # different values written; from then on nothing more is judged


class Values:
    """All places of a scenario. Feed it every operation."""

    def __init__(self) -> None:
        self.read: dict[tuple[Place, str | None], Op] = {}  # the first read of what nobody wrote
        self.failed: dict[tuple[Place, str | None], Op] = {}  # the first write that failed
        self.since: dict[Place, int] = {}  # until when something was first seen of a place
        self.unseen: set[Place] = set()  # where something was written that nobody wrote down
        self.reads: dict[Place, int] = defaultdict(int)
        self._written: set[int] = set()  # hashes: a collision hides, it makes nothing up

    @property
    def full(self) -> bool:
        """True when nothing more can be judged."""
        return len(self._written) >= LIMIT

    def step(self, op: Op) -> None:
        """An operation, as it ended."""
        if op.value == UNSEEN or (op.name in ADDS and op.outcome == "unknown"):
            if op.name not in READS and op.outcome != "fail":
                self.unseen.add(op.place)
            return
        what = (op.place, op.value)
        if op.outcome == "fail":
            if op.name not in READS and op.name not in ADDS:
                self.failed.setdefault(what, op)
            return
        if op.name in READS:
            if op.outcome != "ok":
                return
            self.reads[op.place] += 1
            if op.value is not None and what not in self.read and hash(what) not in self._written:
                self.read[what] = op
        elif not self.full:
            for value in {op.value, op.given} if op.name in PUTS else {op.value}:
                self._written.add(hash((op.place, value)))
                self.read.pop((op.place, value), None)
        if op.outcome == "ok":
            self.since.setdefault(op.place, op.end)
