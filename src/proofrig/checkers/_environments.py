"""The same cases in clean and in used environments: how much less often they pass in used ones.

Rules:
1. Trials are told apart by the `part` of their begin. Those that only fill the environment are no
   part of it.
2. The cases are fixed and their trials the sample: the difference is the mean over cases, with its
   95 % interval. It is a finding only where the interval lies below zero.
3. Without a finding it is certain only where the interval leaves out a difference that matters
   (`margin`). Else it is said how many trials more would tell.
"""

from __future__ import annotations

from collections import defaultdict

from proofrig.history.action import Entry
from proofrig.stats.intervals import Interval

CLEAN, USED = "clean", "used"
MARGIN = 0.2  # the drop of the pass rate that matters, where the scenario says none
MOST = 64  # so many times the trials, at most, are worked out

Counts = list[tuple[int, int]]  # of each case: trials that were measured, and that passed


class Environments:
    """Takes the trials' begins and ends. `failed`: ends of those that failed in used ones."""

    def __init__(self) -> None:
        self.failed: list[Entry] = []
        self._parts: dict[str, str] = {}  # trial -> clean or used
        self._passed: dict[str, dict[str, list[bool]]] = {
            CLEAN: defaultdict(list),
            USED: defaultdict(list),
        }

    def begun(self, entry: Entry) -> None:
        part = entry.attrs.get("part")
        if part in self._passed:
            self._parts[entry.trial] = part

    def ended(self, entry: Entry) -> None:
        part, passed = self._parts.pop(entry.trial, ""), entry.attrs.get("passed")
        if not part or passed is None:
            return
        self._passed[part][entry.trial.rpartition("@")[0]].append(passed)
        if part == USED and not passed:
            self.failed.append(entry)

    def trials(self, part: str) -> int:
        """How many were measured."""
        return sum(map(len, self._passed[part].values()))

    def compared(self, margin: float) -> Compared | None:
        """What they come to; None when no case was measured in both."""
        both = sorted(self._passed[CLEAN].keys() & self._passed[USED].keys())
        clean, used = (
            [(len(passed[case]), sum(passed[case])) for case in both]
            for passed in (self._passed[CLEAN], self._passed[USED])
        )
        return Compared(clean, used, margin) if both else None


class Compared:
    """Cases in both environments. difference: used less clean. more: trials that it would take
    besides to tell, 0 when it can be told, None when many times as many would not do."""

    def __init__(self, clean: Counts, used: Counts, margin: float) -> None:
        self.clean, self.used = rate(clean), rate(used)
        self.difference = _difference(clean, used)
        self.more = _more(clean, used, margin)
        self._margin = margin
        self._trials = sum(k for k, _ in clean), sum(k for k, _ in used)

    @property
    def worse(self) -> bool:
        return self.difference.high < 0

    @property
    def says(self) -> str:
        apart, (clean, used) = self.difference, self._trials
        text = (
            f"{self.clean:.0%} of {clean} passed in clean, {self.used:.0%} of {used} in used "
            f"environments: {apart.estimate * 100:+.0f} points "
            f"({apart.low * 100:+.0f} to {apart.high * 100:+.0f})"
        )
        if self.more == 0:
            return text
        many = f"about {self.more} trials more" if self.more else "very many trials more"
        return f"{text}; {many} would tell whether it is {self._margin * 100:.0f} points worse"

    def measures(self) -> dict[str, float]:
        return {
            "clean_pass_rate": self.clean,
            "used_pass_rate": self.used,
            "used_difference_low_ratio": self.difference.low,
            "used_difference_high_ratio": self.difference.high,
        }


def rate(counts: Counts) -> float:
    """The mean over cases of their pass rates."""
    return sum(passed / trials for trials, passed in counts) / len(counts)


def _difference(clean: Counts, used: Counts) -> Interval:
    """Used less clean, with its interval."""
    from proofrig.stats.paired import fixed_difference  # loads numpy

    return fixed_difference(clean, used)


def _more(clean: Counts, used: Counts, margin: float) -> int | None:
    trials = sum(k for k, _ in clean + used)
    for times in range(1, MOST + 1):
        before, now = ([(k * times, x * times) for k, x in counts] for counts in (clean, used))
        if _told(_difference(before, now), margin):
            return (times - 1) * trials
    return None


def _told(difference: Interval, margin: float) -> bool:
    return difference.high < 0 or difference.low > -margin
