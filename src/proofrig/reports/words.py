"""How reports write numbers and quote other people's text.

Rules:
1. What was not measured is said in words, never shown as 0.
2. Text from agents, models and tools is untrusted: control characters never reach a terminal, an
   XML file or a page.
"""

from __future__ import annotations

import math
import re

UNMEASURED = "not measured"
_CONTROL = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BIDI = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SECOND_NS = 1_000_000_000


def percent(share: float | None) -> str:
    """A share of 1 as a percentage with one decimal."""
    return UNMEASURED if share is None else f"{100 * share:.1f} %"


def money(micro: float) -> str:
    """Micro-dollars as dollars; small amounts keep their digits."""
    dollars = micro / 1e6
    if dollars == 0:
        return "$0"
    if abs(dollars) >= 100:
        return f"${dollars:,.0f}"
    return f"${dollars:.2f}" if abs(dollars) >= 1 else f"${dollars:.4f}"


def duration(ns: float | None) -> str:
    """Nanoseconds in the unit that a person would use."""
    if ns is None:
        return UNMEASURED
    seconds = ns / _SECOND_NS
    if seconds < 0.0995:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 99.95:
        return f"{seconds:.1f} s" if seconds >= 9.995 else f"{seconds:.2f} s"
    minutes = round(seconds) // 60
    if minutes < 60:
        return f"{minutes} min {round(seconds) % 60:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def big(count: float) -> str:
    """A count in at most four digits: 812, 9,120, 48.1k, 3.2M."""
    if count < 10_000:
        return f"{count:,.0f}"
    return f"{count / 1e3:.1f}k" if count < 999_950 else f"{count / 1e6:.1f}M"


def amount(value: float | None, unit: str) -> str:
    """A figure in its base unit (`share`, `ns`, `USD`, `usd_micro`, `ratio`, `bytes`) as a person
    would write it; of any other unit the number alone."""
    if value is None:
        return UNMEASURED
    if not math.isfinite(value):
        return "unbounded"
    if unit == "share":
        return percent(value)
    if unit in ("usd_micro", "USD"):
        micro = value * 1e6 if unit == "USD" else value
        return money(micro) if abs(micro) >= 10_000 or not micro else _small_money(micro)
    if unit == "ns":
        return duration(value)
    if unit == "ratio":
        return f"{value:.2f}×"
    if unit == "bytes":
        return _bytes(value)
    if abs(value) >= 10_000:
        return big(value)
    places = 0 if value == int(value) or abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{places}f}"


def _bytes(count: float) -> str:
    """812 B, 9,120 B, 48.1 kB, 3.2 MB."""
    text = big(count)
    digits = text.rstrip("kM")
    return f"{digits} {text[len(digits) :]}B"


def _small_money(micro: float) -> str:
    """Less than a cent, with three digits that say something."""
    dollars = micro / 1e6
    return f"${dollars:.{2 - math.floor(math.log10(abs(dollars)))}f}"


def signed(value: float, said: str) -> str:
    """`said`, which is the size of `value` in words, with its sign; "0" when it rounds to that."""
    if not any(digit in "123456789" for digit in said):
        return "0"
    return f"{'+' if value > 0 else '−'}{said}"


def plural(count: int, noun: str) -> str:
    """`3 trials`, `1 trial`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def clean(text: str) -> str:
    """`text` without control characters, lone surrogates and direction overrides."""
    return _BIDI.sub("�", _CONTROL.sub("�", text.replace("\r\n", "\n")))


def cut(text: str, limit: int) -> str:
    """At most about `limit` characters, cleaned; says how much there was."""
    if len(text) <= limit:
        return clean(text)
    return f"{clean(text[:limit])}… ({len(text):,} characters)"


def line(text: str, limit: int = 160) -> str:
    """`text` on one line of at most `limit` characters."""
    joined = " ".join(clean(text[: 4 * limit]).split())
    return joined if len(joined) <= limit else f"{joined[: limit - 1].rstrip()}…"
