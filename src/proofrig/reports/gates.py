"""The gates of a run, ready to be shown: failed ones first, each beside its bound.

Rules:
1. Nothing is judged here: state, value and evidence come from the `GateResult`.
2. A gate that sets no bound (a regression, a strict replay) has words only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import cast

from proofrig.comparisons.gate import GateResult, State
from proofrig.reports.names import Named, named
from proofrig.reports.words import line
from proofrig.thresholds import Op

EVIDENCE = 5  # lines that a page shows
WORDS: dict[State, str] = {"fail": "failed", "inconclusive": "inconclusive", "pass": "passed"}
_PLACE = {state: place for place, state in enumerate(WORDS)}
_ROOM = 0.15  # of the span, on either side
_OP = re.compile(r"(>=|<=|==|!=|>|<)")
_UPPER = ("<", "<=")
_LOWER = (">", ">=")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A value beside its bound, in percent of the width; `shade`: where it fails. low, high: its
    interval, None where that is not known."""

    at: float
    bound: float
    shade: tuple[float, float]
    low: float | None
    high: float | None


def ordered(gates: Iterable[GateResult]) -> list[GateResult]:
    """Failed, inconclusive, passed; else as they come."""
    return sorted(gates, key=lambda gate: _PLACE[gate.state])


def op_of(gate: GateResult) -> Op | None:
    """How it compares; None for a gate that sets no bound, such as a regression."""
    found = _OP.search(gate.rule)
    return cast(Op, found[1]) if found else None


def rule(gate: GateResult) -> str:
    """The gate as written, with the scenario that it looks at where it does not say that itself."""
    said = line(gate.rule, 160)
    return said if not gate.scenario or gate.scenario in said else f"{said} ({line(gate.scenario)})"


def value(gate: GateResult) -> str:
    """What it came to; "" where the gate has no figure."""
    return _known(gate).said(gate.value) if _is_bounded(gate) else ""


def bound(gate: GateResult) -> str:
    """What it is held to; "" where the gate has no bound."""
    return _known(gate).said(gate.bound) if gate.bound is not None else ""


def interval(gate: GateResult) -> str:
    """The interval of the value; "" where that is not known."""
    if not _is_bounded(gate) or gate.low is None or gate.high is None:
        return ""
    low, high = (_known(gate).said(end) for end in (gate.low, gate.high))
    unit = " %" if low.endswith(" %") and high.endswith(" %") else ""
    return f"{low.removesuffix(unit)} to {high}"


def drawn(gate: GateResult) -> Drawn | None:
    """The value beside its bound; None for what cannot be drawn."""
    if not _is_bounded(gate) or gate.value is None or gate.bound is None:
        return None
    ends = [end for end in (gate.low, gate.high) if end is not None and isfinite(end)]
    given = [gate.value, gate.bound, *ends]
    if not all(map(isfinite, given)) or max(given) == min(given):
        return None
    room = (max(given) - min(given)) * _ROOM
    low, high = min(given) - room, max(given) + room
    low = max(low, 0.0) if min(given) >= 0 else low

    def on(place: float) -> float:
        return round(100 * min(1.0, max(0.0, (place - low) / (high - low))), 2)

    op, limit = op_of(gate), on(gate.bound)
    return Drawn(
        at=on(gate.value),
        bound=limit,
        shade=(limit, 100.0) if op in _UPPER else (0.0, limit) if op in _LOWER else (0.0, 0.0),
        low=None if gate.low is None else on(gate.low),
        high=None if gate.high is None else on(gate.high),
    )


def _is_bounded(gate: GateResult) -> bool:
    """Whether its value and its interval are of the figure, and not of a change."""
    return bool(gate.figure) and (gate.bound is not None or gate.baseline is None)


def _known(gate: GateResult) -> Named:
    return named(gate.figure)
