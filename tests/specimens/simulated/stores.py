"""Memories that lose what they acknowledged, show what failed or what is old, and mix up keys; and
such as only look like it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from specimens.simulated.systems import NOTHING, Memory, State, Step, Story, Told, added

AGENTS, KEYS = 12, 6


class Unguarded(Memory):
    """Makes the new value of an append or incr from the one it saw a while ago."""

    def write(self, name: str, trial: str, ask: dict[str, Any], base: State | None = None) -> Any:
        self.seen: dict[str, State] = getattr(self, "seen", {})
        self.seen[trial] = self.states.get(ask["key"], NOTHING)
        return super().write(name, trial, ask, base)

    def delay(self) -> Step[None]:
        yield self.story.way()

    def apply(self, id: str, name: str, trial: str, ask: dict[str, Any], base: Any) -> Any:
        if name not in ("kv.append", "kv.incr"):
            return super().apply(id, name, trial, ask, base)
        old, now = self.seen[trial], self.states.get(ask["key"], NOTHING)
        value = added(name, old.value, ask["value"])
        self.story.guilty |= now.knows - old.knows
        version = old.version + 1
        self.states[ask["key"]] = State(value, version, trial, old.knows | {id})
        return {"value": value} | ({"version": version} if self.versions else {})


class WriteBehind(Memory):
    """Acknowledges, and drops one write in five."""

    def apply(self, id: str, name: str, trial: str, ask: dict[str, Any], base: Any) -> Any:
        before = self.states.get(ask["key"], NOTHING)
        said = super().apply(id, name, trial, ask, base)
        if before is not NOTHING and self.story.random.random() < 0.2:
            self.story.guilty.add(id)
            self.states[ask["key"]] = before
        return said


class Expiring(Memory):
    """What nobody wrote for 30 ms is gone."""

    def shown(self, trial: str, place: str, id: str) -> State:
        state = self.states.get(place, NOTHING)
        if state.value is not None and self.story.random.random() < 0.2:
            self.states[place] = State(None, state.version)
        return self.states.get(place, NOTHING)


class RolledBack(Memory):
    """One write in five is undone a moment later, and said to have failed. hidden: till it is
    certain nobody sees it."""

    hidden = False

    def apply(self, id: str, name: str, trial: str, ask: dict[str, Any], base: Any) -> Any:
        if name != "kv.put" or self.story.random.random() > 0.2:
            return super().apply(id, name, trial, ask, base)
        if not self.hidden:
            key, before = ask["key"], self.states.get(ask["key"], NOTHING)
            state = State(ask["value"], before.version + 1, id)
            self.states[key] = state
            self.story.spawn(self._undo(key, state, before), 0.02)
        return {"outcome": "fail", "error": "conflict"}

    def shown(self, trial: str, place: str, id: str) -> State:
        state = super().shown(trial, place, id)
        if state.writer.startswith("a"):  # an action's id: it will be undone
            self.story.guilty.add(state.writer)
        return state

    def _undo(self, key: str, state: State, before: State) -> Step[None]:
        if self.states.get(key) is state:
            self.states[key] = before
        yield from ()


class SaidToFail(Memory):
    """One write in five is done, and said to have failed."""

    def apply(self, id: str, name: str, trial: str, ask: dict[str, Any], base: Any) -> Any:
        said = super().apply(id, name, trial, ask, base)
        if self.story.random.random() < 0.2:
            self.story.guilty.add(id)
            return {"outcome": "fail", "error": "timed out"}
        return said


class Replicated(Memory):
    """Reads go to a replica that lags by up to `lag` seconds: to any (`sticky` False), or always to
    the writer's own for what a trial wrote itself."""

    lag, sticky = 0.05, False

    def __init__(self, story: Story, **kwargs: Any) -> None:
        super().__init__(story, **kwargs)
        self._log: dict[str, list[tuple[float, State]]] = {}
        self._known: dict[tuple[str, str], int] = {}

    def apply(self, id: str, name: str, trial: str, ask: dict[str, Any], base: Any) -> Any:
        said = super().apply(id, name, trial, ask, base)
        state = self.states[ask["key"]]
        self._log.setdefault(ask["key"], [(-1.0, NOTHING)]).append((self.story.now, state))
        self._known[trial, ask["key"]] = state.version
        return said

    def shown(self, trial: str, place: str, id: str) -> State:
        at = self.story.now - self.story.random.random() * self.lag
        log = self._log.get(place, [(-1.0, NOTHING)])
        state = next(state for when, state in reversed(log) if when <= at)
        known = self._known.get((trial, place), 0)
        if state.version < known:
            if self.sticky:
                state = self.states[place]
            else:
                self.story.guilty.add(id)
        self._known[trial, place] = max(known, state.version)
        return state


def some_order(story: Story) -> list[str]:
    """The shared keys, each once."""
    return story.random.sample([f"k{n}" for n in range(KEYS)], KEYS)


def shared_use(story: Story, memory: Memory, me: str) -> Step[None]:
    """Writes each shared key once, not knowing what is there, and reads it then."""
    for key in some_order(story):
        yield story.way()
        yield from memory.put(me, key, f"{me}/{key}")
        for _ in range(2):
            yield story.way()
            yield from memory.get(me, key)


def appending(story: Story, memory: Memory, me: str) -> Step[None]:
    """A shared log, read now and then and at the end."""
    for n in range(KEYS):
        yield story.way()
        ask = {"service": memory.name, "key": "log", "value": f"{me}/{n}"}
        yield from memory.write("kv.append", me, ask)
        if story.random.random() < 0.3:
            yield from memory.get(me, "log")
    yield 0.5
    yield from memory.get(me, "log")


