"""Lock-order hazards: trials take the same locks in orders that can deadlock, though they did not.

Rules:
1. Whoever asks for a lock while it holds another draws an edge between the two. A cycle of edges of
   different trials is a hazard: with another timing each waits for the next.
2. It is none when two of them held a lock in common, which lets only one of them in at a time; nor
   when it needs one trial twice.
3. A hazard is a possibility, not something that went wrong: its verdict is `unknown`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import ClassVar

import msgspec

from proofrig.checkers._locks import EXPIRED, LockOp, Locks, lock_name, lock_op
from proofrig.checkers._operations import PHASE, Operations, Place
from proofrig.checkers.checker import Checked, Evidence, Findings, Setting, conclude
from proofrig.history.action import Action, Entry

SAMPLES = 8  # of an edge: who drew it, holding what
EDGES = 10_000
LENGTH = 5  # locks in a cycle
CYCLES = 100


class _Edge(msgspec.Struct):
    """A trial asked for `asked` while it held `grant`, and all of `held`."""

    trial: str
    held: frozenset[Place]
    grant: LockOp
    asked: LockOp


class LockOrder:
    """Finds orders of locks that can deadlock."""

    name: ClassVar[str] = "lock_order"
    reads: ClassVar[tuple[str, ...]] = ("lock.",)
    notes: ClassVar[tuple[str, ...]] = (EXPIRED, PHASE)
    timing: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self._operations = Operations()
        self._locks = Locks()
        self._edges: dict[Place, dict[Place, list[_Edge]]] = defaultdict(dict)
        self._drawn = self._kept = 0

    def action(self, action: Action) -> None:
        op = lock_op(action, self._operations)
        if op is None:
            return
        if op.name == "lock.acquire":
            self._asked(op)
        self._locks.step(op)

    def note(self, entry: Entry) -> None:
        if entry.name == "lock_expired":
            self._locks.expired(entry)
        else:
            self._operations.note(entry)

    def _asked(self, op: LockOp) -> None:
        if not self._locks.held[op.trial]:
            return
        holding = [one.grant for one in self._locks.at(op.trial, op.begin)]
        held = frozenset(grant.place for grant in holding)
        if op.place in held:
            return  # it asks again for its own: no order
        for grant in holding:
            self._drawn += 1
            edges = self._edges[grant.place]
            samples = edges.get(op.place)
            if samples is None:
                if self._kept >= EDGES:
                    continue
                self._kept += 1
                samples = edges[op.place] = []
            known = any(one.trial == op.trial and one.held == held for one in samples)
            if not known and len(samples) < SAMPLES:
                samples.append(_Edge(op.trial, held, grant, op))

    def result(self) -> Checked:
        findings = Findings()
        for cycle in self._cycles():
            ways = "; ".join(
                f"{edge.trial} holds {edge.grant.place[1]!r} and asks for {edge.asked.place[1]!r}"
                for edge in cycle
            )
            witness: list[Evidence] = []
            for edge in cycle:
                witness.append(edge.grant.evidence(f"takes {lock_name(edge.grant.place)}"))
                witness.append(edge.asked.evidence(f"asks for {lock_name(edge.asked.place)} too"))
            findings.add(
                "lock_order_hazard", f"the locks can deadlock with another timing: {ways}", witness
            )
        checked = conclude(
            self.name,
            findings,
            {"nested_acquires": self._drawn, "granted": self._locks.granted},
            wanted="nested_acquires",
            missing="nobody was seen to ask for a lock while it held another, so no order was seen",
            measures={"lock_order_hazards": float(len(findings))},
        )
        if findings:
            checked.verdict = "unknown"
            checked.says = f"{len(findings)} orders of locks can deadlock; none of them need have"
        return checked

    def _cycles(self) -> Iterator[list[_Edge]]:
        """Each cycle of locks once, with the edges that prove it."""
        found = 0
        for first in sorted(self._edges):
            for locks in self._walks(first):
                edges = self._proof([*locks, first], [])
                if edges is not None:
                    yield edges
                    found += 1
                    if found >= CYCLES:
                        return

    def _walks(self, first: Place) -> Iterator[list[Place]]:
        """Ways back to `first` over locks that sort after it."""
        stack = [[first]]
        while stack:
            walk = stack.pop()
            for then in self._edges.get(walk[-1], ()):
                if then == first:
                    yield walk
                elif then > first and then not in walk and len(walk) < LENGTH:
                    stack.append([*walk, then])

    def _proof(self, locks: list[Place], chosen: list[_Edge]) -> list[_Edge] | None:
        """An edge of another trial for each step, no two of which held a lock in common."""
        if len(locks) == 1:
            return chosen
        for edge in self._edges[locks[0]][locks[1]]:
            if all(edge.trial != one.trial and not edge.held & one.held for one in chosen):
                found = self._proof(locks[1:], [*chosen, edge])
                if found is not None:
                    return found
        return None
