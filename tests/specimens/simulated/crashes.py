"""Agents that are killed while they write or hold a lock, and trials that find what others left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from specimens.simulated.systems import NOTHING, LockServer, Memory, State, Step, Story, Told

VICTIMS, LATER = 3, 4
WHOLE = '{"balance": 100, "of": "'


class Disk(Memory):
    """Files. whole: the new content is there all at once (a rename); else a part of it first."""

    whole = False

    def content(self, trial: str, path: str) -> Step[str | None]:
        story = self.story
        id = story.ask("file.read", trial, service="disk", path=path)
        yield story.way(0.001)
        state = self.states.get(path, NOTHING)
        if state.writer == "half":
            story.guilty.add(id)
        yield story.way(0.001)
        story.commit(id, "file.read", trial, value=state.value)
        return state.value

    def save(self, trial: str, path: str, value: str, *, killed: str = "") -> Step[None]:
        """Write a file; `killed` names the point at which the writer is killed."""
        story = self.story
        id = story.ask("file.write", trial, service="disk", path=path, value=value)
        yield story.way(0.001)
        before = self.states.get(path, NOTHING)
        cut = story.random.randrange(1, len(value))
        if not self.whole and killed in ("mid_bytes", "before_rename"):
            self.states[path] = State(value[:cut], before.version, "half")
        if killed in ("before_write", "mid_bytes", "before_rename"):
            self._kill(trial, killed, id)
            return
        self.states[path] = State(value, before.version + 1)
        if killed == "after_write":
            self._kill(trial, killed, id)
            return
        yield story.way(0.001)
        outcome = "unknown" if story.random.random() < 0.05 else "ok"
        story.commit(id, "file.write", trial, outcome=outcome)

    def _kill(self, trial: str, point: str, at: str) -> None:
        self.story.killed.add(trial)
        self.story.note("kill", trial=trial, point=point, at=at)
        self.story.end(trial, "killed")


class Chunked(Memory):
    """A key-value memory that puts a value in two steps; a killed writer leaves the first."""

    whole = True

    def apply(self, id: str, name: str, trial: str, ask: dict[str, Any], base: Any) -> Any:
        if trial not in self.story.killed:
            return super().apply(id, name, trial, ask, base)
        key, before = ask["key"], self.states.get(ask["key"], NOTHING)
        self.story.note("kill", trial=trial, point="after_write", at=id)
        if self.whole:
            self.states[key] = State(ask["value"], before.version + 1)
        else:
            self.states[key] = State("##" + ask["value"][2:], before.version + 1, "half")
        return {"outcome": "unknown"}

    def shown(self, trial: str, place: str, id: str) -> State:
        state = super().shown(trial, place, id)
        if state.writer == "half":
            self.story.guilty.add(id)
        return state


def files(*, whole: bool, point: str) -> Callable[[int], Told]:
    """Victims that are killed while they write a file, then others that read and write it."""

    def history(seed: int) -> Told:
        story = Story(seed, "crash_mid_write", rig=False)
        disk = Disk(story, "disk")
        disk.whole = whole

        def agent(n: int, me: str) -> Step[None]:
            for round in range(3):
                yield from disk.content(me, "account.json")
                killed = point if n < VICTIMS and round == 1 else ""
                text = f'{WHOLE}{me}", "round": {round}}}'
                yield from disk.save(me, "account.json", text, killed=killed)
                if killed:
                    return
            story.end(me)

        trials = story.agents(VICTIMS + LATER)
        for n, me in enumerate(trials):
            story.spawn(agent(n, me), n * 0.1)  # one after another
        return story.told()

    return history


def values(*, whole: bool) -> Callable[[int], Told]:
    """The same with a memory of the rig's own, whose writers are killed between two steps."""

    def history(seed: int) -> Told:
        story = Story(seed, "crash_mid_write")
        memory = Chunked(story)
        memory.whole = whole

        def agent(n: int, me: str) -> Step[None]:
            base = yield from memory.get(me, "account")
            yield from memory.put(me, "account", f"{WHOLE}{me}", base)
            if n < VICTIMS:
                base = yield from memory.get(me, "account")
                story.killed.add(me)
                for again in range(5):  # until one gets there
                    yield from memory.put(me, "account", f"{again}: {WHOLE}{me}", base)
                return
            for _ in range(3):
                yield from memory.get(me, "account")

        for n, me in enumerate(story.agents(VICTIMS + LATER)):
            story.spawn(agent(n, me), n * 0.5)
        return story.told()

    return history


