"""Shared stores and locks in virtual time, that write histories and know what really happened.

    story = Story(seed, "burst", agents=12)
    memory = Memory(story)
    story.spawn(agent(memory, "case@burst:0"))
    return story.told()

Rules:
1. All chance comes from the seed. An operation takes its way there, takes effect, and takes its way
   back; the answer of one in twenty writes gets lost, and with half of these the write itself.
2. `guilty` are the ids of the actions that really went wrong: a finding is true when it has one of
   them in its witness.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

import msgspec

from proofrig.history.action import Entry
from specimens.simulated_load.world import SECOND, World

Result = TypeVar("Result")
Step = Generator[Any, None, Result]
LOST = 0.05  # answers that never come back


class Told(list[Entry]):
    """A history, and what in it is guilty."""

    guilty: frozenset[str] = frozenset()


class Story(World):
    """One scenario. rig: whether the services write for themselves, or are observed."""

    def __init__(self, seed: int, scenario: str = "burst", *, rig: bool = True, **attrs: Any):
        super().__init__(seed)
        self.guilty: set[str] = set()
        self.rig = rig
        self.killed: set[str] = set()
        self.running: set[str] = set()
        self.scenario(scenario, **attrs)

    def told(self, until: float = float("inf")) -> Told:
        """The history from beginning to end."""
        self.run(until)
        for trial in sorted(self.running):
            self.now = self.now if until == float("inf") else until
            self.end(trial, "timeout")
        told = Told(self.entries)
        told.guilty = frozenset(self.guilty)
        return told

    def ask(self, name: str, trial: str, **attrs: Any) -> str:
        """An action begins; `attrs` stand on its start."""
        id = self._new()
        if self.rig:
            self._write("reserve", name, trial=trial, id=id, attrs={"decision": "allow"})
        self._write("start", name, trial=trial, id=id, attrs=attrs)
        return id

    def way(self, mean: float = 0.004) -> float:
        """How long a message takes."""
        return self.random.expovariate(1 / mean)

    def agents(self, count: int, tenants: int = 1) -> list[str]:
        """Trials that begin now, their tenants taking turns."""
        names = [f"case@{self._scenario}:{n}" for n in range(count)]
        self.running.update(names)
        return [self.begin(name, f"tenant-{n % tenants}") for n, name in enumerate(names)]

    def end(self, trial: str, failure: str = "") -> None:
        self.running.discard(trial)
        super().end(trial, failure)

    def together(self, *processes: Step[None]) -> None:
        """Start them inside 100 ms."""
        for process in processes:
            self.spawn(process, self.random.random() * 0.1)


class State(msgspec.Struct, frozen=True):
    """What a key holds. knows: the ids of all writes that went into it."""

    value: str | None = None
    version: int = 0
    writer: str = ""
    knows: frozenset[str] = frozenset()


NOTHING = State()


class Memory:
    """A key-value memory that does what it says. versions: whether it tells them."""

    def __init__(self, story: Story, name: str = "memory", *, versions: bool = True) -> None:
        self.story, self.name, self.versions = story, name, versions
        self.states: dict[str, State] = {}

    def get(self, trial: str, key: str, **attrs: Any) -> Step[State]:
        story = self.story
        id = story.ask("kv.get", trial, service=self.name, key=key, **attrs)
        yield story.way()
        state = self.shown(trial, attrs.get("physical", key), id)
        yield story.way()
        told = {"version": state.version} if self.versions else {}
        story.commit(id, "kv.get", trial, value=state.value, **told)
        return state

    def shown(self, trial: str, place: str, id: str) -> State:
        """What a read shows; `id` is the read's."""
        return self.states.get(place, NOTHING)

    def put(
        self, trial: str, key: str, value: str, base: State = NOTHING, **attrs: Any
    ) -> Step[str]:
        """Returns the outcome. base: what the writer had read."""
        ask = {"service": self.name, "key": key, "value": value, **attrs}
        return (yield from self.write("kv.put", trial, ask, base))

    def write(
        self, name: str, trial: str, ask: dict[str, Any], base: State | None = None
    ) -> Step[str]:
        story = self.story
        id = story.ask(name, trial, **ask)
        lost = story.random.random() < LOST
        yield story.way()
        if lost and story.random.random() < 0.5:
            story.commit(id, name, trial, outcome="unknown")
            return "unknown"
        yield from self.delay()
        said = self.apply(id, name, trial, ask, base)
        yield story.way()
        outcome = "unknown" if lost else said.pop("outcome", "ok")
        story.commit(id, name, trial, outcome=outcome, **({} if lost else said))
        return str(outcome)

    def delay(self) -> Step[None]:
        """What lies between a request and its effect."""
        yield 0.0

    def apply(
        self, id: str, name: str, trial: str, ask: dict[str, Any], base: State | None
    ) -> dict[str, Any]:
        """Take effect; what the answer says."""
        place = ask.get("physical", ask["key"])
        before = self.states.get(place, NOTHING)
        if name == "kv.cas":
            if ask["expected"] != before.version:
                return {"outcome": "fail", "version": before.version}
            base = before
        value: str | None = ask.get("value")
        tell: dict[str, Any] = {}
        if name in ("kv.incr", "kv.append"):
            base, value = before, added(name, before.value, ask["value"])
            tell = {"value": value}
        if name == "kv.delete":
            base, value = before, None
        # All that it replaces without having known it is lost.
        knows = frozenset() if base is None else base.knows
        if base is not None:
            self.story.guilty |= before.knows - knows
        version = before.version + 1
        self.states[place] = State(value, version, trial, knows | {id})
        return tell | ({"version": version} if self.versions else {})


