"""Agents that take several locks, or keep one for longer than it lives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from specimens.simulated.systems import NOTHING, LockServer, Memory, State, Step, Story, Told

AGENTS, ROUNDS = 12, 6


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How agents take locks. orders: the ones they may take, each agent drawing one for each round;
    an agent gives up on a lock after `wait` seconds, and holds all of them for `work` seconds.
    gate: a lock that is taken before. one_each: agent n always takes the n-th order. until: the
    scenario is over then. hazard: guilty are all that take locks in another order than somebody
    else, not those who really deadlock."""

    orders: Sequence[Sequence[str]]
    wait: float = 60.0
    work: float = 0.01
    gate: str = ""
    one_each: bool = False
    hazard: bool = False
    agents: int = AGENTS
    rounds: int = ROUNDS
    until: float = float("inf")


def taking(plan: Plan) -> Callable[[int], Told]:
    """Agents that take all locks of an order, work, and give them back."""

    def history(seed: int) -> Told:
        story = Story(seed)
        locks = LockServer(story, None)
        first: dict[str, set[tuple[str, str]]] = {}

        def agent(n: int, me: str) -> Step[None]:
            for _ in range(plan.rounds):
                yield story.way()
                order = list(
                    plan.orders[n % len(plan.orders)]
                    if plan.one_each
                    else story.random.choice(plan.orders)
                )
                held: list[str] = []
                for key in [plan.gate, *order] if plan.gate else order:
                    first.setdefault(me, set()).update((one, key) for one in held)
                    if not (yield from locks.acquire(me, key, plan.wait)):
                        break
                    held.append(key)
                    yield story.way()
                else:
                    yield plan.work
                for key in reversed(held):
                    yield from locks.release(me, key)
                yield story.way(0.02) + 0.01
            story.end(me)

        trials = story.agents(plan.agents)
        story.together(*(agent(n, me) for n, me in enumerate(trials)))
        told = story.told(plan.until)
        if plan.hazard:
            told.guilty = frozenset(one.id for one in told if inverted(one, first))
        return told

    return history


def inverted(entry: Any, orders: dict[str, set[tuple[str, str]]]) -> bool:
    """An acquire of an agent of which some other takes two locks the other way round."""
    if entry.name != "lock.acquire":
        return False
    mine = orders.get(entry.trial, set())
    return any(
        (two, one) in others or (len(others) == 1 and (one, two) in mine)
        for one, two in mine
        for trial, others in orders.items()
        if trial != entry.trial
    )


class Guarded(Memory):
    """Knows which writes came from a trial that no longer holds the lock. fenced: refuses a token
    below one it has seen."""

    fenced = False

    def __init__(self, story: Story, locks: LockServer) -> None:
        super().__init__(story)
        self._locks = locks
        self._writer: dict[str, int] = {}

    def apply(self, id: str, name: str, trial: str, ask: dict[str, Any], base: Any) -> Any:
        key, token = ask["key"], self.token_of[trial]
        if token < self._writer.get(key, 0):
            if self.fenced:
                return {"outcome": "fail", "error": "an older token"}
            self.story.guilty.add(id)
        self._writer[key] = max(token, self._writer.get(key, 0))
        before: State = self.states.get(key, NOTHING)
        self.states[key] = State(ask["value"], before.version + 1)
        return {"version": before.version + 1}

    @property
    def token_of(self) -> dict[str, int]:
        self._tokens: dict[str, int] = getattr(self, "_tokens", {})
        return self._tokens


def holding(
    *, ttl: float, slow: float, tokens: bool, fenced: bool = False, renew: bool = False
) -> Callable[[int], Told]:
    """Agents that write what a lock protects; one time in five it takes them `slow` seconds."""

    def history(seed: int) -> Told:
        story = Story(seed)
        locks = LockServer(story, ttl, tokens=tokens)
        memory = Guarded(story, locks)
        memory.fenced = fenced

        def agent(me: str) -> Step[None]:
            for n in range(ROUNDS):
                yield story.way()
                token = yield from locks.acquire(me, "ledger")
                memory.token_of[me] = locks._token  # the one it was given, told or not
                left = slow if story.random.random() < 0.2 else story.way()
                while left > 0:
                    step = min(left, ttl / 3)
                    yield step
                    left -= step
                    if renew:
                        yield from locks.renew(me, "ledger")
                fencing = {"fencing": token} if tokens else {}
                yield from memory.put(me, "ledger", f"{me}/{n}", **fencing)
                yield from locks.release(me, "ledger")
            story.end(me)

        story.together(*(agent(me) for me in story.agents(AGENTS)))
        return story.told()

    return history


AB, BA = ("a", "b"), ("b", "a")
RING = (("a", "b"), ("b", "c"), ("c", "a"))
HAZARD, ORDER, DEAD, STALE = "lock_order_hazard", "lock_order", "deadlock", "stale_holder"
SPECIMENS = [
    (ORDER, "two orders", HAZARD, ORDER, taking(Plan(orders=(AB, BA), wait=0.05, hazard=True))),
    (ORDER, "a ring of three", HAZARD, ORDER, taking(Plan(orders=RING, wait=0.05, hazard=True))),
    (ORDER, "one order", None, ORDER, taking(Plan(orders=(AB,)))),
    (ORDER, "two orders behind a gate", None, ORDER, taking(Plan(orders=(AB, BA), gate="g"))),
    (
        DEAD,
        "two orders, long waits",
        DEAD,
        DEAD,
        taking(Plan(orders=(AB, BA), wait=12.0, rounds=3)),
    ),
    (
        *(DEAD, "a ring of three, for ever", DEAD, DEAD),
        taking(Plan(orders=RING, wait=900.0, work=0.05, one_each=True, until=20.0)),
    ),
    (DEAD, "one order", None, DEAD, taking(Plan(orders=(AB,)))),
    (DEAD, "one order, held for long", None, DEAD, taking(Plan(orders=(AB,), work=7.0, wait=6.0))),
    (DEAD, "two orders, short waits", None, DEAD, taking(Plan(orders=(AB, BA), wait=0.05))),
    (STALE, "token not looked at", STALE, STALE, holding(ttl=0.05, slow=0.09, tokens=True)),
    (STALE, "no tokens", STALE, STALE, holding(ttl=0.05, slow=0.09, tokens=False)),
    (STALE, "fenced", None, STALE, holding(ttl=0.05, slow=0.09, tokens=True, fenced=True)),
    (STALE, "renewed", None, STALE, holding(ttl=0.05, slow=0.09, tokens=False, renew=True)),
    (STALE, "quick enough", None, STALE, holding(ttl=0.5, slow=0.02, tokens=False)),
]