def counting(story: Story, memory: Memory, me: str) -> Step[None]:
    """A shared counter."""
    for _ in range(KEYS):
        yield story.way()
        ask = {"service": memory.name, "key": "count", "value": "1"}
        yield from memory.write("kv.incr", me, ask)
        yield from memory.get(me, "count")


def deleting(story: Story, memory: Memory, me: str) -> Step[None]:
    """As `shared_use`, and what was written is deleted now and then."""
    for key in some_order(story):
        yield from memory.put(me, key, f"{me}/{key}")
        yield from memory.get(me, key)
        if story.random.random() < 0.4:
            yield from memory.write("kv.delete", me, {"service": memory.name, "key": key})
        yield from memory.get(me, key)


def retried(story: Story, memory: Memory, me: str) -> Step[None]:
    """Who is told that a write failed writes the same once more."""
    for key in some_order(story):
        for _ in range(4):
            if (yield from memory.put(me, key, f"{me}/{key}")) != "fail":
                break
        yield from memory.get(me, key)


Use = Callable[[Story, Memory, str], Step[None]]


def of(
    kind: type[Memory],
    use: Use,
    *,
    rig: bool = True,
    declared: dict[str, Any] | None = None,
    **set_to: Any,
) -> Callable[[int], Told]:
    """Twelve agents that use a memory. `declared`: its topology; `set_to`: attributes of it."""

    def history(seed: int) -> Told:
        story = Story(seed, rig=rig, topology={"memory": declared or {}})
        memory = type(kind.__name__, (kind,), set_to)(story, versions=rig)
        story.together(*(use(story, memory, me) for me in story.agents(AGENTS)))
        return story.told()

    return history


def keyed(
    name: Callable[[str, str], str], partition: str, *, tenants: int = 2
) -> Callable[[int], Told]:
    """Agents of some tenants that write notes, stored under `name(tenant, key)`."""

    def history(seed: int) -> Told:
        story = Story(seed, topology={"memory": {"partition": partition}})
        memory = Memory(story)
        users: dict[str, set[tuple[str, str]]] = {}
        where: dict[str, str] = {}

        def agent(me: str, tenant: str) -> Step[None]:
            for one in some_order(story):
                key = f"customer-{one}"
                place = name(tenant, key)
                before = story._actions
                yield from memory.put(me, key, f"{me}/{key}", physical=place)
                users.setdefault(place, set()).add((tenant, key))
                where[f"a{before + 1}"] = place
                yield from memory.get(me, key, physical=place)

        trials = story.agents(AGENTS, tenants)
        story.together(*(agent(me, f"tenant-{n % tenants}") for n, me in enumerate(trials)))
        told = story.told()
        told.guilty = frozenset(id for id, place in where.items() if len(users[place]) > 1)
        return told

    return history


LOST, DIRTY, STALE, MIXED = "lost_write", "dirty_read", "stale_read", "key_collision"
LAGGING = {"linearizable": False}
SPECIMENS = [
    (LOST, "append not atomic", LOST, LOST, of(Unguarded, appending)),
    (LOST, "append not atomic, observed", LOST, LOST, of(Unguarded, appending, rig=False)),
    (LOST, "incr not atomic", LOST, LOST, of(Unguarded, counting)),
    (LOST, "dropped after acknowledgement", LOST, LOST, of(WriteBehind, shared_use)),
    (LOST, "dropped, observed", LOST, LOST, of(WriteBehind, shared_use, rig=False)),
    (LOST, "append", None, LOST, of(Memory, appending)),
    (LOST, "append, observed", None, LOST, of(Memory, appending, rig=False)),
    (LOST, "overwritten", None, LOST, of(Memory, shared_use)),
    (LOST, "overwritten, observed", None, LOST, of(Memory, shared_use, rig=False)),
    (LOST, "deleted", None, LOST, of(Memory, deleting)),
    (LOST, "deleted, observed", None, LOST, of(Memory, deleting, rig=False)),
    (LOST, "incr", None, LOST, of(Memory, counting)),
    (LOST, "expired", None, LOST, of(Expiring, shared_use, rig=False, declared={"ttl_s": 1})),
    (DIRTY, "seen, then undone", DIRTY, DIRTY, of(RolledBack, shared_use)),
    (DIRTY, "done, said to have failed", DIRTY, DIRTY, of(SaidToFail, shared_use)),
    (DIRTY, "done, said to fail, observed", DIRTY, DIRTY, of(SaidToFail, shared_use, rig=False)),
    (DIRTY, "undone unseen", None, DIRTY, of(RolledBack, shared_use, hidden=True)),
    (DIRTY, "failed, written again", None, DIRTY, of(RolledBack, retried, hidden=True)),
    (STALE, "any replica", STALE, STALE, of(Replicated, shared_use, declared=LAGGING)),
    (STALE, "any replica, observed", STALE, STALE, of(Replicated, shared_use, rig=False)),
    (
        STALE,
        "own writes seen",
        None,
        STALE,
        of(Replicated, shared_use, sticky=True, declared=LAGGING),
    ),
    (STALE, "no lag", None, STALE, of(Memory, shared_use, declared={"linearizable": True})),
    (STALE, "deleted", None, STALE, of(Memory, deleting, rig=False)),
    (MIXED, "key cut off", MIXED, MIXED, keyed(lambda who, key: key[:9], "none")),
    (MIXED, "tenant left out", MIXED, MIXED, keyed(lambda who, key: key, "tenant")),
    (MIXED, "tenant first", None, MIXED, keyed(lambda who, key: f"{who}/{key}", "tenant")),
    (MIXED, "meant to be shared", None, MIXED, keyed(lambda who, key: key, "none")),
]
