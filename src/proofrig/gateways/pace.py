"""How fast an endpoint may be called: below its declared ceilings, and as its refusals teach.

Rules:
1. Calls are spread evenly: one every `1 / rate` seconds, and no credit is saved up, since vendors
   count in windows shorter than the minute that they name.
2. A refusal halves the rate, once for all calls that had left before it. Where no ceiling is
   declared, those that were refused with it still tell how many the vendor let through, and the
   rate does not stay above that.
3. What goes well raises the rate by a step per second, up to the declared ceiling: a thirtieth of
   that, or of the rate at which it was refused.
4. Tokens are taken as the most that a call can come to; what it did not come to is given back.

Pure: times are seconds of a clock that is passed in.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

from proofrig.gateways.rate_headers import drained

_MARGIN = 0.98  # of a ceiling: requests do not arrive quite as evenly as they leave
_SLOWEST = 1 / 60  # requests a second
_WINDOW_S = 60.0  # over which it is counted what the vendor let through
_TELLING = 3  # calls let through, at least, before that says how many it lets through
_RECOVERY_S = 30.0  # from nothing to the rate that was refused
_LONGEST_GAP_S = 5.0  # the rate does not grow by more than so long a silence earns


class Pace:
    """The pace of one endpoint; a ceiling of 0 is unknown."""

    def __init__(self, requests_per_minute: int = 0, tokens_per_minute: int = 0) -> None:
        self._ceiling = requests_per_minute * _MARGIN / 60 if requests_per_minute else math.inf
        self._rate = self._ceiling
        self._tokens = tokens_per_minute * _MARGIN / 60 if tokens_per_minute else math.inf
        self._next_request = -math.inf
        self._next_tokens = -math.inf
        self._closed_until = -math.inf
        self._lowered_at = -math.inf
        self._raised_at = -math.inf
        self._step = 0.0
        self._left: deque[float] = deque()  # when calls left, within the window
        self._refusals: deque[float] = deque()  # when those left that were refused

    @property
    def per_minute(self) -> float | None:
        """Requests a minute, to three digits; None while there is no limit."""
        return None if math.isinf(self._rate) else float(f"{self._rate * 60:.3g}")

    def opens(self) -> float:
        """When the next call may leave."""
        return max(self._next_request, self._next_tokens, self._closed_until)

    def take(self, now: float, tokens: int) -> None:
        """A call leaves."""
        self._next_request = max(now, self._next_request) + 1 / self._rate
        self._next_tokens = max(now, self._next_tokens) + tokens / self._tokens
        self._left.append(now)
        self._forget(now)

    def give_back(self, tokens: int) -> None:
        """Tokens that were taken, and not used; below 0, used beyond what was taken."""
        self._next_tokens -= tokens / self._tokens

    def went_well(
        self, sent: float, now: float, headers: Mapping[str, str], unix_time: float
    ) -> None:
        """A call that left at `sent` was let through. Headers that say that nothing remains close
        the endpoint until there is room for one; not for longer than vendors count, since it was
        no refusal."""
        if wait := drained(headers, unix_time):
            self._closed_until = max(self._closed_until, now + min(wait, _WINDOW_S))
        if sent < self._lowered_at or self._rate >= self._ceiling:
            return
        since = min(_LONGEST_GAP_S, now - max(self._raised_at, self._lowered_at))
        self._raised_at = now
        self._rate = min(self._ceiling, self._rate + self._step * since)

    def refused(self, sent: float, now: float, told_s: float) -> tuple[float | None, float | None]:
        """A call that left at `sent` was refused, and the vendor wants `told_s` seconds of quiet.
        Returns the requests a minute before and after."""
        before = self.per_minute
        self._closed_until = max(self._closed_until, now + told_s)
        self._refusals.append(sent)
        self._forget(now)
        span = max(1.0, now - self._left[0]) if self._left else 1.0
        if sent >= self._lowered_at:
            known = max(1, len(self._left)) / span if math.isinf(self._rate) else self._rate
            whole = known if math.isinf(self._ceiling) else self._ceiling
            self._step = max(_SLOWEST, whole / _RECOVERY_S)
            self._rate = known / 2
            self._lowered_at = now
        through = len(self._left) - len(self._refusals)
        if math.isinf(self._ceiling) and through >= _TELLING:
            self._rate = min(self._rate, through / span)
        self._rate = max(_SLOWEST, self._rate)
        return before, self.per_minute

    def _forget(self, now: float) -> None:
        while self._left and self._left[0] < now - _WINDOW_S:
            self._left.popleft()
        while self._refusals and self._refusals[0] < now - _WINDOW_S:
            self._refusals.popleft()
