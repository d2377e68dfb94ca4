"""When each scenario of a run was, its phases, and what struck it: kills and locks that expired.

Rules:
1. Times are nanoseconds since the run began. A scenario that was cut off ends with the history.
2. A scenario that stands twice on the history (cut off and resumed) is where it was last.
3. At most `MARKS` marks of a scenario are kept; all are counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from proofrig.history.action import Entry

MARKS = 500
STRIKES = {"kill": "trial", "lock_expired": "holder"}


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that struck a trial: `kind` is kill or lock_expired."""

    kind: str
    trial: str
    t: int
    says: str


@dataclass(slots=True)
class Scene:
    """A scenario's time, its phases as (name, begin, end), and its marks."""

    name: str
    begin_ns: int
    end_ns: int
    phases: list[tuple[str, int, int]] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    struck: int = 0


class ScenesFold:
    """Folds a history into its scenarios, in the order in which they ran."""

    def __init__(self) -> None:
        self._done: dict[str, Scene] = {}
        self._now: Scene | None = None
        self._phases: dict[str, int] = {}  # open phase -> its begin
        self._last = 0

    def step(self, entry: Entry) -> None:
        self._last = entry.t
        if entry.kind != "note":
            return
        if entry.name == "scenario":
            self._close(entry.t)
            if entry.attrs.get("state") == "begin":
                self._now = Scene(str(entry.attrs.get("scenario", "")), entry.t, entry.t)
        elif self._now is not None and entry.name == "phase":
            self._phase(self._now, entry)
        elif self._now is not None and entry.name in STRIKES:
            self._strike(self._now, entry)

    def result(self) -> list[Scene]:
        self._close(self._last)
        return list(self._done.values())

    def _phase(self, scene: Scene, entry: Entry) -> None:
        name = str(entry.attrs.get("phase", ""))
        if entry.attrs.get("state") != "end":
            self._phases[name] = entry.t
        elif name in self._phases:
            scene.phases.append((name, self._phases.pop(name), entry.t))

    def _strike(self, scene: Scene, entry: Entry) -> None:
        scene.struck += 1
        if len(scene.marks) >= MARKS:
            return
        attrs, trial = entry.attrs, entry.trial
        if entry.name == "kill":
            says = f"killed {str(attrs.get('point', '')).replace('_', ' ')}"
        else:
            trial = str(attrs.get("holder", "")) or trial
            says = f"its lock {attrs.get('key', '')} expired and was freed"
        scene.marks.append(Mark(entry.name, trial, entry.t, says))

    def _close(self, t: int) -> None:
        scene, self._now = self._now, None
        if scene is None:
            return
        scene.end_ns = t
        scene.phases += [(name, begin, t) for name, begin in self._phases.items()]
        self._phases.clear()
        self._done.pop(scene.name, None)
        self._done[scene.name] = scene
