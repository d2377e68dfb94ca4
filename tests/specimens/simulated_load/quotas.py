"""Agents that are refused and try again: at a quota, a model, a tool; one tenant or two.

A policy says how long to wait before attempt `n + 1` (n from 0) when told to come back in `after`
seconds; None gives up.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

from proofrig.history.action import Entry
from specimens.simulated_load.world import SECOND, Process, World

Policy = Callable[[int, float, random.Random], "float | None"]


def at_most(retries: int, wait: Callable[[int, float, random.Random], float]) -> Policy:
    return lambda n, after, draw: wait(n, after, draw) if n < retries else None


AS_TOLD = at_most(2, lambda n, after, draw: after)
SDK_BACKOFF = at_most(2, lambda n, after, draw: 0.5 * 2**n * (1 - 0.25 * draw.random()))
EXPONENTIAL = at_most(2, lambda n, after, draw: 2.0**n)
FULL_JITTER = at_most(2, lambda n, after, draw: draw.random() * min(8.0, 0.5 * 2 ** (n + 1)))
TOLD_PLUS = at_most(2, lambda n, after, draw: after * (1 + draw.random()))
SPREAD_TO_CAPACITY = at_most(2, lambda n, after, draw: after + draw.random() * 5)
ONCE_AS_TOLD = at_most(1, lambda n, after, draw: after)
NEVER = at_most(0, lambda n, after, draw: 0.0)
HAMMER = at_most(60, lambda n, after, draw: 0.02 + 0.01 * draw.random())


class Bucket:
    """A token bucket: full at first, `rate` tokens a second."""

    def __init__(self, world: World, rate: float, capacity: float) -> None:
        self._world, self.rate, self.capacity = world, rate, capacity
        self._level, self._at = capacity, world.now

    def take(self) -> bool:
        now = self._world.now
        self._level = min(self.capacity, self._level + (now - self._at) * self.rate)
        self._at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True

    @property
    def level(self) -> int:
        return int(self._level)


class Window:
    """So many in each stretch of `seconds`."""

    def __init__(self, world: World, capacity: int, seconds: float) -> None:
        self._world, self.capacity, self._seconds = world, capacity, seconds
        self._place, self._used = -1, 0

    def take(self) -> bool:
        place = int(self._world.now / self._seconds)
        if place != self._place:
            self._place, self._used = place, 0
        if self._used >= self.capacity:
            return False
        self._used += 1
        return True

    @property
    def level(self) -> int:
        return self.capacity - self._used


class Budget:
    """A retry budget: retries are at most `share` of the requests so far, beside a few to begin."""

    def __init__(self, share: float) -> None:
        self._share, self._requests, self._retries = share, 0, 0

    def request(self) -> None:
        self._requests += 1

    def allows(self) -> bool:
        if self._retries + 1 > self._share * self._requests:
            return False
        self._retries += 1
        return True


class Caller:
    """How a trial calls a limited service, and what the history says of it."""

    def __init__(self, world: World, kind: str, service: str = "api") -> None:
        self.world, self.kind, self.service = world, kind, service

    def call(
        self, trial: str, limit: Any, policy: Policy, budget: Budget | None = None, step: int = 0
    ) -> Process:
        """One logical request with its retries, a take inside a tool; returns whether admitted."""
        world, n, before, good = self.world, 0, "", False
        tool = ""
        if self.kind == "quota":
            tool = world.reserve("tool.lookup", trial, arguments=f"digest-{step}")
        while not good:
            if budget is not None and not n:
                budget.request()
            id = self._begin(trial, n, before, step)
            yield 0.001 + 0.001 * world.random.random()
            good = limit.take()
            self._end(id, trial, good, limit)
            wait = None if good else policy(n, 1.0, world.random)
            if wait is None or (budget is not None and not budget.allows()):
                break
            yield wait
            n, before = n + 1, id
        if tool:
            world.commit(tool, "tool.lookup", trial, is_error=not good)
        return good

    def _begin(self, trial: str, n: int, before: str, step: int) -> str:
        world = self.world
        if self.kind == "quota":
            attrs = {"service": self.service, "limit": "bucket", "amount": 1}
            return world.start("quota.take", trial, **attrs)
        if self.kind == "tool":
            return world.reserve("tool.search", trial, arguments=f"digest-{step}")
        if self.kind == "pool":
            attrs = {"service": "httpx:1", "host": "api", "method": "POST", "path": "/v1/x"}
            return world.start("pool.request", trial, **attrs, attempt=n + 1)
        retry = {"retry_of": before, "said": n} if before else {}
        return world.reserve("llm.chat_completions", trial, attempt=n + 1, **retry)

    def _end(self, id: str, trial: str, good: bool, limit: Any) -> None:
        outcome: dict[str, Any] = {"outcome": "ok" if good else "fail"}
        status = 200 if good else 429
        told = {} if good else {"retry_after_ns": SECOND}
        name = {"quota": "quota.take", "tool": "tool.search", "pool": "pool.request"}.get(
            self.kind, "llm.chat_completions"
        )
        if self.kind == "quota":
            outcome |= {"level": limit.level, "capacity": int(limit.capacity), **told}
        if self.kind == "tool":
            outcome |= {"is_error": not good} | ({} if good else {"error": "HTTP 429 from search"})
        else:
            outcome["status"] = status
        self.world.commit(id, name, trial, **outcome)


def crowd(
    policy: Policy,
    *,
    kind: str = "quota",
    agents: int = 200,
    rate: float = 40.0,
    over_s: float = 0.02,
    share: float = 0.0,
    steps: int = 1,
) -> Callable[[int], list[Entry]]:
    """`agents` within `over_s` seconds on one bucket of `rate` per second and as deep. share: of a
    retry budget that they have together; 0: none."""

    def history(seed: int) -> list[Entry]:
        world = World(seed)
        world.scenario("burst", agents=agents, params={"retry_budget": 0.2})
        bucket, budget = Bucket(world, rate, rate), Budget(share) if share else None
        caller = Caller(world, kind)

        def agent(trial: str) -> Process:
            world.begin(trial)
            good = True
            for step in range(steps):
                good = yield from caller.call(trial, bucket, policy, budget, step)
                yield 0.05 * world.random.random()
            world.end(trial, "" if good else "agent")

        for number in range(agents):
            world.spawn(agent(f"one@burst:{number}"), world.random.random() * over_s)
        world.run()
        return world.entries

    return history


def outage(layers: Iterable[int]) -> Callable[[int], list[Entry]]:
    """Nothing is admitted, and each layer tries so many times again: 1 + retries multiply."""
    inner, outer = layers

    def history(seed: int) -> list[Entry]:
        world = World(seed)
        world.scenario("burst", agents=20)

        def agent(trial: str) -> Process:
            world.begin(trial)
            attempt, before = 0, ""
            for _ in range(outer + 1):
                for said in range(inner + 1):
                    attempt += 1
                    retry = {"retry_of": before} if before else {}
                    id = world.reserve("llm.messages", trial, attempt=attempt, said=said, **retry)
                    yield 0.01
                    world.commit(id, "llm.messages", trial, outcome="fail", status=503)
                    yield 0.5 + world.random.random()
                    before = id
            world.end(trial, "agent")

        for number in range(20):
            world.spawn(agent(f"one@burst:{number}"), world.random.random())
        world.run()
        return world.entries

    return history


def rivals(
    heavy: tuple[int, int, Policy],
    light: tuple[int, int, Policy],
    *,
    limit: Callable[[World, str], Any],
    weights: dict[str, int] | None = None,
    kind: str = "quota",
    baseline: bool = True,
    declared: bool = True,
    gap: float = 0.2,
) -> Callable[[int], list[Entry]]:
    """Two tenants on one service. heavy, light: agents, calls of each, and how they retry.
    limit: of a world and a tenant, what stands before the service."""

    def history(seed: int) -> list[Entry]:
        world = World(seed)
        topology = {"api": {"type": "quota", "capacity": 40}} if declared else {}
        tenants = weights or {"heavy": 1, "light": 1}
        caller = Caller(world, kind)

        def agent(trial: str, tenant: str, steps: int, policy: Policy) -> Process:
            world.begin(trial, tenant)
            good = 0
            for step in range(steps):
                good += yield from caller.call(trial, limits[tenant], policy, step=step)
                yield gap * (0.5 + world.random.random())
            world.end(trial, "" if good == steps else "agent")

        sides = {"heavy": heavy, "light": light}
        if baseline:
            world.scenario("sequential", agents=1, topology=topology, tenants=tenants)
            limits = {tenant: limit(world, tenant) for tenant in sides}
            for tenant, (_, steps, policy) in sides.items():
                world.spawn(agent(f"{tenant}@sequential:1", tenant, min(steps, 5), policy))
                world.run()
                world.now += 60.0
        world.scenario("interleaved", topology=topology, tenants=tenants)
        shared: dict[str, Any] = {}
        limits = {tenant: limit(world, tenant) for tenant in sides}
        if len({getattr(one, "tenant", "") for one in limits.values()}) == 1:
            shared = dict.fromkeys(sides, limits["heavy"])
        limits = shared or limits
        for tenant, (agents, steps, policy) in sides.items():
            for number in range(agents):
                trial = f"{tenant}@interleaved:{number}"
                world.spawn(agent(trial, tenant, steps, policy), world.random.random() * 0.1)
        world.run()
        return world.entries

    return history


def bucket(rate: float) -> Callable[[World, str], Bucket]:
    """One bucket for all."""
    return lambda world, tenant: Bucket(world, rate, rate)


def window(capacity: int, seconds: float) -> Callable[[World, str], Window]:
    """One window for all."""
    return lambda world, tenant: Window(world, capacity, seconds)


def fair(rates: dict[str, float]) -> Callable[[World, str], Bucket]:
    """A bucket for each tenant, by its weight, in front of one service."""

    def make(world: World, tenant: str) -> Bucket:
        made = Bucket(world, rates[tenant], rates[tenant])
        made.tenant = tenant  # type: ignore[attr-defined]
        return made

    return make


EVEN = {"heavy": 20.0, "light": 20.0}
STORM, HERD, EXHAUSTED = "retry_storm", "synchronised_retries", "tenant_exhaustion"
SPECIMENS = [
    *(
        ("retries", variant, STORM, "retry_amplification", history)
        for variant, history in (
            ("quota, as told", crowd(AS_TOLD)),
            ("model, as told", crowd(AS_TOLD, kind="llm")),
            ("tool, asked again", crowd(EXPONENTIAL, kind="tool", agents=80)),
            ("pool, as told", crowd(AS_TOLD, kind="pool")),
            ("full jitter still multiplies", crowd(FULL_JITTER)),
            ("hard outage, 3 x 3 attempts", outage((2, 2))),
            ("hammer", crowd(HAMMER, agents=60)),
        )
    ),
    *(
        ("retries", variant, None, "retry_amplification", history)
        for variant, history in (
            ("budget of 10 %", crowd(AS_TOLD, share=0.1)),
            ("budget of 10 %, model", crowd(FULL_JITTER, share=0.1, kind="llm", steps=3)),
            ("refused, never again", crowd(NEVER)),
            ("quota, refused, on to the next", crowd(NEVER, steps=4)),
            ("tool, refused, other arguments", crowd(NEVER, kind="tool", steps=4)),
            ("a burst just above capacity", crowd(SPREAD_TO_CAPACITY, agents=46)),
            ("ramp below capacity", crowd(AS_TOLD, over_s=7.0, rate=35.0)),
            ("burst below capacity", crowd(AS_TOLD, agents=40)),
        )
    ),
    *(
        ("herds", variant, HERD, "synchronised_retries", history)
        for variant, history in (
            ("as told, no jitter", crowd(AS_TOLD)),
            ("as told, model", crowd(AS_TOLD, kind="llm")),
            ("backoff of the SDKs", crowd(SDK_BACKOFF)),
            ("exponential, no jitter", crowd(EXPONENTIAL)),
            ("once, as told", crowd(ONCE_AS_TOLD)),
            ("60 agents, as told", crowd(AS_TOLD, agents=60, rate=10.0)),
        )
    ),
    *(
        ("herds", variant, None, "synchronised_retries", history)
        for variant, history in (
            ("full jitter", crowd(FULL_JITTER)),
            ("as told and up to as much again", crowd(TOLD_PLUS)),
            ("as told, spread to capacity", crowd(SPREAD_TO_CAPACITY)),
            ("model, spread to capacity", crowd(SPREAD_TO_CAPACITY, kind="llm")),
            ("ramp, as told", crowd(AS_TOLD, over_s=3.0)),
            ("ramp, full jitter", crowd(FULL_JITTER, over_s=3.0)),
            ("burst, first attempts alone", crowd(NEVER)),
            ("burst below capacity", crowd(AS_TOLD, agents=40)),
            ("budget of 10 %", crowd(FULL_JITTER, share=0.1)),
        )
    ),
    *(
        ("tenants", variant, EXHAUSTED, "tenant_exhaustion", history)
        for variant, history in (
            ("hammer", rivals((40, 10, HAMMER), (3, 10, ONCE_AS_TOLD), limit=bucket(40))),
            ("flood", rivals((60, 10, NEVER), (3, 10, NEVER), limit=bucket(40))),
            (
                "flood of a model",
                rivals((60, 10, NEVER), (3, 10, NEVER), limit=bucket(40), kind="llm"),
            ),
            (
                "window eaten",
                rivals((40, 10, NEVER), (2, 10, NEVER), limit=window(60, 60), gap=1.0),
            ),
            (
                "flood, no baseline, declared",
                rivals((60, 10, NEVER), (3, 10, NEVER), limit=bucket(40), baseline=False),
            ),
        )
    ),
    *(
        ("tenants", variant, None, "tenant_exhaustion", history)
        for variant, history in (
            ("fair by weight", rivals((60, 10, NEVER), (3, 10, NEVER), limit=fair(EVEN))),
            (
                "fair by weight, hammer",
                rivals((40, 10, HAMMER), (3, 10, ONCE_AS_TOLD), limit=fair(EVEN)),
            ),
            ("both too much", rivals((30, 10, NEVER), (30, 10, NEVER), limit=bucket(40))),
            (
                "by weight, both too much",
                rivals(
                    (45, 10, NEVER),
                    (15, 10, NEVER),
                    limit=bucket(40),
                    weights={"heavy": 3, "light": 1},
                ),
            ),
            ("below capacity", rivals((5, 10, AS_TOLD), (3, 10, AS_TOLD), limit=bucket(60))),
            (
                "the refused one bursts itself",
                rivals((4, 60, AS_TOLD), (60, 1, NEVER), limit=bucket(40)),
            ),
            (
                "flood, no baseline, not declared",
                rivals(
                    (60, 10, NEVER),
                    (3, 10, NEVER),
                    limit=bucket(40),
                    baseline=False,
                    declared=False,
                ),
            ),
        )
    ),
]
