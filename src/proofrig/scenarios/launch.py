"""When agents start: schedules as pure data, from parameters and a seed.

A schedule is a tuple of nanoseconds after the release, one for each agent, in ascending order.
Nothing here sleeps: the same schedule is kept by hosts and read by tests.

Rules:
1. Open schedules say when each agent is meant to start, whatever the others do. Latency is measured
   from there, so that a late start counts against the system (no coordinated omission).
2. In a closed schedule an agent starts when another ends: it only says how long to think first.
3. All chance comes from the seed; a longer schedule begins like a shorter one.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import accumulate

NS = 1_000_000_000

Schedule = tuple[int, ...]


def co_launch(agents: int) -> Schedule:
    """All at once."""
    return (0,) * agents


def ramp(agents: int, over_s: float) -> Schedule:
    """A rate that rises steadily from nothing: half of the agents start in the last 30 % of the
    time. `over_s`: seconds from the first to the last."""
    last = max(agents - 1, 1)
    return tuple(round(over_s * NS * (place / last) ** 0.5) for place in range(agents))


def ramp_down(agents: int, over_s: float) -> Schedule:
    """A rate that falls steadily to nothing."""
    rising = ramp(agents, over_s)
    return tuple(rising[-1] - at for at in reversed(rising)) if rising else ()


def waves(agents: int, size: int, every_s: float) -> Schedule:
    """`size` at once, every `every_s` seconds."""
    return tuple(round(place // size * every_s * NS) for place in range(agents))


def constant(agents: int, rate: float) -> Schedule:
    """`rate` per second, evenly."""
    return tuple(round(place * NS / rate) for place in range(agents))


def poisson(agents: int, rate: float, seed: int) -> Schedule:
    """`rate` per second on average, independent of each other (exponential gaps)."""
    draw = random.Random(f"poisson {seed}")
    gaps = (draw.expovariate(rate) for _ in range(agents))
    return tuple(round(at * NS) for at in accumulate(gaps))


def bursty(agents: int, rate: float, seed: int, peak: float = 10.0, share: float = 0.1) -> Schedule:
    """`rate` per second on average, from a process that is `peak` times as fast in `share` of the
    time and slower in the rest (two-state Markov-modulated Poisson, one second a state)."""
    draw = random.Random(f"bursty {seed}")
    fast = rate * peak
    slow = max(rate * (1 - share * peak) / (1 - share), rate * 0.01)
    at, until, found = 0.0, 0.0, list[int]()
    speed = slow
    while len(found) < agents:
        if at >= until:
            until = at + draw.expovariate(1.0)
            speed = fast if draw.random() < share else slow
        gap = draw.expovariate(speed)
        if at + gap > until:
            at = until
            continue
        at += gap
        found.append(round(at * NS))
    return tuple(found)


def aligned(agents: int, period_s: float, size: int, lead_s: float = 0.0) -> Schedule:
    """`size` at every multiple of `period_s`, less `lead_s`: on the instant at which a bucket is
    refilled or a Retry-After ends. The adversary's schedule."""
    step = round(period_s * NS)
    lead = round(lead_s * NS)
    return tuple(max(0, place // size * step - lead) for place in range(agents))


def trace(starts_s: Iterable[float], agents: int, speed: float = 1.0) -> Schedule:
    """Recorded starts (seconds, any origin, any order) played again `speed` times as fast; a trace
    that is too short begins again where it ended. Raises ValueError for an empty one."""
    ordered = sorted(starts_s)
    if not ordered:
        raise ValueError("expected a trace with at least one start, got none")
    origin, span = ordered[0], ordered[-1] - ordered[0]
    gap = span / max(len(ordered) - 1, 1)
    rounds = (at - origin + number * (span + gap) for number in range(agents) for at in ordered)
    return tuple(round(at / speed * NS) for at, _ in zip(rounds, range(agents), strict=False))


def think(agents: int, mean_s: float, seed: int) -> Schedule:
    """Nanoseconds each agent of a closed schedule thinks before it starts, exponential around
    `mean_s`. Not ascending: they are waits, not instants."""
    if not mean_s:
        return (0,) * agents
    draw = random.Random(f"think {seed}")
    return tuple(round(draw.expovariate(1 / mean_s) * NS) for _ in range(agents))


def after(schedule: Schedule, wait_s: float) -> Schedule:
    """The schedule, `wait_s` seconds later."""
    later = round(wait_s * NS)
    return tuple(at + later for at in schedule)
