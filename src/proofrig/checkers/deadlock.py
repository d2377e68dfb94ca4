"""Deadlocks: trials that wait for one another's locks, in a circle, until somebody gives up.

Rules:
1. Each in the circle asked for a lock that the next one held during the whole of the time in which
   all of them waited. How it ended does not matter: nobody answered, somebody gave up, or the
   time-to-live of a lock was up.
2. They waited for the longer of `deadlock_s` (by default 5 seconds) and five times the 99th
   percentile of what a granted acquire waited, but for those that waited at the same time.
3. A circle that breaks sooner, by a refusal or a short timeout, is how deadlocks are avoided.
4. A trial that waits for a lock it holds itself is a circle of one.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import ClassVar

import msgspec

from proofrig.checkers._locks import EXPIRED, Held, LockOp, Locks, lock_name, lock_op
from proofrig.checkers._operations import FOREVER, PHASE, Operations, Place
from proofrig.checkers.checker import Checked, Evidence, Findings, Setting, conclude
from proofrig.history.action import Action, Entry

SECOND = 1_000_000_000
WAIT_S = 5.0
LENGTH = 12  # trials in a circle
STEPS = 100_000  # of the search


class _Wait(msgspec.Struct):
    """An acquire that waited, and what its trial held when it asked."""

    op: LockOp
    end: int
    held: dict[Place, Held]


class Deadlock:
    """Finds circles of trials that waited for each other."""

    name: ClassVar[str] = "deadlock"
    reads: ClassVar[tuple[str, ...]] = ("lock.",)
    notes: ClassVar[tuple[str, ...]] = (EXPIRED, PHASE, "note.kill", "note.lag", "trial.end")
    timing: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self._least = float(setting.params.get("deadlock_s", WAIT_S)) * SECOND
        self._operations = Operations()
        self._locks = Locks()
        self._asked, self._given = array("q"), array("q")  # when, of each that was granted
        self._waits: list[_Wait] = []
        self._gone: dict[str, int] = {}  # trial -> when it ended or was killed
        self._nested = self._last = 0

    def action(self, action: Action) -> None:
        op = lock_op(action, self._operations)
        if op is None:
            return
        self._last = max(self._last, op.begin, 0 if op.end == FOREVER else op.end)
        if op.name == "lock.acquire":
            held = self._locks.at(op.trial, op.begin)
            self._nested += bool(held)
            if op.outcome == "ok":
                self._asked.append(op.begin)
                self._given.append(op.end)
            if held and op.end - op.begin >= self._least:
                holding = {one.grant.place: one for one in held}
                self._waits.append(_Wait(op, op.end, holding))
        self._locks.step(op)

    def note(self, entry: Entry) -> None:
        self._last = max(self._last, entry.t)
        if entry.name == "lock_expired":
            self._locks.expired(entry)
        elif entry.name == "phase":
            self._operations.note(entry)
        elif entry.name != "lag":
            self._gone.setdefault(entry.trial, entry.t)

    def result(self) -> Checked:
        for wait in self._waits:
            gone = self._gone.get(wait.op.trial, self._last)
            wait.end = min(wait.end, max(gone, wait.op.begin))
        circles = list(self._circles())
        p99 = self._p99([(begin, end) for _, begin, end in circles])
        findings = Findings()
        for circle, begin, end in circles:
            if end - begin >= max(self._least, 5 * p99):
                self._add(findings, circle, (end - begin) / SECOND)
        exposure = {"nested_acquires": self._nested, "granted": len(self._given)}
        measures = {"deadlocks": float(len(findings)), "lock_wait_p99_ms": p99 / 1e6}
        return conclude(
            self.name,
            findings,
            exposure,
            wanted="nested_acquires",
            missing="nobody was seen to ask for a lock while it held another: no circle could form",
            measures=measures,
        )

    def _p99(self, spans: list[tuple[int, int]]) -> int:
        """The 99th percentile of the waits that no circle held up."""
        apart = merged(spans)
        ends = [end for _, end in apart]
        waits = []
        for asked, given in zip(self._asked, self._given, strict=True):
            place = bisect_right(ends, asked)  # the first that ended after it was asked for
            if place == len(apart) or given <= apart[place][0]:
                waits.append(given - asked)
        waits.sort()
        return waits[int(0.99 * (len(waits) - 1))] if waits else 0

    def _circles(self) -> Iterator[tuple[list[_Wait], int, int]]:
        """Circles of waits, each once, with the time in which all of them waited."""
        holders: dict[Place, list[_Wait]] = defaultdict(list)
        for wait in self._waits:
            for place in wait.held:
                holders[place].append(wait)
        told: set[frozenset[str]] = set()
        steps = 0
        for first in self._waits:
            stack = [([first], first.op.begin, first.end)]
            while stack and steps < STEPS:
                walk, begin, end = stack.pop()
                wanted = walk[-1].op.place
                for then in holders.get(wanted, ()):
                    steps += 1
                    until = min(end, then.end, then.held[wanted].certain_until)
                    since = max(begin, then.op.begin)
                    if until - since < self._least:
                        continue
                    if then is first:
                        names = frozenset(one.op.id for one in walk)
                        if names not in told:
                            told.add(names)
                            yield walk, since, until
                    elif len(walk) < LENGTH and all(then.op.trial != one.op.trial for one in walk):
                        stack.append(([*walk, then], since, until))

    def _add(self, findings: Findings, circle: list[_Wait], seconds: float) -> None:
        witness: list[Evidence] = []
        for place, wait in enumerate(circle):
            grant = circle[place - 1].op.place  # what the one before it waits for
            witness.append(wait.held[grant].grant.evidence(f"holds {lock_name(grant)}"))
            how = "is never answered" if wait.op.end == FOREVER else "gives up"
            how = "is given it in the end" if wait.op.outcome == "ok" else how
            witness.append(wait.op.evidence(f"waits for {lock_name(wait.op.place)}, and {how}"))
        who = "; ".join(f"{one.op.trial} waited for {one.op.place[1]!r}" for one in circle)
        findings.add(
            "deadlock",
            f"{len(circle)} trials waited for one another for {seconds:.1f} s: {who}",
            witness,
        )


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans of time as few that do not touch, in their order."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found
