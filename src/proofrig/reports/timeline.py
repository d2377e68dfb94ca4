"""Agents x actions over time, as data to draw: one lane per attempt at a trial, a bar per action.

Rules:
1. A bar is (start, wait, service, total, code), nanoseconds from the lane's begin; the code is the
   place of the action's kind in `actions.KINDS` plus marks: 16 failed, 32 denied, 64 fault,
   128 unended, 256 answered 429, 512 evidence of a finding.
2. Above the cap, every lane gives up its shortest unmarked bars, the fullest lanes first; what was
   left out is counted and said.
3. Memory is five integers a bar and three a region, whatever the history says.
4. The region of a fault is (start, length, place of its name in `titles`): from its entry on for as
   long as it says that it lasts, else to the end of the action that it struck.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection
from dataclasses import dataclass, field

from proofrig.history.action import Entry
from proofrig.reports.actions import KINDS, kind_of, limited, refused, wait_of

MODEL, TOOL, OTHER = (KINDS.index(name) for name in ("llm", "tool", "other"))
FAILED, DENIED, FAULT, UNENDED, LIMITED, FLAGGED = 16, 32, 64, 128, 256, 512
BARS = 20_000
LANES = 10_000
_WIDTH = 5

Bar = tuple[int, int, int, int, int]


@dataclass(slots=True)
class Lane:
    """One attempt at a trial. `begin_ns` and `end_ns` are from the run's start."""

    trial: str
    begin_ns: int
    end_ns: int
    retried: bool = False
    flat: array[int] = field(default_factory=lambda: array("q"))
    regions: array[int] = field(default_factory=lambda: array("q"))

    @property
    def size(self) -> int:
        """How many bars it has."""
        return len(self.flat) // _WIDTH

    def bars(self) -> list[Bar]:
        """The bars, in the order in which they ended."""
        values = iter(self.flat)
        return list(zip(values, values, values, values, values, strict=True))


@dataclass(frozen=True, slots=True)
class Drawing:
    """Lanes in the order of their begin, with the bars that are drawn of each."""

    lanes: list[tuple[Lane, list[Bar]]]
    all_lanes: int
    all_bars: int

    @property
    def bars(self) -> int:
        """How many bars are drawn."""
        return sum(len(bars) for _, bars in self.lanes)

    def left_out(self) -> str:
        """What is not drawn, in words; "" when everything is."""
        said = []
        if self.bars < self.all_bars:
            said.append(f"{self.bars:,} of {self.all_bars:,} actions, the marked and longest first")
        if len(self.lanes) < self.all_lanes:
            said.append(f"{len(self.lanes):,} of {self.all_lanes:,} trials, evenly spread")
        return f"Drawn: {'; '.join(said)}." if said else ""


class TimelineFold:
    """Folds a history into lanes. `flagged`: the actions that are evidence."""

    def __init__(self, flagged: Collection[str] = ()) -> None:
        self._flagged = flagged
        self._lanes: dict[str, Lane] = {}
        self._open: dict[str, tuple[str, int, int]] = {}  # action -> trial, time, code
        self._striking: dict[str, list[tuple[int, int]]] = {}  # action -> times, names of faults
        self.titles: list[str] = []  # of faults
        self._last = 0

    def step(self, entry: Entry) -> None:
        self._last = entry.t
        if not entry.trial:
            return
        lane = self._lanes.get(entry.trial)
        if lane is None:
            lane = self._lanes[entry.trial] = Lane(entry.trial, entry.t, entry.t)
        lane.end_ns = max(lane.end_ns, entry.t)
        if entry.kind == "reserve" or (entry.kind == "start" and entry.id not in self._open):
            self._open_bar(lane, entry)
        elif entry.kind == "fault":
            self._strike(lane, entry)
        elif entry.kind in ("commit", "release"):
            self._end(lane, entry)
        elif entry.kind == "trial" and entry.name == "end":
            lane.retried = bool(entry.attrs.get("retried"))

    def result(self) -> list[Lane]:
        """All lanes in the order of their begin; actions that never ended last to the end."""
        for id, (trial, at, code) in self._open.items():
            lane = self._lanes[trial]
            lane.flat.extend((at - lane.begin_ns, 0, 0, lane.end_ns - at, code | UNENDED))
            self._close(lane, id, lane.end_ns)
        self._open.clear()
        return sorted(self._lanes.values(), key=lambda lane: lane.begin_ns)

    def _code(self, entry: Entry) -> int:
        return kind_of(entry.name) | (FLAGGED if entry.id in self._flagged else 0)

    def _open_bar(self, lane: Lane, entry: Entry) -> None:
        code = self._code(entry)
        if entry.attrs.get("decision") == "deny":
            lane.flat.extend((entry.t - lane.begin_ns, 0, 0, 0, code | DENIED))
        else:
            self._open[entry.id] = (lane.trial, entry.t, code)

    def _strike(self, lane: Lane, entry: Entry) -> None:
        title = str(entry.attrs.get("fault") or entry.name)
        if title not in self.titles:
            self.titles.append(title)
        name = self.titles.index(title)
        if entry.id in self._open:
            trial, at, code = self._open[entry.id]
            self._open[entry.id] = (trial, at, code | FAULT)
        lasts = entry.attrs.get("lasts_ns")
        if lasts is not None or entry.id not in self._open:
            lane.regions.extend((entry.t - lane.begin_ns, int(lasts or 0), name))
        else:
            self._striking.setdefault(entry.id, []).append((entry.t, name))

    def _close(self, lane: Lane, id: str, at: int) -> None:
        """The regions of the faults that lasted as long as the action did."""
        for since, name in self._striking.pop(id, ()):
            lane.regions.extend((since - lane.begin_ns, at - since, name))

    def _end(self, lane: Lane, entry: Entry) -> None:
        self._close(lane, entry.id, entry.t)
        _, at, code = self._open.pop(entry.id, (lane.trial, entry.t, self._code(entry)))
        attrs = entry.attrs
        if refused(attrs):
            code |= DENIED
        elif entry.kind == "release" or attrs.get("outcome") != "ok" or attrs.get("is_error"):
            code |= FAILED
        if limited(attrs):
            code |= LIMITED
        total = entry.t - at
        queue = min(total, wait_of(attrs))
        service = min(total - queue, attrs.get("service_ns", total - queue))
        lane.flat.extend((at - lane.begin_ns, queue, service, total, code))


def draw(lanes: list[Lane], bars: int = BARS, most_lanes: int = LANES) -> Drawing:
    """Choose what is drawn: at most `bars` bars in at most `most_lanes` lanes."""
    every = sum(lane.size for lane in lanes)
    shown = lanes
    if len(lanes) > most_lanes:
        shown = [lanes[place * len(lanes) // most_lanes] for place in range(most_lanes)]
    left, kept = bars, dict[str, list[Bar]]()
    for place, lane in enumerate(sorted(shown, key=lambda lane: lane.size)):
        kept[lane.trial] = _thin(lane.bars(), left // (len(shown) - place))
        left -= len(kept[lane.trial])
    return Drawing([(lane, kept[lane.trial]) for lane in shown], len(lanes), every)


def _thin(bars: list[Bar], most: int) -> list[Bar]:
    if len(bars) <= most:
        return bars
    ranked = sorted(bars, key=lambda bar: (bar[4] < FLAGGED, bar[4] < FAILED, -bar[3]))
    return sorted(ranked[:most])
