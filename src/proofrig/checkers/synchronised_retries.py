"""Retries that come back in step: a refused herd that is sent away only to return as a herd.

Rules:
1. What counts is how large the effect is: the Fano factor of retry arrivals in 50 ms bins (1 when
   they are independent) and the share of them in the fullest 100 ms. A test of significance would
   flag every client: even full jitter is not quite uniform.
2. Only retries count. First attempts that were launched together are the load, not its echo.
3. The bins begin with the first retry and end with the last, over at least `SPAN`, which is the
   SDKs' first step of backoff: what lies before and after was no time to retry in.
4. Each service is judged alone, as a herd matters where it arrives; all together only where no
   service has enough retries of its own.
"""

from __future__ import annotations

from array import array
from typing import ClassVar

import msgspec

from proofrig.checkers._load_figures import MS, Lag, fano, thinned
from proofrig.checkers._load_requests import NOTES, READS, Requests
from proofrig.checkers.checker import Checked, Evidence, Findings, Setting, began, conclude
from proofrig.history.action import Action, Entry

BIN = 50 * MS
WINDOW = 100 * MS
SPAN = 500 * MS
FANO = 10.0
SHARE = 0.25
ENOUGH = 30  # retries
SHOWN = 10
ALL = "all services"


class _Arrivals(msgspec.Struct):
    """When retries arrived: eight bytes each, and the first few of each 100 ms as evidence."""

    at: array[int] = msgspec.field(default_factory=lambda: array("q"))
    shown: dict[int, list[Evidence]] = {}

    def add(self, at: int, action: Action, due: int) -> None:
        self.at.append(at)
        shown = self.shown.setdefault(at // WINDOW, [])
        if len(shown) < SHOWN:
            told = f", told to come back at {due / MS:.0f} ms" if due >= 0 else ""
            says = f"retry at {at / MS:.0f} ms{told}"
            shown.append(Evidence(at, action.name, says, action.id, action.trial, action.tenant))


class _Figures(msgspec.Struct):
    """What the arrivals at one place come to. `counts` by bin, from `first`."""

    retries: int
    fano: float
    share: float
    first: int
    bins: int
    counts: dict[int, int]
    window: tuple[int, int]

    @property
    def herd(self) -> bool:
        return self.retries >= ENOUGH and self.fano >= FANO and self.share > SHARE


class SynchronisedRetries:
    """Retries that arrive in a few instants instead of spread over the time they wait."""

    name: ClassVar[str] = "synchronised_retries"
    reads: ClassVar[tuple[str, ...]] = READS
    notes: ClassVar[tuple[str, ...]] = (*NOTES, "note.lag")
    timing: ClassVar[bool] = True

    def __init__(self, setting: Setting) -> None:
        self._requests = Requests()
        self._lag = Lag()
        self._all = _Arrivals()
        self._services: dict[str, _Arrivals] = {}

    def action(self, action: Action) -> None:
        request = self._requests.read(action)
        if request is None or not request.layer:
            return
        at = began(action)
        if request.service not in self._services:
            self._services[request.service] = _Arrivals()
        self._services[request.service].add(at, action, request.due_ns)
        self._all.add(at, action, request.due_ns)

    def note(self, entry: Entry) -> None:
        if entry.name == "lag":
            self._lag.note(entry)
        else:
            self._requests.note(entry)

    def result(self) -> Checked:
        found = {name: _figures(one.at) for name, one in sorted(self._services.items())}
        overall = _figures(self._all.at)
        judged = {name: one for name, one in found.items() if one.retries >= ENOUGH}
        findings = Findings()
        for name, figures in judged.items() or ((ALL, overall),):
            if figures.herd:
                arrivals = self._services.get(name, self._all)
                findings.add(
                    "synchronised_retries", _says(name, figures), _witness(arrivals, figures)
                )
        worst = max(judged.values() or [overall], key=lambda one: (one.herd, one.fano))
        exposure = {"retries": overall.retries, "services": len(found)}
        measures = {"fano": worst.fano, "fullest_100ms_share": worst.share}
        for name, figures in judged.items():
            measures |= {f"fano:{name}": figures.fano, f"fullest_100ms_share:{name}": figures.share}
        checked = conclude(
            self.name,
            findings,
            exposure,
            wanted="retries",
            says=f"{overall.retries:,} retries: Fano factor {worst.fano:.1f} in 50 ms bins (a herd "
            f"has {FANO:g} or more), {worst.share:.0%} in the fullest 100 ms (over {SHARE:.0%})",
            measures=measures,
            series={"retries": thinned(overall.counts, 0, overall.bins - 1)},
        )
        if checked.verdict == "valid" and overall.retries < ENOUGH:
            checked.verdict = "unknown"
            checked.says = f"{overall.retries} retries were seen; it takes {ENOUGH} to tell a herd"
        return self._lag.doubt(checked)


def _figures(at: array[int]) -> _Figures:
    """Fano factor and fullest 100 ms of arrivals."""
    if not at:
        return _Figures(0, 0.0, 0.0, 0, 1, {}, (0, 0))
    ordered = sorted(at)
    first = ordered[0]
    bins = max(ordered[-1] - first, SPAN - 1) // BIN + 1
    counts: dict[int, int] = {}
    for each in ordered:
        place = (each - first) // BIN
        counts[place] = counts.get(place, 0) + 1
    most, opened, low = 0, first, 0
    for high, each in enumerate(ordered):
        while ordered[low] <= each - WINDOW:
            low += 1
        if high - low + 1 > most:
            most, opened = high - low + 1, ordered[low]
    share = most / len(ordered)
    window = (opened, opened + WINDOW)
    return _Figures(len(ordered), fano(counts, bins), share, first, bins, counts, window)


def _witness(arrivals: _Arrivals, figures: _Figures) -> list[Evidence]:
    """The first retries of the fullest 100 ms."""
    low, high = figures.window
    near = arrivals.shown.get(low // WINDOW, []) + arrivals.shown.get(high // WINDOW, [])
    return sorted((one for one in near if low <= one.t < high), key=lambda one: one.t)[:SHOWN]


def _says(name: str, figures: _Figures) -> str:
    low, high = figures.window
    return (
        f"{name}: {figures.share:.0%} of {figures.retries:,} retries came between {low / MS:.0f} "
        f"and {high / MS:.0f} ms; Fano factor {figures.fano:.1f} in 50 ms bins. Expected retries "
        "spread out: add a random part to what Retry-After says, as long as the service needs for "
        "all of them"
    )
