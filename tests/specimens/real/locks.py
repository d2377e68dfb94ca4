"""Real locks of threads and of asyncio, taken in orders that deadlock, that could, and that cannot.
A waiting that is given up after a while ends each deadlock."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proofrig.observers import observed_lock
from specimens.real.lab import Lab, Ran, Specimen, now
from specimens.real.truth import of_trials

GIVES_UP_S = 0.7
DEADLOCK_S = 0.3  # what the scenario calls one
Order = tuple[str, str]
SAME: tuple[Order, Order] = (("accounts", "orders"), ("accounts", "orders"))
INVERTED: tuple[Order, Order] = (("accounts", "orders"), ("orders", "accounts"))


class Outcome:
    """Who took what in which order, and who gave up."""

    def __init__(self) -> None:
        self.order: dict[str, Order] = {}
        self.gave_up: set[str] = set()


def _threads(orders: tuple[Order, Order], *, gate: bool, apart: bool) -> Callable[..., Outcome]:
    """Two threads; `apart`: the second comes when the first is done. `gate`: one lock around."""

    def play(lab: Lab) -> Outcome:
        outcome = Outcome()
        locks = {
            name: observed_lock(threading.Lock(), "locks", name, recorder=lab.recorder)
            for name in ("accounts", "orders", "gate")
        }
        both = threading.Barrier(2)

        def take(first: str, second: str) -> None:
            outcome.order[now()] = (first, second)
            with locks[first]:
                if orders == INVERTED and not gate and not apart:
                    both.wait()
                if locks[second].acquire(timeout=GIVES_UP_S):
                    locks[second].release()
                else:
                    outcome.gave_up.add(now())
                    both.wait()  # both give up, as two with the same patience do

        def agent(order: Order) -> Callable[[], None]:
            def work() -> None:
                for _ in range(1 if orders == INVERTED else 5):
                    if gate:
                        with locks["gate"]:
                            take(*order)
                    else:
                        take(*order)

            return work

        if apart:
            for order in orders:
                lab.threads([agent(order)])
        else:
            lab.threads([agent(order) for order in orders])
        return outcome

    return play


def _tasks(orders: tuple[Order, Order], *, gate: bool, apart: bool) -> Callable[..., Outcome]:
    """The same with two tasks."""

    async def play(lab: Lab) -> Outcome:
        outcome = Outcome()
        locks = {
            name: observed_lock(asyncio.Lock(), "locks", name, recorder=lab.recorder)
            for name in ("accounts", "orders", "gate")
        }

        async def take(first: str, second: str) -> None:
            outcome.order[now()] = (first, second)
            async with locks[first]:
                await asyncio.sleep(0.01)
                try:
                    async with asyncio.timeout(GIVES_UP_S):
                        await locks[second].acquire()
                    locks[second].release()
                except TimeoutError:
                    outcome.gave_up.add(now())
                    await asyncio.sleep(0.2)

        async def agent(order: Order) -> None:
            for _ in range(1 if orders == INVERTED else 5):
                if gate:
                    async with locks["gate"]:
                        await take(*order)
                else:
                    await take(*order)

        if apart:
            for order in orders:
                await lab.tasks([agent(order)])
        else:
            await lab.tasks([agent(order) for order in orders])
        return outcome

    return lambda lab: asyncio.run(play(lab))


def _specimen(checker: str, variant: str, play: Callable[..., Outcome], *, bad: bool) -> Specimen:
    def run(folder: Path, seed: int) -> Ran:
        with Lab(folder, seed, params={"deadlock_s": DEADLOCK_S}) as lab:
            outcome = play(lab)
        if checker == "deadlock":
            happened, guilty = len(outcome.gave_up) == 2, outcome.gave_up
        else:
            happened = len(set(outcome.order.values())) > 1 and "gate" not in variant
            guilty = set(outcome.order)
        return Ran(lab.run_dir, happened, of_trials(*guilty))

    kind = {"deadlock": "deadlock", "lock_order": "lock_order_hazard"}[checker]
    name = checker.replace("_", " ")
    return Specimen(name, variant, kind if bad else None, checker, run)


def _variants() -> list[tuple[str, str, dict[str, Any], bool]]:
    """(checker, variant, settings, bad)."""
    inverted = {"orders": INVERTED, "gate": False}
    return [
        ("deadlock", "taken in opposite orders at once", inverted | {"apart": False}, True),
        ("deadlock", "taken in one order", {"orders": SAME, "gate": False, "apart": False}, False),
        (
            "deadlock",
            "opposite orders behind a gate",
            {"orders": INVERTED, "gate": True, "apart": False},
            False,
        ),
        ("lock_order", "opposite orders, one after the other", inverted | {"apart": True}, True),
        (
            "lock_order",
            "one order, one after the other",
            {"orders": SAME, "gate": False, "apart": True},
            False,
        ),
        (
            "lock_order",
            "opposite orders behind a gate, one after the other",
            {"orders": INVERTED, "gate": True, "apart": True},
            False,
        ),
    ]


SPECIMENS = [
    _specimen(checker, f"{library}: {variant}", kind(**settings), bad=bad)
    for checker, variant, settings, bad in _variants()
    for library, kind in (("threading", _threads), ("asyncio", _tasks))
]
