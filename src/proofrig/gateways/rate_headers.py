"""What a vendor's headers say about its limits: how long to wait, and whether anything is left.

Rules:
1. What cannot be read says nothing; nobody fails over a header.
2. `retry-after-ms` goes before `retry-after`, which is seconds or a date.
3. A limit that says that nothing remains is filled again bit by bit until its reset: one request
   fits after the reset's time divided by the limit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

_PARTS = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|d|h|m|s)")
_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# limit, remaining, reset: OpenAI's and those that follow it, then Anthropic's
_LIMITS = tuple(
    (f"x-ratelimit-limit-{unit}", f"x-ratelimit-remaining-{unit}", f"x-ratelimit-reset-{unit}")
    for unit in ("requests", "tokens")
) + tuple(
    tuple(f"anthropic-ratelimit-{unit}-{what}" for what in ("limit", "remaining", "reset"))
    for unit in ("requests", "tokens", "input-tokens", "output-tokens")
)


def told_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until the vendor wants to be asked again; None when it does not say. `now`: seconds
    since 1970; the vendor's own `date` goes before it."""
    millis = _number(headers.get("retry-after-ms", ""))
    if millis is not None:
        return millis / 1000
    said = headers.get("retry-after", "")
    seconds = _number(said)
    if seconds is not None or not said:
        return seconds
    at = _date(said)
    return None if at is None else max(0.0, at - _now(headers, now))


def drained(headers: Mapping[str, str], now: float) -> float:
    """Seconds until one more request fits, when the headers say that nothing remains; else 0."""
    waits = [0.0]
    for limit, remaining, reset in _LIMITS:
        left = _number(headers.get(remaining, ""))
        if left is None or left >= 1:
            continue
        most = _number(headers.get(limit, "")) or 1.0
        waits.append(_until(headers.get(reset, ""), _now(headers, now)) / max(1.0, most))
    return max(waits)


def _until(said: str, now: float) -> float:
    """Seconds until a reset: `6m0.5s`, plain seconds, or a time (RFC 3339)."""
    plain = _number(said)
    if plain is not None:
        return plain
    parts = _PARTS.findall(said)
    if parts and "".join(number + unit for number, unit in parts) == said:
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    try:
        return max(0.0, datetime.fromisoformat(said).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0


def _now(headers: Mapping[str, str], now: float) -> float:
    at = _date(headers.get("date", ""))
    return now if at is None else at


def _date(said: str) -> float | None:
    try:
        return parsedate_to_datetime(said).timestamp() if said else None
    except (ValueError, OverflowError):
        return None


def _number(said: str) -> float | None:
    """A number that is not negative, else None."""
    try:
        number = float(said)
    except ValueError:
        return None
    return number if 0 <= number < 1e9 else None
