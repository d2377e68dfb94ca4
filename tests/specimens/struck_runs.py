"""Seeded runs in which faults strike, of which we know how their agents took it.

    RIGHT["looks_first"](StruckTrial(7))     sees to it that nothing is done twice
    BAD[acts_again](StruckTrial(7))          does it again

Rules:
1. All chance comes from the trial's seed; no clock is read.
2. `refund` and `send` change something, `search` only reads, of `book` nobody says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from proofrig.checkers.checker import Checked, Setting
from proofrig.checkers.injected import declared_of
from proofrig.checkers.judge import Judge
from specimens.plain_runs import Trial

CITIES = (
    "The three biggest cities are Berlin with 3.7 million, Hamburg with 1.9 million and Munich "
    "with 1.5 million inhabitants."
)
DECLARED = (
    {"kind": "reset", "name": "lost-answers", "on": {"tool": ["refund", "send"]}},
    {"kind": "drop_terminal", "probability": 0.2},
    {"kind": "partial_response", "on": {"at": "tool"}},
    {"kind": "latency", "when": {"after_s": 1}},
    {"kind": "rate_limit", "on": {"at": "llm"}},
)
NUMBERS = {one["kind"]: number for number, one in enumerate(DECLARED)}
TITLES = {"reset": "lost-answers"}
CHANGES = {"tool.refund": True, "tool.send": True, "tool.search": False}


class StruckTrial(Trial):
    """A trial whose calls faults may strike, and that ends with an answer."""

    answer = "done"

    def struck(self, kind: str, name: str, reserve: dict[str, Any], **commit: Any) -> str:
        """An action that a fault of this kind strikes while it goes on."""
        id = f"{self.name}/{next(self._ids)}"
        self.entry("reserve", name, "", id, decision="allow", estimate={"calls": 1}, **reserve)
        self.entry("start", name, "", id)
        self.wait(self.random.uniform(0.05, 0.5))
        title = TITLES.get(kind, kind)
        attrs = {"fault": title, "number": NUMBERS[kind], "at": name[:4].strip(".m"), "nth": 1}
        self.entry("fault", kind, "", id, **attrs)
        self.wait(self.random.uniform(0.05, 0.5))
        told = {"outcome": "ok", "struck": [title], "actual": {"calls": 1, "ms": 1}} | commit
        self.entry("commit", name, "", id, **told)
        return id

    def hidden(self, name: str, arguments: Any, **commit: Any) -> str:
        """A tool that was carried out, and its answer lost."""
        asked = {"arguments": self.keep(json.dumps(arguments))}
        return self.struck("reset", f"tool.{name}", asked, **({"undelivered": True} | commit))

    def call(self, name: str, arguments: Any, result: str = "ok", **commit: Any) -> str:
        return self.tool(name, json.dumps(arguments), json.dumps(result), **commit)

    def turn(self, text: str) -> str:
        """A whole turn that says this."""
        id = self.model()
        turn = self.keep(json.dumps({"api": "messages", "text": text}))
        self.entries[-1].attrs["response"] = turn
        return id

    def cut_turn(self, text: str, kind: str = "drop_terminal", **commit: Any) -> str:
        turn = self.keep(json.dumps({"api": "messages", "text": text}))
        asked = {"model": "small", "request": self.keep(f"{self.name} {self.now}")}
        told = {"response": turn, "complete": False, "outcome": "fail", "status": 200} | commit
        return self.struck(kind, "llm.messages", asked, **told)

    def cut_result(self, name: str, text: str) -> str:
        """A tool's result of which only this came."""
        asked = {"arguments": self.keep("{}")}
        told = {"result": self.keep(json.dumps(text)), "undelivered": True}
        return self.struck("partial_response", f"tool.{name}", asked, **told)

    def end(self) -> None:
        self.entry("trial", "end", answer=self.keep(self.answer))


Struck = Callable[[StruckTrial], None]


def order(trial: StruckTrial) -> dict[str, int]:
    return {"order": trial.random.randrange(1000), "cents": trial.random.randrange(5000)}


# Right agents


def looks_first(trial: StruckTrial) -> None:
    """After a lost answer it looks whether the refund is there."""
    what = order(trial)
    trial.hidden("refund", what)
    trial.model()
    trial.call("search", what, "refunded")
    trial.answer = "Your refund is on its way."


def same_key(trial: StruckTrial) -> None:
    what = order(trial) | {"idempotency_key": "k1"}
    trial.hidden("refund", what)
    trial.call("refund", what)


def never_reached(trial: StruckTrial) -> None:
    """The fault answered in the tool's place: trying again is right."""
    what = order(trial)
    trial.hidden("refund", what, outcome="fail", executed=False, undelivered=False)
    trial.call("refund", what)


def reads_again(trial: StruckTrial) -> None:
    what = {"q": "orders"}
    for _ in range(trial.random.randrange(1, 4)):
        trial.hidden("search", what)
    trial.call("search", what, "7 orders")


def unknown_tool_again(trial: StruckTrial) -> None:
    """Nobody says what `book` does, so nothing can be said of it."""
    what = order(trial)
    trial.hidden("book", what)
    trial.call("book", what)


def other_arguments(trial: StruckTrial) -> None:
    trial.hidden("refund", {"order": 1})
    trial.call("refund", {"order": 2})
    trial.call("refund", {"order": 3})


