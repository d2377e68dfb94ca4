"""Work that was handed to a child scope and got lost, ran on, or cost more than was handed.

Rules:
1. A hand-off is an action whose reserve names its child scope (`child`, and in `handed` the amounts
   that the child may use); or a tool call during which a child of its scope first acted, and whose
   arguments mention that child's name.
2. `hand_off_lost`: it ended ok, and the child never acted, while children of other hand-offs are on
   the history. Where no child ever is, nobody writes down what children do.
3. `child_never_ended`: it ended ok, and the child's last call, begun before that, never ended.
4. `child_ran_on`: the child, at least `WITHIN` of whose calls had ended during the hand-off, began
   another one `GRACE_MS` after it had ended, and was handed nothing new; or it began one after its
   trial had ended. A hand-off that only starts its child is over before that.
5. `hand_off_overspent`: the child and its children used more of a unit than they were handed.
6. Kept per child scope: a few times and sums, for at most `SCOPES` of them.
"""

from __future__ import annotations

from math import inf
from typing import Any, ClassVar

from proofrig.checkers.checker import (
    Checked,
    Evidence,
    Findings,
    Setting,
    began,
    conclude,
    ended,
    evidence,
)
from proofrig.history.action import Action, Entry

RUN = 4  # levels of a run's own scope
WITHIN = 3
GRACE_MS = 100
SCOPES = 200_000
SHORTEST = 3  # letters of a name that arguments may mention by chance
_NOTHING: dict[str, Any] = {}

_Place = tuple[str, str]  # trial, scope


class _Child:
    """A child scope: what it did, and what it was handed."""

    __slots__ = (
        *("after", "first", "handed", "hand_off", "last", "late", "over_ns", "spent"),
        *("trial", "within", "ended", "scope"),
    )

    def __init__(self, trial: str, scope: str) -> None:
        self.trial = trial
        self.scope = scope
        self.first: Action | None = None
        self.last: Action | None = None  # the one that began last
        self.ended = 0  # calls that have ended
        self.spent: dict[str, int] = {}
        self.handed: dict[str, int] = {}
        self.hand_off: Action | None = None  # the latest
        self.over_ns = -1  # when that ended ok
        self.within = 0  # calls of the child that had ended then
        self.after: Action | None = None  # the first that began after it
        self.late: Action | None = None  # the first that began after the trial's end


