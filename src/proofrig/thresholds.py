"""What a gate says, as text and as values: `accuracy >= 90 %`, `tool_429_rate <= 2 * baseline`.

    gate      = figure  op  bound
    figure    = NAME | QUANTILE "(" NAME ")"            QUANTILE: p50, p95, p99, p99.9
    op        = ">=" | "<=" | ">" | "<" | "==" | "!="
    bound     = NUMBER [UNIT] | [NUMBER "*"] "baseline" [("+" | "-") NUMBER [UNIT]]
    UNIT      = "%" | ns us ms s min h | B kB MB GB | USD (or "$" before the number)

Rules:
1. Figures are kept in base units: shares in [0, 1], nanoseconds, bytes, US dollars. `%` divides by
   100, so `accuracy >= 90 %` and `accuracy >= 0.9` are the same gate.
2. Both wings read this: a suite checks what is written, the judging side evaluates it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Op = Literal[">=", "<=", ">", "<", "==", "!="]


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """A gate that was read. `figure`: the metric's name; `quantile`: in [0, 1], where it was asked
    for one. The bound is `scale` times the baseline's figure plus `offset`; without a baseline in
    it, `scale` is 0. `unit`: as written beside the number, "" for none. `text`: as written."""

    text: str
    figure: str
    op: Op
    quantile: float | None = None
    scale: float = 0.0
    offset: float = 0.0
    unit: str = ""

    @property
    def needs_baseline(self) -> bool:
        return self.scale != 0
