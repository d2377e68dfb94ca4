"""Scopes that opened far more child scopes than others like them, or nested them without end.

Rules:
1. A scope deeper than `tenant/workflow/agent/run` is a child of the one above it. It is opened when
   its first action is asked for, denied or not.
2. An explosion is a parent with more than `FACTOR` times the children that parents of its depth
   open (their median) and more than `FLOOR`; where there are fewer than `PEERS` of them, with more
   than `ALONE`. Where all open many, that is how the work is done.
3. A nest is a chain of child scopes `DEEP` levels deep, and more than twice as deep as what runs
   with child scopes have (their median), where there are `PEERS` of them.
4. Kept: the names of scopes, up to `SCOPES`; beyond that nothing more is judged.
"""

from __future__ import annotations

from statistics import median
from typing import ClassVar

from proofrig.checkers.checker import (
    Checked,
    Evidence,
    Findings,
    Setting,
    conclude,
    evidence,
)
from proofrig.history.action import Action, Entry

RUN = 4  # levels of a run's own scope
FACTOR = 5
FLOOR = 20
PEERS = 4
ALONE = 1000
DEEP = 8
SCOPES = 200_000
SHOWN = 5


class _Parent:
    """A scope and the children it opened."""

    __slots__ = ("children", "depth", "first", "last")

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.children = 0
        self.first: list[Evidence] = []
        self.last: Evidence | None = None


class FanOut:
    """Finds parents that open child scopes without measure."""

    name: ClassVar[str] = "fan_out"
    reads: ClassVar[tuple[str, ...]] = ("",)
    notes: ClassVar[tuple[str, ...]] = ()
    timing: ClassVar[bool] = False
    always: ClassVar[bool] = True

    def __init__(self, setting: Setting) -> None:
        self._seen: set[tuple[str, str]] = set()  # trial and scope
        self._parents: dict[tuple[str, str], _Parent] = {}  # by trial and scope
        self._depths: dict[tuple[str, str], tuple[int, Evidence]] = {}  # of runs with children
        self._children = 0

    def action(self, action: Action) -> None:
        scope = action.trial, action.scope
        if scope in self._seen or len(self._seen) > SCOPES:
            return
        self._seen.add(scope)
        if action.scope.count("/") >= RUN:
            self._open(action)

    def note(self, entry: Entry) -> None:
        """It reads none."""

    def result(self) -> Checked:
        findings = Findings()
        parents = self._parents
        by_depth: dict[int, list[int]] = {}
        for parent in parents.values():
            by_depth.setdefault(parent.depth, []).append(parent.children)
        usual = {depth: float(median(counts)) for depth, counts in by_depth.items()}
        for (trial, scope), parent in parents.items():
            peers, middle = len(by_depth[parent.depth]), usual[parent.depth]
            limit = max(FLOOR, FACTOR * middle) if peers >= PEERS else ALONE
            if parent.children > limit:
                who = f"{scope} ({trial})" if trial else scope
                self._explosion(findings, who, parent, f"{peers} parents opened {middle:g}")
        self._nests(findings)
        most = max((parent.children for parent in parents.values()), default=0)
        full = len(self._seen) > SCOPES
        checked = conclude(
            self.name,
            findings,
            {
                "parents": len(parents),
                "children": self._children,
                "scopes": min(len(self._seen), SCOPES),
            },
            wanted="parents",
            missing="no scope opened a child scope, so nothing can be said",
            measures={"fan_out_max": float(most)},
        )
        if full and checked.verdict == "valid":
            checked.verdict = "unknown"
            checked.says += f"; more than {SCOPES:,} scopes: the rest was not looked at"
        return checked

    def _open(self, action: Action) -> None:
        levels = action.scope.split("/")
        depth = len(levels) - 1
        above = action.scope.rpartition("/")[0]
        parent = self._parents.get((action.trial, above))
        if parent is None:
            parent = self._parents[action.trial, above] = _Parent(depth)
        parent.children += 1
        self._children += 1
        shown = evidence(action, f"opened {action.scope}, child {parent.children}", at_end=False)
        if len(parent.first) < SHOWN:
            parent.first.append(shown)
        else:
            parent.last = shown
        run = (action.trial, "/".join(levels[:RUN]))
        deepest = self._depths.get(run)
        if deepest is None or depth + 1 - RUN > deepest[0]:
            self._depths[run] = (depth + 1 - RUN, shown)

    def _explosion(self, findings: Findings, who: str, parent: _Parent, usually: str) -> None:
        findings.add(
            "fan_out_explosion",
            f"{who} opened {parent.children:,} child scopes, where {usually} in the middle",
            [*parent.first, *([parent.last] if parent.last else [])],
        )

    def _nests(self, findings: Findings) -> None:
        depths = [depth for depth, _ in self._depths.values()]
        usual = float(median(depths)) if len(depths) >= PEERS else 0.0
        for (trial, scope), (depth, shown) in self._depths.items():
            if depth >= DEEP and depth > 2 * usual:
                findings.add(
                    "deep_nesting",
                    f"{scope} ({trial or 'no trial'}) nested child scopes {depth} levels deep",
                    [shown],
                )