def added(name: str, before: str | None, value: str) -> str:
    """What an incr or append makes of a value."""
    if name == "kv.incr":
        return str(int(before or 0) + int(value))
    return msgspec.json.encode([*msgspec.json.decode(before or "[]"), value]).decode()


class Held(msgspec.Struct, frozen=True):
    """A lock that is held."""

    trial: str
    token: int
    until: float


class LockServer:
    """Locks by key, with a time-to-live in seconds (None: for ever) and tokens."""

    def __init__(self, story: Story, ttl: float | None = 1.0, *, tokens: bool = True) -> None:
        self.story, self.ttl, self.tokens = story, ttl, tokens
        self.holders: dict[str, Held] = {}
        self._token = 0
        self._waiting: dict[str, tuple[str, str]] = {}  # trial -> key, id of its acquire

    def acquire(self, trial: str, key: str, wait: float = 60.0) -> Step[int]:
        """The token; 0 when it was not given in time."""
        story, began = self.story, self.story.now
        ttl = {} if self.ttl is None else {"ttl_ns": round(self.ttl * SECOND)}
        id = story.ask("lock.acquire", trial, service="locks", key=key, **ttl)
        yield story.way(0.001)
        self._wait(trial, key, id)
        while key in self.holders:
            if story.now - began >= wait or trial in story.killed:
                told = {"holder": self.holders[key].trial}
                story.commit(id, "lock.acquire", trial, outcome="fail", **told)
                del self._waiting[trial]
                return 0
            yield max(0.002, (story.now - began) / 20)  # it looks less and less often
        del self._waiting[trial]
        self._token += 1
        token = self._token
        until = float("inf") if self.ttl is None else story.now + self.ttl
        self.holders[key] = Held(trial, token, until)
        if self.ttl is not None:
            story.spawn(self._expiry(key, token), self.ttl)
        yield story.way(0.001)
        waited = round((story.now - began) * SECOND)
        fencing = {"fencing": token} if self.tokens else {}
        story.commit(id, "lock.acquire", trial, waited_ns=waited, **fencing)
        return token

    def release(self, trial: str, key: str) -> Step[None]:
        story = self.story
        id = story.ask("lock.release", trial, service="locks", key=key)
        yield story.way(0.001)
        mine = self.holds(trial, key)
        if mine:
            del self.holders[key]
        yield story.way(0.001)
        said = {} if mine else {"outcome": "fail", "expired": True}
        story.commit(id, "lock.release", trial, **said)

    def renew(self, trial: str, key: str) -> Step[None]:
        story = self.story
        id = story.ask("lock.renew", trial, service="locks", key=key)
        yield story.way(0.001)
        mine = self.holds(trial, key)
        if mine and self.ttl is not None:
            held = self.holders[key]
            self.holders[key] = Held(trial, held.token, story.now + self.ttl)
            story.spawn(self._expiry(key, held.token), self.ttl)
        yield story.way(0.001)
        story.commit(id, "lock.renew", trial, **({} if mine else {"outcome": "fail"}))

    def holds(self, trial: str, key: str) -> bool:
        return key in self.holders and self.holders[key].trial == trial

    def _wait(self, trial: str, key: str, id: str) -> None:
        """A trial begins to wait: where that closes a circle, those in it are guilty."""
        self._waiting[trial] = (key, id)
        circle = [id]
        while (held := self.holders.get(key)) is not None and held.trial in self._waiting:
            if held.trial == trial:
                self.story.guilty.update(circle)
                return
            key, id = self._waiting[held.trial]
            circle.append(id)
            if len(circle) > len(self._waiting):
                return  # a circle that it is not part of

    def _expiry(self, key: str, token: int) -> Step[None]:
        held = self.holders.get(key)
        if held is not None and held.token == token and held.until <= self.story.now + 1e-9:
            del self.holders[key]
            told = {"fencing": token} if self.tokens else {}
            self.story.note("lock_expired", service="locks", key=key, holder=held.trial, **told)
        yield from ()
