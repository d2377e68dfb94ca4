"""The online form of loops and floods: first a warning, then denials, then the end of the run.

    seen ──▶ None            go ahead
         ──▶ warn            go ahead, and tell the model `says` with the result
         ──▶ deny            do not: `says` is the answer
         ──▶ stop            do not, nor anything else of this run

Rules:
1. No step is left out: what was not warned of is not denied, what was not denied not stopped.
2. A step says `first` once per anomaly; that is when it is written down. Denials go on until the
   run does something else, or slows down.
3. A denied call that is asked for again counts on, once per turn: a run that only repeats it is
   stopped.
4. A run that is stopped stays so.
5. Kept per run: what `Loops` and `Floods` keep, the digests of `EMPTIES` empty results, and how far
   each kind of anomaly has come.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from proofrig.anomalies.floods import Flood, Floods
from proofrig.anomalies.loops import Loop, Loops
from proofrig.anomalies.settings import DEFAULTS, Done, Settings
from proofrig.anomalies.words import flood_says, loop_says

StepName = Literal["warn", "deny", "stop"]
STEPS: tuple[StepName, ...] = ("warn", "deny", "stop")
EMPTIES = 64


class Step(msgspec.Struct, frozen=True, gc=False):
    """What to do about an action that is asked for. kind: `repeat`, `ping_pong`, `no_progress`,
    `retry`, `polling` or `flood`. count: see `Settings`. says: for the model. first: this step of
    this anomaly is new, and belongs on the history."""

    kind: str
    step: StepName
    count: int
    says: str
    first: bool


class _Anomaly:
    """How far one anomaly has come. since: its beginning, which tells it from the next one."""

    __slots__ = ("denied", "level", "since", "turn")

    def __init__(self, since: int) -> None:
        self.since = since
        self.level = 0
        self.denied = 0
        self.turn = ""  # the last that was denied


class Watch:
    """Watches one run. Ask `seen` before an action, tell `ended` after it; a denied action has not
    ended."""

    def __init__(self, settings: Settings = DEFAULTS) -> None:
        self._settings = settings
        self._empties: dict[str, None] = {}
        self._loops = Loops(settings, self._empties.__contains__)
        self._floods = Floods(settings)
        self._loop: Loop | None = None
        self._anomalies: dict[str, _Anomaly] = {}
        self._stopped: Step | None = None

    def seen(self, name: str, arguments: str, now_ns: int, turn: str = "") -> Step | None:
        """An action is asked for: its name, the digest of its arguments, and the turn that asked
        (see `Done`). None: go ahead."""
        if self._stopped is not None:
            return msgspec.structs.replace(self._stopped, first=False)
        step: Step | None = None
        loop = self._loop
        if loop is not None and self._loops.goes_on(loop, name, arguments):
            step = self._of_loop(loop, turn)
        flood = self._floods.now(now_ns)
        if flood is not None and flood.level and (step is None or step.step == "warn"):
            step = self._of_flood(flood, now_ns) or step
        if step is not None and step.step == "stop":
            self._stopped = step
        return step

    def ended(self, done: Done, *, empty: bool = False) -> None:
        """An action has ended. empty: its result brought nothing, see `names.empty`."""
        if empty and done.result not in self._empties:
            if len(self._empties) >= EMPTIES:
                del self._empties[next(iter(self._empties))]
            self._empties[done.result] = None
        self._loops.ended(done)
        self._loop = self._loops.now()
        self._floods.step(done.ended_ns, done.tokens)

    def _of_loop(self, loop: Loop, turn: str) -> Step | None:
        steps = {
            "repeat": self._settings.repeat,
            "ping_pong": self._settings.cycle,
            "polling": self._settings.polling,
        }.get(loop.kind, self._settings.no_progress)
        anomaly = self._anomaly(loop.kind, loop.since)
        count = loop.count + anomaly.denied
        step = self._climb(anomaly, loop.kind, count, steps.level(count), loop_says(loop, count))
        if step is not None and step.step == "deny":
            anomaly.denied += not turn or turn != anomaly.turn
            anomaly.turn = turn
        return step

    def _of_flood(self, flood: Flood, now_ns: int) -> Step | None:
        anomaly = self._anomaly("flood", flood.since)
        says = flood_says(flood)
        step = self._climb(anomaly, "flood", flood.count, flood.level, says)
        if step is not None and step.step == "deny":
            self._floods.step(now_ns)  # asking on is flooding on
        return step

    def _anomaly(self, kind: str, since: int) -> _Anomaly:
        anomaly = self._anomalies.get(kind)
        if anomaly is None or anomaly.since != since:
            anomaly = self._anomalies[kind] = _Anomaly(since)
        return anomaly

    def _climb(
        self, anomaly: _Anomaly, kind: str, count: int, level: int, says: str
    ) -> Step | None:
        if not level:
            return None
        level = min(level, anomaly.level + 1)
        first = level > anomaly.level
        if not first and level == 1:
            return None  # it was warned
        if first:
            anomaly.level = level
        step = STEPS[level - 1]
        ends = {
            "warn": "",
            "deny": " This call was refused, and so will be the next one like it.",
            "stop": " The run is stopped.",
        }
        return Step(kind, step, count, says + ends[step], first)
