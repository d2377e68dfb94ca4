"""Agents that share a server: some systems bear a burst, some fail or have a tail without bound."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from proofrig.history.action import Entry
from specimens.simulated_load.world import Line, Process, World


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A burst of `agents` within `over_s` on a server with `seats`, each taking `work_s`.

    timeout_s: an agent that takes longer fails. broken: one case fails alone too. infra: the share
    whose provider broke off. slow_case: one case takes ten times as long. late_s: how late the
    harness starts them, at most. trickle: agents that come after, one by one.
    """

    agents: int = 50
    over_s: float = 0.05
    seats: int = 50
    work_s: float = 0.2
    timeout_s: float = 60.0
    broken: bool = False
    infra: float = 0.0
    slow_case: bool = False
    late_s: float = 0.0
    baseline: bool = True
    scenario: str = "burst"
    phase: str = "burst"
    trickle: int = 0
    target_ms: float = 0.0
    lag_ms: float = 0.5


def served(plan: Plan) -> Callable[[int], list[Entry]]:
    """A burst as planned."""

    def history(seed: int) -> list[Entry]:
        world = World(seed)
        draw = world.random
        free, line = [plan.seats], Line[Process]()

        def agent(trial: str, intended: float, late: float) -> Process:
            yield late
            world.begin(trial)
            world.launched(trial, intended, plan.phase)
            case, began = trial.partition("@")[0], world.now
            world.note("arrival", trial=trial, arrived_ns=round(world.now * 1e9))
            while not free[0]:
                yield line
            free[0] -= 1
            slow = 10 if plan.slow_case and case == "c0" else 1
            yield plan.work_s * slow * (0.8 + 0.4 * draw.random())
            free[0] += 1
            world.wake(line)
            failure = "timeout" if world.now - began > plan.timeout_s else ""
            if plan.broken and case == "c1":
                failure = "agent"
            if "sequential" not in trial and draw.random() < plan.infra:
                failure = "infra"
            world.end(trial, failure)

        if plan.baseline:
            world.scenario("sequential", agents=1)
            for case in range(5):
                trial = f"c{case}@sequential:{case}"
                world.spawn(agent(trial, world.now, 0.0))
                world.run()
        world.scenario(plan.scenario, agents=plan.agents)
        begun = world.now
        target = {"target_ns": round(plan.target_ms * 1e6)} if plan.target_ms else {}
        world.note("phase", phase=plan.phase, state="begin", **target)
        for number in range(plan.agents):
            at = plan.over_s * draw.random()
            trial = f"c{number % 5}@{plan.scenario}:{number}"
            world.spawn(agent(trial, begun + at, plan.late_s * draw.random()), at)
        for number in range(plan.trickle):
            at = 0.2 * (number + 1)
            trial = f"c{number % 5}@{plan.scenario}:{plan.agents + number}"
            world.spawn(agent(trial, begun + at, 0.0), at)
        for second in range(3):
            world.spawn(_lag(world, plan.lag_ms), second)
        world.run()
        world.note("phase", phase=plan.phase, state="end", **target)
        return world.entries

    return history


def _lag(world: World, ms: float) -> Process:
    world.note("lag", p99_ns=round(ms * 1e6), max_ns=round(ms * 2e6))
    return
    yield


FAILED, TAIL = "agent_failed_under_load", "tail_unbounded"
SPECIMENS = [
    ("bursts", "timeouts in line", FAILED, "burst", served(Plan(seats=2, timeout_s=1.5))),
    ("bursts", "one seat", TAIL, "burst", served(Plan(seats=1))),
    ("bursts", "ramp beyond capacity", TAIL, "burst", served(Plan(seats=2, over_s=2.0, agents=80))),
    *(
        ("bursts", variant, None, "burst", served(plan))
        for variant, plan in (
            ("a seat for each", Plan()),
            ("three in line for each seat", Plan(seats=17)),
            ("below capacity", Plan(seats=10, over_s=2.0)),
            ("one slow case", Plan(slow_case=True)),
            ("a case that fails alone too", Plan(broken=True)),
            ("the provider broke off", Plan(infra=0.1)),
            ("the harness starts late", Plan(late_s=6.0)),
            ("no baseline", Plan(seats=1, baseline=False)),
            ("drain", Plan(seats=20, phase="drain", scenario="drain", trickle=25)),
        )
    ),
    *(
        ("launches", variant, None, "launch", served(plan))
        for variant, plan in (
            ("within the target", Plan(over_s=0.0, late_s=0.004, target_ms=100)),
            ("missed the target", Plan(over_s=0.3, target_ms=100)),
            ("a rig that lags", Plan(lag_ms=80.0)),
            ("late starts", Plan(late_s=1.0)),
        )
    ),
]
