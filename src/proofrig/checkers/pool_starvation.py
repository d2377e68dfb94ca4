"""Short requests that wait for a connection because long streams hold them all.

Rules:
1. The victims are the short requests of a pool: those that hold a connection for less than
   `LONG` and, of these, not longer than ten times their median. A stream is long where it
   holds for more than ten times the victims' median and is declared a stream or lasts `LONG`.
2. The waits are the transport's own (`wait_ns`, `queue_ns`); connecting and name look-up are apart.
3. A victim is starved when its wait is above ten times the p95 alone (and 100 ms), is at least half
   of its latency, and long streams held at least 90 % of the connections while it waited. The pool
   starves them when the p95 of all victims is above that limit and half of those above are starved.
4. A request that never ended holds a connection from its beginning, if one was free then: an
   abandoned stream. If none was free it is taken for one that waits, and proves nothing.
5. Without the pool's size (`note.pool` or the topology) nothing can be said of who holds it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import ClassVar

import msgspec

from proofrig.checkers._load_figures import DRAWN, MS, SECOND, Lag, Spread
from proofrig.checkers.checker import Checked, Evidence, Findings, Setting, began, conclude
from proofrig.history.action import Action, Entry

LONG = SECOND
TIMES = 10
LEAST_NS = 100 * MS
HALF = 0.5
HELD = 0.9
SHOWN = 10
KEPT = 20_000  # requests that waited or held long, per pool
STAGES = ("wait", "connect", "ttfb", "body")


class _Held(msgspec.Struct, gc=False):
    """A request that `begun` on the history, was `asked` of the pool, held a connection from `got`
    and was `done`."""

    begun: int
    asked: int
    got: int
    done: int
    stream: bool
    id: str
    name: str
    trial: str
    tenant: str

    @property
    def wait(self) -> int:
        return self.got - self.asked

    @property
    def held(self) -> int:
        return self.done - self.got

    def evidence(self, says: str) -> Evidence:
        return Evidence(self.begun, self.name, says, self.id, self.trial, self.tenant)


class _Occupancy:
    """How many connections long streams held at any time."""

    def __init__(self, holders: Iterable[_Held]) -> None:
        steps: dict[int, int] = {}
        for one in holders:
            steps[one.got] = steps.get(one.got, 0) + 1
            steps[one.done] = steps.get(one.done, 0) - 1
        self.at = sorted(steps)
        self.level: list[int] = []
        self._area: list[int] = []  # connections x nanoseconds until `at`
        level = area = last = 0
        for at in self.at:
            area += level * (at - last)
            level, last = level + steps[at], at
            self.level.append(level)
            self._area.append(area)

    def held(self, low: int, high: int) -> float:
        """Connections held between two times, on average."""
        if high <= low:
            return 0.0
        return (self._until(high) - self._until(low)) / (high - low)

    def _until(self, at: int) -> int:
        place = bisect_right(self.at, at) - 1
        if place < 0:
            return 0
        return self._area[place] + self.level[place] * (at - self.at[place])


class _Pool:
    """One pool: its figures, and the requests that waited or held long."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.size = 0
        self.waits = {stage: Spread() for stage in STAGES}
        self.service = Spread()
        self.short_by_bin: dict[int, int] = {}  # by the 100 ms in which they were asked for
        self.waited: list[_Held] = []
        self.holders: list[_Held] = []
        self.open: list[Action] = []
        self.last = 0

    def add(self, action: Action) -> None:
        end = action.end
        if end is None:
            self.open.append(action)
            return
        attrs = end.attrs
        if self.name == "llm":
            wait, stream = attrs.get("queue_ns", 0), bool(action.attr("stream"))
            parts = (wait, 0, attrs.get("ttft_ns", 0), attrs.get("service_ns", 0))
            asked = end.t - wait - attrs.get("service_ns", 0)
        else:
            wait, stream = attrs.get("wait_ns", 0), bool(attrs.get("stream"))
            parts = (
                wait,
                attrs.get("connect_ns", 0),
                attrs.get("ttfb_ns", 0),
                attrs.get("body_ns", 0),
            )
            asked = began(action)
        got = min(asked + wait, end.t)
        self.last = max(self.last, end.t)
        held = end.t - got
        if held >= LONG or (stream and held >= LEAST_NS):
            self._keep(self.holders, action, (asked, got, end.t, stream))
            return
        for spread, part in zip(self.waits.values(), parts, strict=True):
            spread.add(part)
        if held:
            self.service.add(held)
        place = asked // LEAST_NS
        self.short_by_bin[place] = self.short_by_bin.get(place, 0) + 1
        if wait > LEAST_NS:
            self._keep(self.waited, action, (asked, got, end.t, stream))

    def _keep(self, kept: list[_Held], action: Action, times: tuple[int, int, int, bool]) -> None:
        if len(kept) < KEPT:
            names = (action.id, action.name, action.trial, action.tenant)
            kept.append(_Held(began(action), *times, *names))

    def long(self) -> list[_Held]:
        """The long streams, and those that were left open while a connection was free."""
        least = TIMES * self.service.ns(0.5)
        found = [one for one in self.holders if one.held > least]
        if not self.open:
            return found
        occupancy = _Occupancy(found)
        left: list[_Held] = []
        for action in sorted(self.open, key=began):
            at = began(action)
            taken = occupancy.held(at, at + 1) + len(left)
            if at >= 0 and taken < self.size and max(self.last, at) - at > max(least, LONG):
                names = (action.id, action.name, action.trial, action.tenant)
                left.append(_Held(at, at, at, max(self.last, at + 1), True, *names))
        return found + left


