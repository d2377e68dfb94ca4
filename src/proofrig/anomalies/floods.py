"""Floods: a run that suddenly makes far more calls, or uses far more tokens, than it did before.

Rules:
1. A run is compared with itself: its pace is the median of its first windows in which it did
   anything. Until these are over nothing is a flood.
2. A window is hot above `factor` times that pace and above what is no flood in any case
   (`calls_per_minute`, `tokens_per_minute`). A flood is hot windows in a row: a burst is none.
3. The window that is still open counts as soon as it is hot.
4. Money is no part of it: what floods is often what costs least.
5. Kept per run: the first windows and two counters.
"""

from __future__ import annotations

from statistics import median
from typing import Literal

import msgspec

from proofrig.anomalies.settings import DEFAULTS, Settings

FloodOf = Literal["calls", "tokens"]
_SECOND = 1_000_000_000


class Flood(msgspec.Struct, frozen=True, gc=False):
    """A flood as it stands. count: hot windows in a row; per_minute: the pace of the latest one,
    usual: the run's own, both of `of`. level: 1 warn, 2 deny, 3 stop; 0 below all of them. since:
    the number of the first hot window."""

    of: FloodOf
    count: int
    level: int
    per_minute: float
    usual: float
    since: int


class _Pace:
    """Calls or tokens, window by window."""

    __slots__ = ("count", "first", "floor", "hot", "limit", "of", "usual")

    def __init__(self, of: FloodOf, floor: float) -> None:
        self.of = of
        self.floor = floor  # per window
        self.first: list[int] = []
        self.count = 0
        self.hot = 0
        self.usual = 0.0
        self.limit = float("inf")

    def close(self, settings: Settings) -> None:
        """The window is over."""
        if len(self.first) < settings.first:
            self.first.append(self.count)
            if len(self.first) == settings.first:
                self.usual = float(median(self.first))
                self.limit = max(self.usual * settings.factor, self.floor)
        else:
            self.hot = self.hot + 1 if self.count > self.limit else 0
        self.count = 0


class Floods:
    """The pace of one run."""

    def __init__(self, settings: Settings = DEFAULTS) -> None:
        self._settings = settings
        self._window_ns = round(settings.window_s * _SECOND)
        per_window = settings.window_s / 60
        self._calls = _Pace("calls", settings.calls_per_minute * per_window)
        self._tokens = _Pace("tokens", settings.tokens_per_minute * per_window)
        self._began = -1
        self._ends = 0
        self.window = 0

    @property
    def settled(self) -> bool:
        """Whether the run's own pace is known."""
        return self._calls.limit != float("inf")

    def step(self, now_ns: int, tokens: int = 0) -> Flood | None:
        """A call ended, or was asked for and denied, at `now_ns`. Returns the flood that it is part
        of. A time before the open window counts into the open one."""
        if now_ns >= self._ends:
            self._roll(now_ns)
        calls, used = self._calls, self._tokens
        calls.count += 1
        used.count += tokens
        if calls.count <= calls.limit and used.count <= used.limit:
            return None
        return self._flood(calls if calls.count > calls.limit else used)

    def now(self, now_ns: int) -> Flood | None:
        """The flood that goes on at `now_ns`; None when there is none."""
        if self._began >= 0 and now_ns >= self._ends:
            self._roll(now_ns)
        for pace in (self._calls, self._tokens):
            if pace.hot or pace.count > pace.limit:
                return self._flood(pace)
        return None

    def _roll(self, now_ns: int) -> None:
        if self._began < 0:
            self._began = now_ns
        else:
            self._calls.close(self._settings)
            self._tokens.close(self._settings)
        window = (now_ns - self._began) // self._window_ns
        if window > self.window + 1:  # it was quiet in between
            self._calls.hot = self._tokens.hot = 0
        self.window = window
        self._ends = self._began + (window + 1) * self._window_ns

    def _flood(self, pace: _Pace) -> Flood:
        over = pace.count > pace.limit
        hot = pace.hot + over
        minute = 60 / self._settings.window_s
        latest = pace.count if over else pace.limit
        return Flood(
            of=pace.of,
            count=hot,
            level=self._settings.flood.level(hot),
            per_minute=latest * minute,
            usual=pace.usual * minute,
            since=self.window - hot + over,
        )
