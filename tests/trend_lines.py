"""Lines of figures over runs, for the tests of trends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proofrig.reports.trend import Bound, Line, Point

BEGAN = 1_772_366_400_000_000_000  # 2026-03-01 12:00 UTC
DAY = 86_400 * 10**9


def points(values: Sequence[float | None], **more: Any) -> list[Point]:
    """A point a day; None leaves that day's run out. `spread`: of the interval; `branches` and
    `digests`: one each, the last for all that follow."""
    spread = more.get("spread")
    branches, digests = more.get("branches", ["main"]), more.get("digests", [""])
    return [
        Point(
            run=f"run-{n:02}",
            value=value,
            started_ns=BEGAN + n * DAY,
            branch=branches[min(n, len(branches) - 1)],
            commit=f"{n:08x}cafe",
            digest=digests[min(n, len(digests) - 1)],
            low=None if spread is None else value - spread,
            high=None if spread is None else value + spread,
        )
        for n, value in enumerate(values)
        if value is not None
    ]


def fallen() -> Line:
    """A pass rate that falls by ten points at the thirteenth run."""
    wobble = (0.0, 0.012, -0.008, 0.004, -0.011, 0.006)
    values = [(0.85 if n < 12 else 0.75) + wobble[n % 6] for n in range(24)]
    bound = Bound(text="accuracy >= 80 %", op=">=", value=0.8)
    return Line(
        name="accuracy",
        title="Accuracy",
        points=points(values, spread=0.05),
        baseline=0.85,
        bounds=[bound],
    )


def missing() -> Line:
    """A figure that nothing has measured."""
    again = "proofrig run desk --scenario burst"
    return Line(name="tool_429_rate", scenario="burst", title="429 rate under burst", todo=again)
