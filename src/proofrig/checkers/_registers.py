"""What is certain of the value of one place: which write came before which, and what a read that
shows an older one cannot be explained by.

Rules:
1. A value is older than a point in time when every write of it ended before; a write of unknown
   outcome never ends. A place is taken to be empty before its first write.
2. A suspicion stands only until another write is seen that explains what was read. Those that never
   ended are seen last, so that only what is left at the end is a finding.
3. Versions tell more than values. They are trusted where the service counts them itself, or where
   nothing was deleted or let go, which may make it count anew.
"""

from __future__ import annotations

from collections import deque

import msgspec

from proofrig.checkers._operations import APPENDS, PUTS, READS, UNSEEN, Op
from proofrig.checkers.checker import Evidence

PUTS_KEPT = 64
VALUES_KEPT = 512


class _Writes(msgspec.Struct):
    """All writes of one value to one place."""

    first_begin: int
    last_end: int
    last: Op | None


class Suspicion(msgspec.Struct):
    """`read` shows less than `newer` made certain. by_version: told by the versions."""

    read: Op
    newer: Op
    by_version: bool
    source: Op | None = None  # the write whose value was read

    def witness(self, newer: str, read: str) -> list[Evidence]:
        """The operations that prove it."""
        found = [self.newer.evidence(newer), self.read.evidence(read)]
        if self.source is not None:
            found.append(self.source.evidence("what was read was written here"))
        return found

    def explained_by(self, write: Op) -> bool:
        """True when this write, begun before the read ended, may be why it shows what it does."""
        if self.by_version:
            return not self.read.rig and write.name == "kv.delete"
        if self.newer.name in APPENDS:
            return write.name not in APPENDS
        known = write.value
        return known == UNSEEN or known in (self.read.value, self.newer.value)


class Register:
    """One place. `suspicions` by a name that the checker gives them."""

    __slots__ = ("_absent", "_expires", "_unseen", "_values", "puts", "suspicions")

    def __init__(self) -> None:
        self.puts: deque[Op] = deque(maxlen=PUTS_KEPT)  # acknowledged, in the order of their ends
        self.suspicions: dict[str, Suspicion] = {}
        self._values: dict[str, _Writes] = {}
        self._absent = _Writes(-1, -1, None)
        self._expires = False  # something was written that goes by itself
        self._unseen = False  # something was written that nobody wrote down

    def wrote(self, op: Op) -> None:
        """A write that happened or may have."""
        if self.suspicions:
            self._explain(op)
        self._expires = self._expires or op.expires
        if op.outcome == "ok" and op.name in PUTS:
            self.puts.append(op)
        if op.value == UNSEEN:
            self._unseen = True
            return
        writes = self._absent if op.value is None else self._values.get(op.value)
        if writes is not None:
            writes.first_begin = min(writes.first_begin, op.begin)
            if op.end >= writes.last_end:
                writes.last_end, writes.last = op.end, op
        elif op.value is not None:
            if len(self._values) >= VALUES_KEPT:
                for value in list(self._values)[: VALUES_KEPT // 2]:
                    del self._values[value]
            self._values[op.value] = _Writes(op.begin, op.end, op)

    def put_before(self, t: int) -> Op | None:
        """The last acknowledged put that ended before `t`."""
        for put in reversed(self.puts):
            if put.end < t:
                return put
        return None

    def less(self, read: Op, newer: Op, *, forgets: bool) -> Suspicion | None:
        """A suspicion, when `read` certainly shows less than `newer`, which came before it: a put,
        or a read. forgets: the service lets entries go by itself."""
        if read.version is not None and newer.version is not None:
            if read.version >= newer.version:
                return None
            trusted = self.counts(read, forgets=forgets)
            return Suspicion(read, newer, True) if trusted else None
        if read.value == newer.value or self._unseen or read.value == UNSEEN:
            return None
        if read.value is None and (forgets or self._expires or read.name == "file.read"):
            return None  # nobody writes down who removes a file
        writes = self._absent if read.value is None else self._values.get(read.value)
        if writes is None or writes.last_end >= self._made(newer):
            return None
        return Suspicion(read, newer, False, writes.last)

    def counts(self, op: Op, *, forgets: bool) -> bool:
        """True when the versions of this place certainly never begin anew."""
        return op.rig or not (forgets or self._expires or self._absent.last is not None)

    def _explain(self, op: Op) -> None:
        """Drop the suspicions that a write explains: of reads that ended after it began, which are
        the youngest."""
        explained = []
        for name, one in reversed(self.suspicions.items()):
            if one.read.end < op.begin:
                break
            if one.explained_by(op):
                explained.append(name)
        for name in explained:
            del self.suspicions[name]

    def _made(self, op: Op) -> int:
        """The earliest that what a put wrote, or a read showed, can have been there; or -1."""
        if op.name not in READS:
            return op.begin
        writes = self._values.get(op.value) if op.value is not None else None
        return writes.first_begin if writes is not None and writes.first_begin < op.end else -1