class PoolStarvation:
    """Short requests starved of connections by long streams."""

    name: ClassVar[str] = "pool_starvation"
    reads: ClassVar[tuple[str, ...]] = ("pool.request", "llm.")
    notes: ClassVar[tuple[str, ...]] = ("note.pool", "note.lag")
    timing: ClassVar[bool] = True

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._lag = Lag()
        self._pools: dict[str, _Pool] = {}
        self._sizes: dict[str, int] = {}
        for service, declared in setting.topology.items():
            if size := declared.get("max_connections"):
                self._sizes[service] = int(size)

    def action(self, action: Action) -> None:
        if action.denied:
            return
        llm = action.name.startswith("llm.")
        asked = action.start.attrs if action.start is not None else {}
        name = "llm" if llm else asked.get("service") or str(action.attr("service", "pool"))
        pool = self._pools.get(name)
        if pool is None:
            pool = self._pools[name] = _Pool(name)
        if not llm or (action.end is not None and "service_ns" in action.end.attrs):
            pool.add(action)

    def note(self, entry: Entry) -> None:
        if entry.name == "lag":
            self._lag.note(entry)
        elif size := entry.attrs.get("max_connections"):
            self._sizes[entry.attrs["service"]] = int(size)

    def result(self) -> Checked:
        findings, unsized = Findings(), []
        measures: dict[str, float] = {}
        series: dict[str, list[float]] = {}
        exposure = {"short_beside_long": 0, "short_requests": 0, "long_streams": 0}
        starved = most = 0.0
        for name, pool in self._pools.items():
            pool.size = self._sizes.get(name, 0)
        held = {name: pool.long() for name, pool in sorted(self._pools.items())}
        every = [one for long in held.values() for one in long]
        for name, long in held.items():
            pool = self._pools[name]
            if not pool.size and pool.waited:
                unsized.append(name)
            occupancy = _Occupancy(long)
            exposure["short_requests"] += pool.service.count
            exposure["long_streams"] += len(long)
            exposure["short_beside_long"] += _beside(pool, every)
            measures[f"pool_wait_p95_ms:{name}"] = pool.waits["wait"].ms(0.95)
            series[f"wait_connect_ttfb_body_p95_ms:{name}"] = [
                spread.ms(0.95) for spread in pool.waits.values()
            ]
            if pool.size and long:
                series[f"held_by_long:{name}"] = _drawn(occupancy)
                most = max(most, max(occupancy.level) / pool.size)
                starved += self._judge(pool, long, occupancy, findings)
        measures |= self._overall() | {
            "starvation_ratio": starved / max(exposure["short_requests"], 1),
            "occupancy_max_ratio": most,
        }
        says = (
            f"{exposure['short_beside_long']:,} short requests beside {exposure['long_streams']:,} "
            f"long streams: pool wait p50 {measures['pool_wait_p50_ms']:.0f} ms, p95 "
            f"{measures['pool_wait_p95_ms']:.0f} ms, p99 {measures['pool_wait_p99_ms']:.0f} ms; "
            f"long streams held {most:.0%} of a pool at most"
        )
        checked = conclude(
            self.name,
            findings,
            exposure,
            wanted="short_beside_long",
            missing="no short request ran beside a long stream, so nothing can be said",
            says=says,
            measures=measures,
            series=series,
        )
        if checked.verdict == "valid" and unsized:
            checked.verdict = "unknown"
            checked.says = (
                f"requests waited for {', '.join(unsized)}, whose size is not known: declare "
                f"max_connections in the topology; {says}"
            )
        return self._lag.doubt(checked)

    def _judge(
        self, pool: _Pool, long: list[_Held], occupancy: _Occupancy, findings: Findings
    ) -> int:
        """How many victims were starved; adds the finding when the pool starves them."""
        limit = max(TIMES * self._alone(pool.name), LEAST_NS)
        slow = [one for one in pool.waited if one.wait > limit]
        starved = [
            one
            for one in slow
            if one.wait >= HALF * (one.done - one.asked)
            and occupancy.held(one.asked, one.got) >= HELD * pool.size
        ]
        if not starved or pool.waits["wait"].ns(0.95) <= limit or len(starved) < HALF * len(slow):
            return len(starved)
        victim = max(starved, key=lambda one: one.wait)
        middle = victim.asked + victim.wait // 2
        holders = [one for one in long if one.got <= middle < one.done]
        findings.add(
            "pool_starvation",
            f"{pool.name}: p95 of the wait for one of {pool.size} connections is "
            f"{pool.waits['wait'].ms(0.95):.0f} ms (at most {limit / MS:.0f} ms expected) over "
            f"{pool.waits['wait'].count:,} short requests, whose own work takes "
            f"{pool.service.ms(0.5):.0f} ms; {len(starved)} of them waited while long streams held "
            f"{HELD:.0%} or more of the pool. Give streams a pool of their own, and close those "
            "that are no longer read",
            [
                victim.evidence(f"waited {victim.wait / MS:.0f} ms for a connection"),
                *(
                    one.evidence(f"held a connection for {one.held / MS:.0f} ms")
                    for one in holders[:SHOWN]
                ),
            ],
        )
        return len(starved)

    def _alone(self, name: str) -> float:
        """The p95 of the wait in the sequential scenario, nanoseconds; 0 without one."""
        if self._setting.baseline is None:
            return 0.0
        measures = self._setting.baseline.measures
        return measures.get(f"pool_wait_p95_ms:{name}", measures.get("pool_wait_p95_ms", 0.0)) * MS

    def _overall(self) -> dict[str, float]:
        """The waits of the worst pool, which is where they hurt."""
        spreads = [pool.waits["wait"] for pool in self._pools.values() if pool.service.count]
        worst = max(spreads, key=lambda spread: spread.ns(0.95), default=Spread())
        return {f"pool_wait_p{q}_ms": worst.ms(q / 100) for q in (50, 95, 99)}


def _beside(pool: _Pool, long: list[_Held]) -> int:
    """Short requests that were asked for while a long stream ran, of whichever pool: that it was of
    another is one way not to be starved."""
    bins = {
        place
        for one in long
        for place in range(one.got // LEAST_NS, one.done // LEAST_NS + 1)
        if place in pool.short_by_bin
    }
    return sum(pool.short_by_bin[place] for place in bins)


def _drawn(occupancy: _Occupancy) -> list[float]:
    """Connections held by long streams over time, at most `DRAWN` points."""
    first, last = occupancy.at[0], occupancy.at[-1]
    points = min(DRAWN, max(1, (last - first) // LEAST_NS))
    width = (last - first) / points
    return [
        occupancy.held(int(first + place * width), int(first + (place + 1) * width))
        for place in range(points)
    ]