class HandOff:
    """Finds hand-offs that were lost, ran on, or overspent."""

    name: ClassVar[str] = "hand_off"
    reads: ClassVar[tuple[str, ...]] = ("",)
    notes: ClassVar[tuple[str, ...]] = ("trial.end",)
    timing: ClassVar[bool] = False
    always: ClassVar[bool] = True

    def __init__(self, setting: Setting) -> None:
        self._payload = setting.payload
        self._children: dict[_Place, _Child] = {}
        self._unnamed: dict[_Place, list[_Child]] = {}  # by parent: what no `child` named
        self._over: dict[str, int] = {}  # trial with child scopes -> its end
        self._hand_offs = 0

    def action(self, action: Action) -> None:
        reserve = action.reserve
        if reserve is not None and "child" in reserve.attrs:
            self._named(action, reserve.attrs)
        elif self._unnamed and action.name.startswith("tool."):
            self._mentioned(action)
        if action.scope.count("/") >= RUN and not action.denied:
            self._acted(action)

    def note(self, entry: Entry) -> None:
        """A trial has ended."""
        if self._children:
            self._over[entry.trial] = entry.t

    def result(self) -> Checked:
        findings = Findings()
        seen = any(child.first and child.hand_off for child in self._children.values())
        totals = self._totals()
        for place, child in self._children.items():
            self._judge(findings, child, totals[place], seen)
        kinds = findings.kinds
        return conclude(
            self.name,
            findings,
            {"hand_offs": self._hand_offs, "children": len(self._children)},
            wanted="hand_offs",
            missing="no action handed anything to a child scope, so nothing can be said",
            measures={
                "hand_offs_lost": float(kinds.get("hand_off_lost", 0)),
                "children_ran_on": float(kinds.get("child_ran_on", 0)),
            },
        )

    def _child(self, trial: str, scope: str) -> _Child | None:
        place = trial, scope
        child = self._children.get(place)
        if child is None and len(self._children) < SCOPES:
            child = self._children[place] = _Child(*place)
        return child

    def _named(self, action: Action, attrs: dict[str, Any]) -> None:
        child = self._child(action.trial, str(attrs["child"]))
        if child is None or action.denied:
            return
        for unit, amount in (attrs.get("handed") or {}).items():
            child.handed[unit] = child.handed.get(unit, 0) + amount
        self._own(child, action)

    def _mentioned(self, action: Action) -> None:
        """A tool call has ended, or never has: it handed its work to the children of its scope
        that came up, or began again, meanwhile and whose names it mentions."""
        digest = action.attr("arguments")
        children = self._unnamed.get((action.trial, action.scope))
        if not children or digest is None:
            return
        since, until = began(action), ended(action) if action.end is not None else inf
        found = []
        for child in children:
            new = child.first if child.hand_off is None else child.after
            if new is not None and since <= began(new) <= until:
                found.append(child)
        text = (self._payload(digest) or b"") if found else b""
        for child in found:
            name = child.scope.rpartition("/")[2]
            if len(name) >= SHORTEST and name.encode() in text:
                self._own(child, action)

    def _own(self, child: _Child, action: Action) -> None:
        """A hand-off to the child has ended, or never has."""
        self._hand_offs += 1
        child.hand_off = action
        child.over_ns = ended(action) if action.outcome == "ok" else -1
        child.within = child.ended
        if child.after is not None and began(action) <= began(child.after):
            child.after = None  # it was part of this one

    def _acted(self, action: Action) -> None:
        child = self._child(action.trial, action.scope)
        if child is None:
            return
        since = began(action)
        if child.first is None:
            child.first = action
            if child.hand_off is None:
                above = action.trial, action.scope.rpartition("/")[0]
                self._unnamed.setdefault(above, []).append(child)
        elif since < began(child.first):
            child.first = action
        if child.last is None or since >= began(child.last):
            child.last = action
        child.ended += action.end is not None
        if 0 <= child.over_ns < since - GRACE_MS * 1_000_000 and child.after is None:
            child.after = action
        over = self._over.get(action.trial)
        if over is not None and since > over and child.late is None:
            child.late = action
        end = action.end
        for unit, amount in ((end.attrs.get("actual") if end else None) or _NOTHING).items():
            child.spent[unit] = child.spent.get(unit, 0) + amount

    def _totals(self) -> dict[_Place, dict[str, int]]:
        """What each child scope used, its own children included."""
        totals = {place: dict(child.spent) for place, child in self._children.items()}
        for trial, scope in sorted(totals, key=lambda place: -place[1].count("/")):
            above = totals.get((trial, scope.rpartition("/")[0]))
            if above is not None:
                for unit, amount in totals[trial, scope].items():
                    above[unit] = above.get(unit, 0) + amount
        return totals

    def _judge(self, findings: Findings, child: _Child, total: dict[str, int], seen: bool) -> None:
        hand_off, last = child.hand_off, child.last
        if child.late is not None:
            findings.add(
                "child_ran_on",
                f"{child.scope} began {child.late.name} after its trial {child.trial} had ended",
                [_of_child(child.late)],
            )
        if hand_off is None:
            return
        told = [evidence(hand_off, f"handed to {child.scope}, ended {hand_off.outcome}")]
        if last is None:
            # A child that only its own children speak for has acted.
            if child.over_ns >= 0 and seen and not total:
                says = f"{hand_off.name} handed work to {child.scope} and ended ok, but that never "
                findings.add("hand_off_lost", f"{says}did anything", told)
            return
        if child.over_ns >= 0:
            if last.end is None and began(last) <= child.over_ns:
                says = (
                    f"{hand_off.name} ended ok, but {last.name} of {child.scope}, which it handed "
                )
                witness = [*told, _of_child(last)]
                findings.add("child_never_ended", f"{says}its work to, never ended", witness)
            elif child.after is not None and child.within >= WITHIN and child.late is None:
                says = f"{child.scope} began {child.after.name} after {hand_off.name}, which had "
                witness = [*told, _of_child(child.after)]
                findings.add("child_ran_on", f"{says}handed it its work, was over", witness)
        over = {
            unit: total[unit]
            for unit, amount in child.handed.items()
            if total.get(unit, 0) > amount
        }
        if over:
            used = ", ".join(f"{n:,} {unit} of {child.handed[unit]:,}" for unit, n in over.items())
            findings.add(
                "hand_off_overspent",
                f"{child.scope} used more than it was handed: {used}",
                [*told, evidence(last, "its last call")],
            )


def _of_child(action: Action) -> Evidence:
    return evidence(action, f"by {action.scope}, ended {action.outcome}", at_end=False)
