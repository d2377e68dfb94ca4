"""Figures that several checkers of load make: quantiles in bounded memory, fairness, dispersion.

Rules:
1. All durations come in nanoseconds; what leaves for a measure is in milliseconds.
2. A `Spread` keeps the 7 leading bits of each value: its quantiles are at most 0.8 % off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proofrig.checkers.checker import Checked
from proofrig.history.action import Entry

MS = 1_000_000
SECOND = 1_000_000_000
DRAWN = 200  # points of a series
LAG_LIMIT_MS = 20.0


class Spread:
    """Many durations, of which only how often each came is kept."""

    def __init__(self) -> None:
        self.count = 0
        self._counts: dict[int, int] = {}

    def add(self, value: int) -> None:
        """Add one of `value` nanoseconds; a negative one counts as 0."""
        self.count += 1
        if value <= 0:
            self._counts[0] = self._counts.get(0, 0) + 1
            return
        shift = value.bit_length() - 7
        key = value >> shift << shift if shift > 0 else value
        self._counts[key] = self._counts.get(key, 0) + 1

    def ms(self, q: float) -> float:
        """The q-quantile (nearest rank) in milliseconds; 0 of none."""
        return self.ns(q) / MS

    def ns(self, q: float) -> int:
        """The q-quantile (nearest rank) in nanoseconds; 0 of none."""
        wanted, seen, value = q * self.count, 0, 0
        for value in sorted(self._counts):
            seen += self._counts[value]
            if seen >= wanted:
                shift = max(value.bit_length() - 7, 0)
                return value + (1 << shift >> 1)  # the middle of what the key stands for
        return value


class Lag:
    """How late the rig's loop ran. What times say of a rig that lagged is no proof."""

    def __init__(self) -> None:
        self._p99: list[int] = []

    def note(self, entry: Entry) -> None:
        """A `lag` note, of one second."""
        self._p99.append(int(entry.attrs.get("p99_ns", 0)))

    @property
    def p99_ms(self) -> float:
        """The lag that 99 % of the seconds stayed below."""
        return nearest(sorted(self._p99), 0.99) / MS

    def doubt(self, checked: Checked) -> Checked:
        """The result, which is unknown where it rests on times that lagged."""
        if checked.verdict == "invalid" and self.p99_ms > LAG_LIMIT_MS:
            checked.verdict = "unknown"
            checked.says += (
                f"; but the rig itself ran {self.p99_ms:.0f} ms late (at most {LAG_LIMIT_MS:g} ms "
                "proves anything): run fewer agents, or on a machine with less to do"
            )
        return checked


def nearest(ordered: Sequence[float], q: float) -> float:
    """The q-quantile (nearest rank) of an ascending list; 0 of none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, max(0, -int(-q * len(ordered) // 1) - 1))]


def jain(values: Sequence[float]) -> float:
    """Jain's index of fairness: 1 when all are equal, 1/n when one has it all (Jain, Chiu and
    Hawe 1984). 1 of none or of nothing but zeros."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def fano(counts: Mapping[int, int], bins: int) -> float:
    """Variance over mean of `bins` counts, of which those that are not in `counts` are 0. 1 when
    arrivals are independent of each other."""
    total = sum(counts.values())
    if not total:
        return 0.0
    mean = total / bins
    squares = sum(count * count for count in counts.values())
    return (squares / bins - mean * mean) / mean


def thinned(counts: Mapping[int, int], first: int, last: int) -> list[float]:
    """Counts of the bins `first` to `last` as at most `DRAWN` numbers; neighbours are summed."""
    width = -(-(last - first + 1) // DRAWN)
    drawn = [0.0] * (-(-(last - first + 1) // width))
    for place, count in counts.items():
        if first <= place <= last:
            drawn[(place - first) // width] += count
    return drawn


def percentiles(name: str, ordered: Sequence[float]) -> dict[str, float]:
    """`<name>_p50_ms`, `_p95_ms` and `_p99_ms` of an ascending list of nanoseconds."""
    return {f"{name}_p{q}_ms": nearest(ordered, q / 100) / MS for q in (50, 95, 99)}
