"""Why a run has fewer trials than its plan: what was cut, and where its question was settled.

Rules:
1. What was cut has neither passed nor failed, and nothing around the agent failed either: it is
   said apart, by trial, with the limit that the run came to. `resume` does not make it good.
2. Both are notes, written by the process that stopped there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from proofrig.history.action import Entry
from proofrig.suites import Planned
from proofrig.trials.allowance import Why
from proofrig.trials.baseline import role_of

CUT, SETTLED = "cut", "settled"


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was cut by. reason: `usd`, `minutes` or `gate`; `why`: in words. trials: all that
    were not carried out, or not to their end; `count` of them are the agent's own, of `planned` in
    the whole run. scenarios: those that were not carried out to their end."""

    reason: str
    why: str
    trials: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    count: int = 0
    planned: int = 0

    @classmethod
    def of(
        cls,
        why: Why,
        left: Iterable[Planned],
        planned: Iterable[Planned],
        scenarios: Iterable[str] = (),
    ) -> Cut:
        """What is `left` of what was `planned` when the run came to a limit."""
        left = list(left)
        return cls(
            reason=why.reason,
            why=why.says,
            trials=tuple(one.trial for one in left),
            scenarios=tuple(scenarios),
            count=_agents_own(left),
            planned=_agents_own(planned),
        )

    @property
    def says(self) -> str:
        """The cut in a line, without the word itself."""
        many = "s" if len(self.scenarios) > 1 else ""
        named = f" (scenario{many} {', '.join(self.scenarios)})" if self.scenarios else ""
        return f"{self.count} of {self.planned} trials{named}, {self.why}"

    def attrs(self) -> dict[str, Any]:
        """The note's attributes."""
        said = msgspec.to_builtins(self)
        return said if self.scenarios else {k: v for k, v in said.items() if k != "scenarios"}


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run with adaptive repeats was settled: after which look (from 1), with how many
    repeats of each case, and why."""

    look: int
    repeats: int
    why: str


class Curtailed(msgspec.Struct, frozen=True):
    """Why a run has fewer trials than its plan."""

    cuts: tuple[Cut, ...] = ()
    settled: Settled | None = None

    @property
    def trials(self) -> frozenset[str]:
        """The trials that were cut."""
        return frozenset(trial for cut in self.cuts for trial in cut.trials)

    @property
    def whys(self) -> tuple[str, ...]:
        """Why it was cut, and why it was settled, in words."""
        settled = () if self.settled is None else (self.settled.why,)
        return (*(cut.why for cut in self.cuts), *settled)

    @property
    def scenarios(self) -> frozenset[str]:
        """The scenarios that were cut."""
        return frozenset(name for cut in self.cuts for name in cut.scenarios)


class CurtailedFold:
    """A fold: entries in, `Curtailed` out."""

    def __init__(self) -> None:
        self._cuts: list[Cut] = []
        self._settled: Settled | None = None

    def step(self, entry: Entry) -> None:
        if entry.kind != "note" or entry.name not in (CUT, SETTLED):
            return
        if entry.name == CUT:
            self._cuts.append(msgspec.convert(entry.attrs, Cut))
        else:
            self._settled = msgspec.convert(entry.attrs, Settled)

    def result(self) -> Curtailed:
        """What was cut, in the order in which it was, and where it was settled."""
        return Curtailed(tuple(self._cuts), self._settled)


def curtailed(entries: Iterable[Entry]) -> Curtailed:
    """What the entries of a run say of why it has fewer trials than its plan."""
    fold = CurtailedFold()
    for entry in entries:
        fold.step(entry)
    return fold.result()


def _agents_own(planned: Iterable[Planned]) -> int:
    return sum(1 for one in planned if role_of(one) == "subject")