def asked_at_once(trial: StruckTrial) -> None:
    """Two equal calls that were on their way before the fault struck."""
    what = trial.keep(json.dumps(order(trial)))
    ids = [f"{trial.name}/{next(trial._ids)}" for _ in range(2)]
    for id in ids:
        trial.entry("reserve", "tool.send", "", id, decision="allow", arguments=what)
        trial.entry("start", "tool.send", "", id)
    trial.wait(0.3)
    attrs = {"fault": "lost-answers", "number": 0, "at": "tool", "nth": 1}
    trial.entry("fault", "reset", "", ids[0], **attrs)
    trial.entry("commit", "tool.send", "", ids[0], outcome="ok", undelivered=True)
    trial.entry("commit", "tool.send", "", ids[1], outcome="ok")


def twice_without_a_fault(trial: StruckTrial) -> None:
    """Two equal refunds that were meant, of which no fault hid any."""
    what = order(trial)
    trial.call("refund", what)
    trial.call("refund", what)


def asks_again(trial: StruckTrial) -> None:
    trial.cut_turn(CITIES[: trial.random.randrange(30, 90)])
    trial.turn(CITIES)
    trial.answer = CITIES


def terminal_event_only(trial: StruckTrial) -> None:
    """All of the text had come; it asked again all the same."""
    trial.cut_turn(CITIES)
    trial.turn(CITIES)
    trial.answer = CITIES


def says_so(trial: StruckTrial) -> None:
    part = CITIES[: trial.random.randrange(30, 90)]
    trial.cut_turn(part)
    trial.answer = f"The answer broke off, so this is incomplete: {part}"


def gives_up(trial: StruckTrial) -> None:
    trial.cut_turn(CITIES[:60])
    trial.answer = "I could not get the list of cities, sorry."


def uses_a_part(trial: StruckTrial) -> None:
    """A cut result goes into a turn, and the turn is the answer."""
    trial.cut_result("read", CITIES[:60])
    trial.turn("The page names Berlin first; the rest of it did not come through.")
    trial.answer = "The page names Berlin first; the rest of it did not come through."


def only_late(trial: StruckTrial) -> None:
    trial.cut_turn(CITIES, "latency", complete=True, outcome="ok")
    trial.answer = CITIES


RIGHT: dict[str, Struck] = {
    shape.__name__: shape
    for shape in (
        *(looks_first, same_key, never_reached, reads_again, unknown_tool_again),
        *(other_arguments, asked_at_once, twice_without_a_fault, asks_again),
        *(terminal_event_only, says_so, gives_up, uses_a_part, only_late),
    )
}


# Wrong agents: the checker and the kind of the finding


def acts_again(trial: StruckTrial) -> None:
    what = order(trial)
    trial.bad.append(trial.hidden("refund", what))
    trial.bad.append(trial.call("refund", what))


def acts_again_later(trial: StruckTrial) -> None:
    """Other work lies between, and the keys of the arguments come in another order."""
    what = order(trial)
    trial.bad.append(trial.hidden("send", what, outcome="ok", is_error=True))
    trial.model()
    trial.call("search", what)
    trial.bad.append(trial.call("send", dict(reversed(what.items()))))


def new_key(trial: StruckTrial) -> None:
    """An idempotency key that is made anew protects nothing."""
    what = order(trial)
    trial.bad.append(trial.hidden("refund", what | {"idempotency_key": "a"}))
    trial.bad.append(trial.call("refund", what | {"idempotency_key": "b"}))


def answers_with_a_part(trial: StruckTrial) -> None:
    part = CITIES[: trial.random.randrange(30, 90)]
    trial.bad.append(trial.cut_turn(part))
    trial.answer = part


def answers_with_a_whole_looking_part(trial: StruckTrial) -> None:
    part = CITIES[: trial.random.randrange(30, 90)]
    trial.bad.append(trial.cut_turn(part, "partial_response", complete=True, outcome="ok"))
    trial.answer = f"Here they are.\n\n{part}"


def quotes_a_cut_result(trial: StruckTrial) -> None:
    part = CITIES[:70]
    trial.bad.append(trial.cut_result("read", part))
    trial.turn("I read the page.")
    trial.answer = f"The page says: {part}"


BAD: dict[Struck, tuple[str, str]] = {
    **dict.fromkeys(
        (acts_again, acts_again_later, new_key), ("duplicate_effects", "duplicate_effect")
    ),
    **dict.fromkeys(
        (answers_with_a_part, answers_with_a_whole_looking_part, quotes_a_cut_result),
        ("partial_as_complete", "partial_as_complete"),
    ),
}


def run_of(seed: int, shapes: Iterable[Struck]) -> list[StruckTrial]:
    """A run: each shape a trial of its own, all at once."""
    trials = []
    for number, shape in enumerate(shapes):
        trial = StruckTrial(seed, number, begin=number * 0.1)
        shape(trial)
        trial.end()
        trials.append(trial)
    return trials


def judged(trials: Sequence[StruckTrial], faults: Sequence[Any] = DECLARED) -> dict[str, Checked]:
    """What each checker of any run comes to, by name."""
    payloads = {digest: data for trial in trials for digest, data in trial.payloads.items()}
    known = Setting(faults=declared_of(faults), changes=CHANGES.get)
    judge = Judge(payloads.get, known=known)
    entries = [entry for trial in trials for entry in trial.entries]
    for entry in sorted(entries, key=lambda entry: entry.t):
        judge.step(entry)
    [only] = judge.result()
    return {one.checker: one for one in only.checked}
