"""Whose conversation a request belongs to, so that parallel branches of a trial are told apart.

Rules:
1. A request that begins with all that an earlier one said continues its lineage; one that names an
   earlier reply continues that reply's. Each end is continued once: what comes second is a branch.
2. Any other request begins a lineage, called by the digest of how its conversation begins; the
   second that begins the same is `<digest>.1`, and so on.
3. What is no conversation has one lineage for each tool, or address, and child scope.
4. A turn is the number of exchanges that the lineage had before.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from proofrig.cassettes.canonical import Canonical

_REPLY_ID = re.compile(rb'"id"\s*:\s*"([^"\\]{4,128})"')
_HEAD = 4096  # bytes of an answer in which its id is looked for


class Place(NamedTuple):
    """A place in a trial: a lineage, and a turn of it."""

    lineage: str
    turn: int


class Lineages:
    """The lineages of one trial. `names` are taken and not given to new ones."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._taken = set(names)
        self._ends: dict[bytes, list[str]] = {}
        self._end_of: dict[str, bytes] = {}
        self._replies: dict[str, str] = {}
        self._turns: Counter[str] = Counter()

    def of(self, form: Canonical) -> str:
        """The lineage that a request continues, or empty when it begins one."""
        if not form.chain:
            return name_of(form)
        if form.continues:
            return self._replies.get(form.continues, "")
        for link in reversed(form.chain[:-1]):
            if found := self._ends.get(link):
                return found[0]
        return ""

    def place(self, form: Canonical) -> Place:
        """A request's place; it is the end of its lineage from now on."""
        lineage = self.of(form)
        if form.continues:
            self._replies.pop(form.continues, None)  # the next to continue it is a branch
        return self.at(lineage or self._fresh(name_of(form)), form)

    def at(self, lineage: str, form: Canonical) -> Place:
        """The request is the next of this lineage."""
        self._taken.add(lineage)
        if form.chain:
            before = self._end_of.get(lineage)
            if before is not None:
                self._ends[before].remove(lineage)
                if not self._ends[before]:
                    del self._ends[before]
            end = self._end_of[lineage] = form.chain[-1]
            self._ends.setdefault(end, []).append(lineage)
        turn = self._turns[lineage]
        self._turns[lineage] += 1
        return Place(lineage, turn)

    def replied(self, lineage: str, answer: bytes) -> None:
        """An answer to a request of this lineage; the next request may name it by its id."""
        if found := _REPLY_ID.search(answer, 0, _HEAD):
            self._replies[found[1].decode("utf-8", "replace")] = lineage

    def turns(self, lineage: str) -> int:
        """How many exchanges this lineage had."""
        return self._turns[lineage]

    def _fresh(self, root: str) -> str:
        name, number = root, 0
        while name in self._taken:
            number += 1
            name = f"{root}.{number}"
        return name


def name_of(form: Canonical) -> str:
    """What a lineage that begins with this request is called."""
    return form.root.hex()[:8]
