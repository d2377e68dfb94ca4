"""The signature of a run: what its actions usually cost and take, how many of them a trial makes.

Rules:
1. Kept are counts and quartiles per action name, so a signature is small whatever the run was, and
   two of them can be compared without either run.
2. A drift is a whole distribution that moved: the middle by a factor, and the lower quarter of one
   above the upper quarter of the other. A few slow or dear calls are none.
3. How many calls a trial makes is compared only between runs of the same cases.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

Figure = Literal["usd_micro", "tokens", "ms", "per_trial"]
FIGURES: tuple[Figure, ...] = ("usd_micro", "tokens", "ms", "per_trial")

LEAST = 20  # actions of a name, or trials, on both sides
FACTOR = 2.0
# Below these differences nobody cares, whatever the factor.
FLOOR: dict[Figure, float] = {"usd_micro": 100, "tokens": 50, "ms": 50, "per_trial": 1}


class Quartiles(msgspec.Struct, frozen=True, gc=False):
    """Count, lower quartile, median and upper quartile of something."""

    count: int = 0
    low: float = 0.0
    mid: float = 0.0
    high: float = 0.0


class Named(msgspec.Struct, frozen=True, gc=False):
    """One action name: `usd_micro`, `tokens` and `ms` of its actions, `per_trial` how many of them
    each trial made, those that made none included."""

    usd_micro: Quartiles = Quartiles()
    tokens: Quartiles = Quartiles()
    ms: Quartiles = Quartiles()
    per_trial: Quartiles = Quartiles()


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """A run by its names. `cases`: those its trials were of, in order."""

    names: dict[str, Named] = {}
    cases: tuple[str, ...] = ()
    trials: int = 0


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One action that ended. trial: `<case>:<number>`, `<case>@<scenario>:<number>`, or empty."""

    name: str
    trial: str
    ns: int
    usd_micro: int = 0
    tokens: int = 0


class Drift(msgspec.Struct, frozen=True, gc=False):
    """A figure of a name that moved."""

    name: str
    figure: Figure
    before: Quartiles
    after: Quartiles

    @property
    def ratio(self) -> float:
        """The middle after over the middle before; infinite where that was 0."""
        return self.after.mid / self.before.mid if self.before.mid else float("inf")


class Counts:
    """Many whole numbers, of which the six leading bits and how often each came are kept."""

    __slots__ = ("_by_key", "count")

    def __init__(self) -> None:
        self.count = 0
        self._by_key: dict[int, int] = {}

    def add(self, value: int, times: int = 1) -> None:
        """Add a value, 0 or more, so many times."""
        shift = value.bit_length() - 6
        key = value >> shift << shift if shift > 0 else max(value, 0)
        self._by_key[key] = self._by_key.get(key, 0) + times
        self.count += times

    def below(self, value: int) -> int:
        """How many are below `value`."""
        return sum(times for key, times in self._by_key.items() if key < value)

    def quartiles(self, unit: float = 1.0) -> Quartiles:
        """Their quartiles (nearest rank) over `unit`."""
        if not self.count:
            return Quartiles()
        marks = [-(-self.count * quarter // 4) for quarter in (1, 2, 3)]
        found: list[float] = []
        seen = 0
        for key in sorted(self._by_key):
            seen += self._by_key[key]
            while len(found) < 3 and seen >= marks[len(found)]:
                found.append(key / unit)
        return Quartiles(self.count, *found)


class _Name:
    __slots__ = ("ns", "per_trial", "tokens", "usd_micro")

    def __init__(self) -> None:
        self.usd_micro, self.tokens, self.ns = Counts(), Counts(), Counts()
        self.per_trial: dict[str, int] = {}


class Signing:
    """Makes a signature of samples that are handed in one by one."""

    def __init__(self) -> None:
        self._names: dict[str, _Name] = {}
        self._trials: dict[str, None] = {}

    def add(self, name: str, trial: str, ns: int, usd_micro: int = 0, tokens: int = 0) -> None:
        """One action, see `Sample`."""
        known = self._names.get(name)
        if known is None:
            known = self._names[name] = _Name()
        known.ns.add(ns)
        known.usd_micro.add(usd_micro)
        known.tokens.add(tokens)
        if trial:
            known.per_trial[trial] = known.per_trial.get(trial, 0) + 1
            self._trials[trial] = None

    def trial(self, trial: str) -> None:
        """A trial, which may make no action at all."""
        self._trials[trial] = None

    def signature(self) -> Signature:
        """What was handed in so far."""
        names = {name: self._named(known) for name, known in sorted(self._names.items())}
        cases = sorted({case_of(trial) for trial in self._trials})
        return Signature(names=names, cases=tuple(cases), trials=len(self._trials))

    def _named(self, known: _Name) -> Named:
        per_trial = Counts()
        for number in known.per_trial.values():
            per_trial.add(number)
        if len(self._trials) > len(known.per_trial):
            per_trial.add(0, len(self._trials) - len(known.per_trial))
        return Named(
            known.usd_micro.quartiles(),
            known.tokens.quartiles(),
            known.ns.quartiles(1e6),
            per_trial.quartiles(),
        )


def case_of(trial: str) -> str:
    """The case of a trial's id."""
    return trial.rpartition(":")[0].partition("@")[0]


def signature_of(samples: Iterable[Sample]) -> Signature:
    """The signature of a run's actions."""
    signing = Signing()
    for one in samples:
        signing.add(one.name, one.trial, one.ns, one.usd_micro, one.tokens)
    return signing.signature()


def drifts(before: Signature, after: Signature, figures: Iterable[Figure] = FIGURES) -> list[Drift]:
    """What moved between two runs, of the figures named. `per_trial` is left out where the cases
    are not the same."""
    found = []
    for figure in figures:
        per_trial = figure == "per_trial"
        if per_trial and before.cases != after.cases:
            continue
        names = before.names.keys() & after.names.keys()
        if per_trial:
            names = before.names.keys() | after.names.keys()
        for name in sorted(names):
            pair = _quartiles(before, name, figure), _quartiles(after, name, figure)
            if moved(*pair, FLOOR[figure]):
                found.append(Drift(name, figure, *pair))
    return found


def _quartiles(signature: Signature, name: str, figure: Figure) -> Quartiles:
    named = signature.names.get(name)
    if named is None:  # no trial made any
        return Quartiles(signature.trials)
    quartiles: Quartiles = getattr(named, figure)
    return quartiles


def moved(before: Quartiles, after: Quartiles, floor: float) -> bool:
    """Rule 2."""
    if min(before.count, after.count) < LEAST:
        return False
    less, more = (before, after) if before.mid <= after.mid else (after, before)
    far = more.mid >= FACTOR * less.mid and more.mid - less.mid >= floor
    return far and more.low > less.high
