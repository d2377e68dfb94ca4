"""Limits that hold for a sliding window of time: a minute, an hour, a day.

Rules:
1. A window is cut into `SLICES` equal slices. What counts is the slice of now and the `SLICES`
   before it: at least the whole window, at most one slice more. So no stretch of time as long as
   the window ever holds more than the limit, wherever it begins.
2. An amount counts from the time at which it was reserved. What is given back is taken out of that
   slice; what came on top and finds its slice gone counts from now.
3. The clock is passed in and never goes back.
"""

from __future__ import annotations

from proofrig.authority.budget import WINDOWS

SLICES = 60


class Window:
    """What counts of one unit in one scope now. since: the number of the transition that made it:
    what was reserved before counts from its settlement."""

    __slots__ = ("_oldest", "_slices", "_width", "limit", "name", "since", "used")

    def __init__(self, name: str, since: int) -> None:
        self.name = name
        self.limit = 0
        self.since = since
        self.used = 0
        self._width = WINDOWS[name] // SLICES
        self._slices: dict[int, int] = {}
        self._oldest = 0  # the slice before which nothing is left

    def at(self, now_ns: int) -> int:
        """What counts at `now_ns`."""
        oldest = now_ns // self._width - SLICES
        if oldest > self._oldest:
            self._oldest = oldest
            for number in [number for number in self._slices if number < oldest]:
                self.used -= self._slices.pop(number)
        return self.used

    def add(self, amount: int, now_ns: int) -> None:
        """Count `amount` from `now_ns` on."""
        number = now_ns // self._width
        self._slices[number] = self._slices.get(number, 0) + amount
        self.used += amount

    def settle(self, held: int, charged: int, opened_ns: int, now_ns: int) -> None:
        """Put `charged` in the place of `held`, which was counted from `opened_ns` on."""
        self.at(now_ns)
        number, more = opened_ns // self._width, charged - held
        if number in self._slices:
            self._slices[number] += more
            self.used += more
        elif more > 0:
            self.add(more, now_ns)

    def wait_ns(self, amount: int, now_ns: int) -> int:
        """How long until `amount` fits; 0 when it fits now or never will."""
        short = self.at(now_ns) + amount - self.limit
        if short <= 0 or amount > self.limit:
            return 0
        for number in sorted(self._slices):
            short -= self._slices[number]
            if short <= 0:
                return (number + SLICES + 1) * self._width - now_ns
        return 0