def locks(
    *, ttl: float | None, kept_alive: bool = False, observed: bool = False, busy: bool = False
) -> Callable[[int], Told]:
    """A victim is killed while it holds a lock that others want. kept_alive: something goes on
    renewing it. busy: those who come later keep it for long."""

    def history(seed: int) -> Told:
        story = Story(seed, "crash_mid_write", rig=not observed, params={"grace_s": 0.5})
        server = LockServer(story, ttl)

        def victim(me: str) -> Step[None]:
            yield from server.acquire(me, "ledger")
            yield story.way()
            story.killed.add(me)
            story.note("kill", trial=me, point="after_ack", at="")
            story.end(me, "killed")
            while kept_alive and ttl is not None:
                if not server.holds(me, "ledger") or story.now > 30:
                    return
                held = server.holders["ledger"]
                server.holders["ledger"] = type(held)(me, held.token, story.now + 10 * ttl)
                yield ttl / 2

        def later(me: str) -> Step[None]:
            yield 0.2
            asked = story._actions + 1
            if (yield from server.acquire(me, "ledger", 8.0)):
                yield 3.0 if busy else story.way()
                yield from server.release(me, "ledger")
            elif server.holders["ledger"].trial in story.killed:
                story.guilty.add(f"a{asked}")
            story.end(me)

        trials = story.agents(1 + LATER)
        story.spawn(victim(trials[0]))
        story.together(*(later(me) for me in trials[1:]))
        return story.told()

    return history


class Scratch(Memory):
    """Knows which reads showed what another trial wrote."""

    def shown(self, trial: str, place: str, id: str) -> State:
        state = super().shown(trial, place, id)
        if state.writer not in ("", trial):
            self.story.guilty.add(id)
        return state


def environments(*, cleaned: bool, declared: bool) -> Callable[[int], Told]:
    """Trials one after another, that look at their scratch memory and then write it."""

    def history(seed: int) -> Told:
        said = {"scratch": {"scope": "trial"} if declared else {}}
        story = Story(seed, "used_environment", topology=said)
        memory = Scratch(story, "scratch")

        def trial(me: str) -> Step[None]:
            story.begin(me)
            if cleaned:
                memory.states.clear()
            for key in ("plan", "draft"):
                state = yield from memory.get(me, key)
                yield from memory.put(me, key, f"{me}/{key}", state)
                yield from memory.get(me, key)
            story.end(me)

        for n in range(8):
            story.spawn(trial(f"case@used_environment:{n}"), n * 2.0)
        return story.told()

    return history


TORN, RELEASE, LEFT = "torn_write", "lock_release", "leftover_state"
STUCK = "lock_not_released"
SPECIMENS = [
    (TORN, "written in place", TORN, TORN, files(whole=False, point="mid_bytes")),
    (TORN, "no rename", TORN, TORN, files(whole=False, point="before_rename")),
    (TORN, "two steps", TORN, TORN, values(whole=False)),
    (TORN, "renamed", None, TORN, files(whole=True, point="before_rename")),
    (TORN, "killed before", None, TORN, files(whole=False, point="before_write")),
    (TORN, "killed after", None, TORN, files(whole=False, point="after_write")),
    (TORN, "one step", None, TORN, values(whole=True)),
    (RELEASE, "no time-to-live", STUCK, RELEASE, locks(ttl=None)),
    (RELEASE, "no time-to-live, observed", STUCK, RELEASE, locks(ttl=None, observed=True)),
    (RELEASE, "kept alive", STUCK, RELEASE, locks(ttl=0.5, kept_alive=True)),
    (RELEASE, "time-to-live", None, RELEASE, locks(ttl=1.0)),
    (RELEASE, "time-to-live, then busy", None, RELEASE, locks(ttl=4.0, busy=True)),
    (LEFT, "not cleaned", LEFT, LEFT, environments(cleaned=False, declared=True)),
    (LEFT, "cleaned", None, LEFT, environments(cleaned=True, declared=True)),
    (LEFT, "meant to last", None, LEFT, environments(cleaned=False, declared=False)),
]
