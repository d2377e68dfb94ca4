"""Agents that change what they share: bare, under locks, and in the ways that lose nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from specimens.simulated.systems import LockServer, Memory, Step, Story, Told

AGENTS, ROUNDS, KEYS = 12, 6, 3
Change = Callable[[Story, Memory, LockServer, str, int, str], Step[None]]


def bare(story: Story, memory: Memory, locks: LockServer, me: str, n: int, key: str) -> Step[None]:
    """Read, think, write."""
    base = yield from memory.get(me, key)
    yield story.way()
    yield from memory.put(me, key, f"{me}/{n}", base)


def locked(
    slow: float, story: Story, memory: Memory, locks: LockServer, *rest: object
) -> Step[None]:
    """The same under a lock; one in five takes `slow` seconds."""
    me, n, key = rest
    assert isinstance(me, str) and isinstance(key, str)
    if not (yield from locks.acquire(me, key)):
        return
    base = yield from memory.get(me, key)
    yield slow if story.random.random() < 0.2 else story.way()
    yield from memory.put(me, key, f"{me}/{n}", base)
    yield from locks.release(me, key)


def wrong_lock(
    story: Story, memory: Memory, locks: LockServer, me: str, n: int, key: str
) -> Step[None]:
    """Each under a lock of its own."""
    yield from locks.acquire(me, f"{key}/{me}")
    yield from bare(story, memory, locks, me, n, key)
    yield from locks.release(me, f"{key}/{me}")


def compared(
    story: Story, memory: Memory, locks: LockServer, me: str, n: int, key: str
) -> Step[None]:
    """Compare and set, three times at most."""
    for attempt in range(3):
        base = yield from memory.get(me, key)
        ask = {"service": memory.name, "key": key, "value": f"{me}/{n}.{attempt}"}
        ask |= {"expected": base.version}
        if (yield from memory.write("kv.cas", me, ask, base)) != "fail":
            return


def blind(story: Story, memory: Memory, locks: LockServer, me: str, n: int, key: str) -> Step[None]:
    """Write without having read: the last one wins, as it should."""
    yield story.way()
    yield from memory.put(me, f"status/{key}", f"{me}/{n}")


def incremented(
    story: Story, memory: Memory, locks: LockServer, me: str, n: int, key: str
) -> Step[None]:
    """The service adds."""
    yield from memory.get(me, key)
    ask = {"service": memory.name, "key": key, "value": "1"}
    yield from memory.write("kv.incr", me, ask)


def agreed(
    story: Story, memory: Memory, locks: LockServer, me: str, n: int, key: str
) -> Step[None]:
    """Everybody writes the same."""
    base = yield from memory.get(me, key)
    yield from memory.put(me, key, "settled", base)


def apart(story: Story, memory: Memory, locks: LockServer, me: str, n: int, key: str) -> Step[None]:
    """Each has keys of its own."""
    yield from bare(story, memory, locks, me, n, f"{me}/{key}")


def told(change: Change, seed: int, *, versions: bool = True, ttl: float = 1.0) -> Told:
    """Twelve agents that change three keys six times each."""
    story = Story(seed, rig=versions)
    memory = Memory(story, versions=versions)
    locks = LockServer(story, ttl)

    def agent(me: str) -> Step[None]:
        for n in range(ROUNDS):
            yield story.way()
            yield from change(story, memory, locks, me, n, f"k{story.random.randrange(KEYS)}")
        story.end(me)

    story.together(*(agent(me) for me in story.agents(AGENTS)))
    return story.told()


def of(change: Change, *, versions: bool = True, ttl: float = 1.0) -> Callable[[int], Told]:
    return lambda seed: told(change, seed, versions=versions, ttl=ttl)


BAD, GOOD = "lost_update", None
SPECIMENS = [
    ("lost_update", "bare, versions", BAD, "lost_update", of(bare)),
    ("lost_update", "bare, no versions", BAD, "lost_update", of(bare, versions=False)),
    (
        *("lost_update", "lock that expires", BAD, "lost_update"),
        of(partial(locked, 0.1), ttl=0.04),
    ),
    ("lost_update", "each its own lock", BAD, "lost_update", of(wrong_lock)),
    ("lost_update", "lock", GOOD, "lost_update", of(partial(locked, 0.1))),
    (
        *("lost_update", "lock, no versions", GOOD, "lost_update"),
        of(partial(locked, 0.1), versions=False),
    ),
    ("lost_update", "compare and set", GOOD, "lost_update", of(compared)),
    ("lost_update", "blind writes", GOOD, "lost_update", of(blind)),
    ("lost_update", "incr", GOOD, "lost_update", of(incremented)),
    ("lost_update", "same value", GOOD, "lost_update", of(agreed)),
    ("lost_update", "keys of its own", GOOD, "lost_update", of(apart, versions=False)),
]
