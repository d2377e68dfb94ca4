"""Agents whose tool results come late, twice, swapped or out of date, and what they make of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from proofrig.history.action import Entry
from specimens.simulated_load.world import Process, World

Habit = Literal[
    *("careful", "late", "swapped", "older", "twice", "cancelled", "patient", "silent"),
]
CALLS = 10


def believing(habit: Habit, agents: int = 12) -> Callable[[int], list[Entry]]:
    """`careful` drops what is stale and joins by id; `patient` waits for late results without
    asking again; `silent` says nothing of what it accepts; the others believe what they are named
    after."""

    def history(seed: int) -> list[Entry]:
        world = World(seed)
        draw = world.random
        world.scenario("out_of_order", agents=agents)
        version = [0]

        def call(
            trial: str, arguments: str, seconds: float, outcome: str = "ok", fault: str = ""
        ) -> Process:
            id = world.reserve("tool.lookup", trial, arguments=arguments)
            yield seconds
            if fault:
                world.fault(fault, id, trial, what="result")
            world.commit(id, "tool.lookup", trial, outcome=outcome, is_error=False)
            version[0] += 1
            return id, version[0]

        def accept(trial: str, id: str, **attrs: object) -> None:
            if habit != "silent":
                world.note("accepted", trial=trial, call=id, **attrs)

        def late(trial: str) -> Process:
            """A call that takes long, is asked again, and then ends too."""
            first = world.reserve("tool.lookup", trial, arguments="late")
            yield 0.2
            if habit == "patient":
                yield 0.3
                world.fault("late_result", first, trial, lasts_ns=300_000_000)
                world.commit(first, "tool.lookup", trial, is_error=False)
                accept(trial, first)
                return
            second = world.reserve("tool.lookup", trial, arguments="late")
            world.note("superseded", trial=trial, call=first, by=second)
            yield 0.05
            if habit == "cancelled":
                world.commit(first, "tool.lookup", trial, outcome="unknown")
            else:
                world.fault("late_result", first, trial, lasts_ns=50_000_000)
                world.commit(first, "tool.lookup", trial, is_error=False)
            yield 0.05
            world.commit(second, "tool.lookup", trial, is_error=False)
            stale = habit in ("late", "cancelled") and draw.random() < 0.5
            accept(trial, first if stale else second)

        def swapped(trial: str) -> Process:
            one, _ = yield from call(trial, "a", 0.01, fault="reordered_results")
            other, _ = yield from call(trial, "b", 0.01)
            wrong = habit == "swapped" and draw.random() < 0.5
            accept(trial, other, **({"given_as": one} if wrong else {}))
            accept(trial, one, **({"given_as": other} if wrong else {"given_as": one}))

        def twice(trial: str) -> Process:
            id, _ = yield from call(trial, "c", 0.01, fault="duplicate_delivery")
            accept(trial, id)
            yield 0.01
            if habit == "twice":
                accept(trial, id)

        def versions(trial: str) -> Process:
            first, old = yield from call(trial, "v", 0.01)
            second, new = yield from call(trial, "v", 0.01)
            pair = [(first, old), (second, new)]
            for id, number in reversed(pair) if habit == "older" else pair:
                accept(trial, id, version=number)

        def agent(trial: str) -> Process:
            world.begin(trial)
            for _ in range(CALLS):
                yield from draw.choice((late, swapped, twice, versions))(trial)
                yield 0.02 * draw.random()
            world.end(trial)

        for number in range(agents):
            world.spawn(agent(f"one@out_of_order:{number}"), 0.1 * draw.random())
        world.run()
        return world.entries

    return history


def redelivered(checked: bool) -> Callable[[int], list[Entry]]:
    """A queue that delivers again what took too long; checked: it counts one acknowledgement."""

    def history(seed: int) -> list[Entry]:
        world = World(seed)
        draw = world.random
        world.scenario("out_of_order", agents=2)

        def receive(trial: str, message: str, delivery: int) -> Process:
            id = world.start("queue.receive", trial, service="jobs")
            yield 0.001
            world.commit(id, "queue.receive", trial, message=message, delivery=delivery)

        def ack(trial: str, message: str, counts: bool) -> Process:
            id = world.start("queue.ack", trial, service="jobs", message=message)
            yield 0.001
            world.commit(id, "queue.ack", trial, outcome="ok" if counts else "fail")

        def both() -> Process:
            slow, quick = world.begin("one@out_of_order:1"), world.begin("one@out_of_order:2")
            for number in range(20):
                message = f"m{number}"
                yield from receive(slow, message, 1)
                again = draw.random() < 0.5
                if again:
                    yield from receive(quick, message, 2)
                    yield from ack(quick, message, True)
                yield from ack(slow, message, not (again and checked))
                world.note("accepted", trial=slow, call=message)
            world.end(slow)
            world.end(quick)

        world.spawn(both())
        world.run()
        return world.entries

    return history


STALE = "stale_result"
SPECIMENS = [
    ("results", "believes the late", STALE, "stale_result", believing("late")),
    ("results", "believes the cancelled", STALE, "stale_result", believing("cancelled")),
    ("results", "believes the older", STALE, "stale_result", believing("older")),
    ("results", "takes one for the other", "misbound_result", "stale_result", believing("swapped")),
    ("results", "takes both of two", "duplicate_result", "stale_result", believing("twice")),
    ("results", "done by two", "duplicate_effect", "stale_result", redelivered(False)),
    ("results", "careful", None, "stale_result", believing("careful")),
    ("results", "patient", None, "stale_result", believing("patient")),
    ("results", "says nothing", None, "stale_result", believing("silent")),
    ("results", "done by one", None, "stale_result", redelivered(True)),
]
