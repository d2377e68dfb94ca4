"""Seeded runs without scenarios, of which we know how they are: right ones of many shapes, and ones
that loop, flood, are free, drift, fan out or lose what they hand off.

    BAD["ping_pong"](Trial(7))      writes a run onto the trial's history
    RIGHT["pagination"](Trial(7))

Rules:
1. All chance comes from the trial's seed; no clock is read.
2. Agents think before each call: a turn of a model, unless a shape says otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any

from proofrig.anomalies.signature import Signature
from proofrig.checkers.checker import Checked
from proofrig.checkers.judge import Judge
from proofrig.history.action import Entry, Kind
from proofrig.history.payloads import digest_of

SECOND = 1_000_000_000
Shape = Callable[["Trial"], None]


class Trial:
    """One trial that acts one thing after another. bad: the ids of the calls that are wrong."""

    def __init__(self, seed: int, number: int = 0, begin: float = 0.0) -> None:
        self.random = random.Random(seed * 7919 + number)
        self.name = f"case:{number}"
        self.scope = f"acme/flow/agent/run{number}"
        self.now = begin
        self.entries: list[Entry] = []
        self.payloads: dict[str, bytes] = {}
        self.bad: list[str] = []
        self._ids = count()
        self._said = 0
        self._usual: dict[str, float] = {}
        self.entry("trial", "begin")

    def end(self) -> None:
        self.entry("trial", "end")

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def keep(self, text: str) -> str:
        data = text.encode()
        digest = digest_of(data)
        self.payloads[digest] = data
        return digest

    def tool(
        self,
        name: str,
        arguments: object = "",
        result: str = "",
        *,
        takes: float = -1.0,
        scope: str = "",
        child: str = "",
        during: Callable[[], None] | None = None,
        handed: dict[str, int] | None = None,
        **attrs: Any,
    ) -> str:
        """A tool call; `takes` seconds, about as long as its name usually does unless said."""
        id = f"{self.name}/{next(self._ids)}"
        more: dict[str, Any] = {"child": child} if child else {}
        if handed is not None:
            more["handed"] = handed
        if asked_by := attrs.pop("asked_by", ""):
            more["asked_by"] = asked_by
        more["arguments"] = self.keep(str(arguments))
        more["estimate"] = {"calls": 1, "calls:tool": 1, "ms": 1, "bytes": 8}
        name = f"tool.{name}"
        self.entry("reserve", name, scope, id, decision="allow", **more)
        self.entry("start", name, scope, id)
        began = self.now
        self.now += self._takes(name, 0.2) if takes < 0 else takes
        if during is not None:
            during()
        attrs = {"outcome": "ok", "is_error": False} | attrs
        attrs["actual"] = {"calls": 1, "ms": 1}
        attrs["service_ns"] = round((self.now - began) * SECOND)
        self.entry("commit", name, scope, id, result=self.keep(result), **attrs)
        return id

    def model(
        self, *, scope: str = "", takes: float = -1.0, request: str = "", **attrs: Any
    ) -> str:
        """A turn of a model: each prompt is another, for it holds what came before."""
        id = f"{self.name}/{next(self._ids)}"
        self._said += 1
        prompt = self.keep(request or f"{self.name}, turn {self._said}")
        name = "llm.chat_completions"
        hold = {"usd_micro": 9000, "tokens": 3000, "calls": 1}
        asked = {"model": "small", "request": prompt, "estimate": hold}
        self.entry("reserve", name, scope, id, decision="allow", **asked)
        self.entry("start", name, scope, id)
        began = self.now
        self.now += self._takes(name, 1.2) if takes < 0 else takes
        rest = self.random
        usage = {"input": 200 + rest.randrange(400), "output": 20 + rest.randrange(80)}
        usage = attrs.pop("usage", usage)
        tokens = sum(usage.values())
        attrs = {"outcome": "ok", "status": 200, "source": "measured"} | attrs
        attrs |= {"usage": usage, "response": self.keep(f"answer {id}")}
        attrs.setdefault("actual", {"usd_micro": 3 * tokens, "tokens": tokens, "calls": 1})
        attrs["service_ns"] = round((self.now - began) * SECOND)
        self.entry("commit", name, scope, id, **attrs)
        return id

    def denied(self, name: str, arguments: str) -> str:
        id = f"{self.name}/{next(self._ids)}"
        digest = self.keep(arguments)
        refused = {"decision": "deny", "code": "budget_exceeded", "arguments": digest}
        self.entry("reserve", f"tool.{name}", "", id, **refused)
        return id

    def _takes(self, name: str, around: float) -> float:
        """Seconds, log-normal around what this name takes in this trial."""
        usual = self._usual.setdefault(name, around * self.random.uniform(0.7, 1.4))
        return usual * self.random.lognormvariate(0, 0.35)

    def entry(self, kind: Kind, name: str, scope: str = "", id: str = "", **attrs: Any) -> None:
        t = round(self.now * SECOND)
        scope = scope or self.scope
        self.entries.append(Entry(0, t, kind, name, self.name, "acme", scope, id, attrs))


def mixed(trial: Trial, steps: int = 12) -> None:
    """Ordinary work: turns and calls with results of their own."""
    for step in range(steps):
        trial.model()
        trial.tool(trial.random.choice(["search", "fetch", "note"]), step, f"found {step}")


# Right runs


def polling(trial: Trial) -> None:
    """Asks for a job until it is done, with pauses, in code; then once per turn of the model."""
    trial.model()
    for _ in range(trial.random.randrange(15, 45)):
        trial.tool("status", "job 7", "pending", takes=0.01)
        trial.wait(trial.random.uniform(0.1, 2.0))
    trial.tool("status", "job 7", "done")
    for done in range(20):
        trial.model()
        trial.tool("progress", "job 8", f"{done * 5} %")


def sleeping(trial: Trial) -> None:
    """The model itself waits between two looks."""
    for _ in range(trial.random.randrange(8, 25)):
        trial.model()
        trial.tool("status", "job 7", "pending", takes=0.01)
        trial.model()
        trial.tool("sleep", "5", "ok", takes=5.0)


def pagination(trial: Trial) -> None:
    """Page after page; the last are empty once. Then by a cursor on the other side."""
    for page in range(trial.random.randrange(10, 40)):
        trial.model()
        trial.tool("list", f"page {page}", f"rows of {page}")
    trial.tool("list", "page 99", "[]")
    for page in range(trial.random.randrange(10, 60)):
        trial.tool("next_page", "", f"more rows {page}")


def batch(trial: Trial) -> None:
    """Many writes, each answered ok or by nothing at all: in code, then by turns of a model; and
    checks that find nothing wrong."""
    for row in range(trial.random.randrange(100, 400)):
        trial.tool("insert", f"row {row}", "ok", takes=0.004)
    for row in range(trial.random.randrange(20, 40)):
        trial.model()
        trial.tool("update", f"row {row}", "ok")
    for row in range(trial.random.randrange(20, 40)):
        trial.model()
        trial.tool("delete", f"row {row}", "null")
    for row in range(trial.random.randrange(20, 40)):
        trial.model()
        trial.tool("validate", f"row {row}", "[]")


def rounds(trial: Trial) -> None:
    """For each file the same three tools, and the same answers."""
    for file in range(trial.random.randrange(15, 40)):
        for name in ("read", "lint", "save"):
            trial.tool(name, f"file {file}", "ok")


def retries(trial: Trial) -> None:
    """Failures that pass: a service without room, an error tried again with pauses, a wrong call
    that is put right."""
    mixed(trial, 3)
    for wait in (1, 2, 4, 8, 16):
        trial.tool("pay", "7", "no room", outcome="fail", status=503, infra=True)
        trial.wait(wait)
    trial.tool("pay", "7", "paid")
    for _ in range(trial.random.randrange(2, 6)):
        trial.model()
        trial.tool("query", "7", "timeout", is_error=True)
        trial.wait(1)
    for guess in range(5):
        trial.model()
        trial.tool("query", f"guess {guess}", "no such column", is_error=guess < 4)


def lookups(trial: Trial) -> None:
    """Most of what is looked up is not there: in code, and then a few by the model."""
    for key in range(trial.random.randrange(50, 200)):
        trial.tool("lookup", f"key {key}", "null" if trial.random.random() < 0.9 else f"v{key}")
    for word in range(6):
        trial.model()
        trial.tool("search", f"word {word}", "no results found")
    mixed(trial, 2)


def long_calls(trial: Trial) -> None:
    """A call that waits by itself, again and again."""
    for _ in range(trial.random.randrange(10, 40)):
        trial.model()
        trial.tool("wait_for_job", "7", "still running", takes=30.0)
    trial.tool("wait_for_job", "7", "done", takes=3.0)


def cached(trial: Trial) -> None:
    """Most answers come at once, out of a cache, some of them at the second time."""
    for turn in range(80):
        again = turn > 40 and trial.random.random() < 0.5
        word = trial.random.randrange(20) if again else turn
        hit = again or trial.random.random() < 0.1
        trial.tool("search", f"word {word}", f"found {word}", takes=0.0004 if hit else -1.0)
        trial.model(takes=0.002 if hit else -1.0, request=f"prompt {word}" if again else "")


def parallel(trial: Trial) -> None:
    """Several equal calls in one turn, twice the same test, and the same look now and then."""
    for turn in range(10):
        asked = trial.model()
        for _ in range(6):
            trial.tool("roll", "d6", "4", asked_by=asked)
        for test in range(2):
            trial.model()
            trial.tool("test", "", f"{turn} failures")
            trial.tool("read", "notes", "the same notes")
            trial.tool("edit", f"{turn}.{test}", "ok")


def bursts(trial: Trial) -> None:
    """Slow thinking for minutes, then a batch in code for half a minute, then thinking again."""
    mixed(trial, 100)
    for row in range(1500):
        trial.tool("insert", f"row {row}", f"{row}", takes=0.02)
    mixed(trial, 60)


def growing(trial: Trial) -> None:
    """A conversation that grows: each prompt is longer, most of it cached."""
    for turn in range(120):
        usage = {"input": 500 + 1000 * turn, "output": 200, "cache_read": 900 * turn}
        trial.model(usage=usage)
        trial.tool("edit", turn, f"edited {turn}")


def children(trial: Trial) -> None:
    """Work is handed to child scopes, some of it to many; each ends before the hand-off does."""
    for number in range(trial.random.randrange(2, 9)):
        child = f"{trial.scope}/helper{number}"

        def works(child: str = child) -> None:
            for turn in range(trial.random.randrange(1, 8)):
                trial.model(scope=child)
                trial.tool("search", turn, f"found {turn}", scope=child)

        trial.model()
        named = child if number % 2 else ""
        handed = {"usd_micro": 100_000} if named else None
        ask = f"ask helper{number}"
        trial.tool("delegate", ask, f"{number}", child=named, during=works, handed=handed)
    spawned = f"{trial.scope}/later"
    trial.tool("spawn", "later", "started", child=spawned)
    mixed(trial, 2)
    for _ in range(6):
        trial.model(scope=spawned)


RIGHT: dict[str, Shape] = {
    shape.__name__: shape
    for shape in (
        *(mixed, polling, sleeping, pagination, batch, rounds, retries, lookups, long_calls),
        *(cached, parallel, bursts, growing, children),
    )
}


# Bad runs: the kind of the finding by name


def repeat(trial: Trial) -> None:
    mixed(trial)
    for _ in range(trial.random.randrange(8, 40)):
        trial.model()
        trial.bad.append(trial.tool("search", "the same", "the same page"))
    mixed(trial, 2)


def hammering(trial: Trial) -> None:
    """It asks again for what was denied."""
    mixed(trial)
    for _ in range(12):
        trial.model()
        trial.bad.append(trial.denied("pay", "7"))


def ping_pong(trial: Trial) -> None:
    mixed(trial)
    steps = [("open", "door", "opened"), ("close", "door", "closed"), ("look", "", "a door")]
    steps = steps[: trial.random.choice([2, 3])]
    for _ in range(trial.random.randrange(8, 30)):
        for name, arguments, result in steps:
            trial.model()
            trial.bad.append(trial.tool(name, arguments, result))


def no_progress(trial: Trial) -> None:
    """Other words each time, and never anything; or an error that stays the same."""
    mixed(trial)
    failing = trial.random.random() < 0.5
    for word in range(trial.random.randrange(17, 40)):
        trial.model()
        result = "not allowed" if failing else '{"results": [], "total": 0}'
        trial.bad.append(trial.tool("search", f"word {word}", result, is_error=failing))
    mixed(trial, 2)


def renamed(trial: Trial) -> None:
    """Only the names differ."""
    for number in range(20):
        trial.model()
        trial.bad.append(trial.tool(f"search_{number}", "the same", "unknown tool"))


def retry(trial: Trial) -> None:
    """Tried all night, with pauses."""
    for _ in range(23):
        trial.model()
        trial.bad.append(trial.tool("deploy", "7", "port in use", is_error=True))
        trial.wait(60)


def endless_polling(trial: Trial) -> None:
    for turn in range(300):
        trial.model()
        trial.bad.append(trial.tool("clock", "", f"now {turn}"))


def calls_flood(trial: Trial) -> None:
    mixed(trial, 100)
    for call in range(3000):
        trial.bad.append(trial.tool("ping", call, f"pong {call}", takes=0.05))


def tokens_flood(trial: Trial) -> None:
    mixed(trial, 100)
    for _ in range(60):
        trial.bad.append(trial.model(usage={"input": 190_000, "output": 40}, takes=2.0))


def free_commit(trial: Trial) -> None:
    mixed(trial, 150)
    usage: dict[str, int] = {}
    trial.bad.append(trial.model(usage=usage, actual={"usd_micro": 0, "tokens": 0}))


def free_of_money(trial: Trial) -> None:
    mixed(trial, 150)
    trial.bad.append(trial.model(actual={"usd_micro": 0, "tokens": 500}))


def too_fast(trial: Trial) -> None:
    for call in range(100):
        trial.tool("pay", call, f"paid {call}")
    trial.bad.append(trial.tool("pay", "the one", "paid", takes=0.0002))


def too_fast_model(trial: Trial) -> None:
    mixed(trial, 100)
    trial.bad.append(trial.model(usage={"input": 900, "output": 900}, takes=0.001))


def fan_out_explosion(trial: Trial) -> None:
    for number in range(1200):
        trial.bad.append(trial.model(scope=f"{trial.scope}/child{number}"))


def deep_nesting(trial: Trial) -> None:
    scope = trial.scope
    for _ in range(12):
        scope += "/child"
        trial.bad.append(trial.model(scope=scope))


def hand_off_lost(trial: Trial) -> None:
    children(trial)
    trial.bad.append(trial.tool("delegate", "x", "done", child=f"{trial.scope}/nobody"))


def child_never_ended(trial: Trial) -> None:
    child = f"{trial.scope}/helper"

    def works() -> None:
        trial.model(scope=child)
        trial.entry("start", "tool.dig", child, "dug", arguments="x")

    trial.bad += [trial.tool("delegate", "helper", "done", child=child, during=works), "dug"]


def child_ran_on(trial: Trial) -> None:
    child = f"{trial.scope}/helper"

    def works() -> None:
        for _ in range(4):
            trial.model(scope=child)

    named = trial.random.random() < 0.5
    hand_off = trial.tool("delegate", "ask helper", "done", child=child * named, during=works)
    mixed(trial, 2)
    trial.bad += [hand_off, trial.model(scope=child)]
    trial.model(scope=child)


def hand_off_overspent(trial: Trial) -> None:
    child = f"{trial.scope}/helper"

    def works() -> None:
        for _ in range(4):
            trial.model(scope=f"{child}/deeper")
        trial.bad.append(trial.model(scope=child))

    handed = {"usd_micro": 1000}
    trial.bad.append(trial.tool("delegate", "x", "y", child=child, during=works, handed=handed))


# shape -> checker, kind
BAD: dict[Shape, tuple[str, str]] = {
    repeat: ("runaway_loop", "repeat"),
    hammering: ("runaway_loop", "repeat"),
    ping_pong: ("runaway_loop", "ping_pong"),
    no_progress: ("runaway_loop", "no_progress"),
    renamed: ("runaway_loop", "no_progress"),
    retry: ("runaway_loop", "retry"),
    endless_polling: ("runaway_loop", "polling"),
    calls_flood: ("call_flood", "calls_flood"),
    tokens_flood: ("call_flood", "tokens_flood"),
    free_commit: ("free_commit", "free_commit"),
    free_of_money: ("free_commit", "free_commit"),
    too_fast: ("free_commit", "too_fast"),
    too_fast_model: ("free_commit", "too_fast"),
    fan_out_explosion: ("fan_out", "fan_out_explosion"),
    deep_nesting: ("fan_out", "deep_nesting"),
    hand_off_lost: ("hand_off", "hand_off_lost"),
    child_never_ended: ("hand_off", "child_never_ended"),
    child_ran_on: ("hand_off", "child_ran_on"),
    hand_off_overspent: ("hand_off", "hand_off_overspent"),
}


def run_of(seed: int, shapes: Iterable[Shape]) -> list[Trial]:
    """A run: each shape a trial of its own, all at once."""
    trials = []
    for number, shape in enumerate(shapes):
        trial = Trial(seed, number, begin=number * 0.1)
        shape(trial)
        trial.end()
        trials.append(trial)
    return trials


def judged(trials: Sequence[Trial], signature: Signature | None = None) -> dict[str, Checked]:
    """What each checker of any run comes to, by name."""
    payloads = {digest: data for trial in trials for digest, data in trial.payloads.items()}
    judge = Judge(payloads.get, signature=signature)
    entries = [entry for trial in trials for entry in trial.entries]
    for entry in sorted(entries, key=lambda entry: entry.t):
        judge.step(entry)
    [only] = judge.result()
    return {one.checker: one for one in only.checked}
