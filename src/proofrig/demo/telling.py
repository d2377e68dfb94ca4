"""What happens in a run, one line for each thing that matters, as it happens.

Rules:
1. A line is made from an entry of the history and the payloads it names, and from nothing else.
2. What one turn of a model asked for is told together, in the model's order, when it has all come.
   `quiet` leaves out what was simply let in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from proofrig.history.action import Entry
from proofrig.reports.words import clean, duration, money

Mark = Literal["ok", "deny", "ask", "cap", "warn", "stop", "done"]
Payload = Callable[[str], Any]

_LONGEST, _MOST = 40, 2  # characters of an argument that is shown, and how many are
_AT_ONCE_NS = 20_000_000  # a refusal so soon after a step of the watch is that step
_FOLLOWS = {
    "warn": "the agent reads a warning",
    "deny": "the call is refused",
    "stop": "the run is over",
}


class Line(msgspec.Struct, frozen=True):
    """One line. t: nanoseconds since the run asked for its first action."""

    t: int
    mark: Mark
    text: str


class Teller:
    """Tells a run. payload: a payload by its digest, as JSON. named: whose line it is stands before
    it. quiet: only what was not simply let in."""

    def __init__(self, payload: Payload, *, named: bool = False, quiet: bool = False) -> None:
        self._payload = payload
        self._named = named
        self._quiet = quiet
        self._names: dict[str, str] = {}  # of asked actions, with their arguments
        self._batches: dict[str, list[Entry]] = {}  # by trial
        self._counts: dict[tuple[str, str], int] = {}  # calls told, by trial and name
        self._began = -1
        self._watched = -_AT_ONCE_NS

    def told(self, entry: Entry) -> list[Line]:
        """The lines that an entry adds."""
        lines = []
        if entry.kind == "reserve":
            self._began = entry.t if self._began < 0 else self._began
            lines = self._asked(entry)
        elif entry.kind == "note" and entry.name == "approval":
            waited = duration(entry.attrs["waited_ns"])
            said = {"approve": "approved", "refuse": "refused"}.get(entry.attrs["answer"], "nobody")
            mark: Mark = "ok" if said == "approved" else "deny"
            what = self._names.get(entry.id, entry.name)
            lines = [self._line(entry, mark, f"{what}: {said} after {waited}")]
        elif entry.kind == "note" and entry.name == "anomaly":
            step, count = entry.attrs["step"], entry.attrs["count"]
            saw = f"watch: {entry.attrs['kind'].replace('_', ' ')}, {count} in a row"
            lines = [self._line(entry, step, f"{saw}; {_FOLLOWS[step]}")]
            self._watched = entry.t
        elif entry.kind == "trial" and entry.name == "end":
            answer = self._payload(entry.attrs.get("answer", "")) or entry.attrs.get("error", "")
            said = answer if isinstance(answer, str) else msgspec.json.encode(answer).decode()
            lines = self._batch(entry.trial)
            lines.append(self._line(entry, "done", f'"{clean(said)}"'))
        return lines

    def _asked(self, entry: Entry) -> list[Line]:
        attrs, decision = entry.attrs, entry.attrs.get("decision", "allow")
        model = entry.name.startswith("llm.")
        what = "model call" if model else call_text(entry, self._payload)
        self._names[entry.id] = what
        turn = attrs.get("asked_by", "")
        batch = self._batches.get(entry.trial, [])
        if turn and decision in ("allow", "deny"):  # the turn's other calls may still come
            lines = self._batch(entry.trial) if batch and batch[0].attrs["asked_by"] != turn else []
            self._batches.setdefault(entry.trial, []).append(entry)
            return lines
        lines = self._batch(entry.trial)
        if decision == "deny":
            if entry.t - self._watched >= _AT_ONCE_NS:
                lines.append(self._line(entry, "deny", f"{what}: {why(attrs)}"))
        elif decision == "ask":
            lines.append(self._line(entry, "ask", f"{what}: {attrs.get('rule')}"))
        elif decision == "cap":
            said = f"{attrs.get('max_tokens')} tokens at most, what the budget still buys"
            lines.append(self._line(entry, "cap", f"{what}: {said}"))
        elif not model and not self._quiet:
            lines.append(self._line(entry, "ok", what))
        if "tools" in attrs.get("amended", ()):
            lines.append(self._line(entry, "cap", "the model is no longer offered the tool"))
        return lines

    def _batch(self, trial: str) -> list[Line]:
        """The calls of a trial's last turn, in the order in which the model asked for them."""
        asked = sorted(self._batches.pop(trial, []), key=lambda one: str(one.attrs.get("call_id")))
        lines = []
        for name in dict.fromkeys(entry.name for entry in asked):
            same = [entry for entry in asked if entry.name == name]
            first = self._counts.get((trial, name), 0) + 1
            self._counts[trial, name] = first + len(same) - 1
            numbers = {entry.id: number for number, entry in enumerate(same, first)}
            let_in = [entry for entry in same if entry.attrs["decision"] == "allow"]
            if let_in and not self._quiet:
                lines.append(self._line(let_in[-1], "ok", self._several(let_in, numbers)))
            for entry in same:
                if entry.attrs["decision"] == "deny":
                    what = self._several([entry], numbers)
                    lines.append(self._line(entry, "deny", f"{what}: {why(entry.attrs)}"))
        return lines

    def _several(self, entries: list[Entry], numbers: dict[str, int]) -> str:
        """Calls by their numbers, where a turn asked for several; else the one with its
        arguments."""
        if len(numbers) == 1:
            return self._names[entries[0].id]
        tool, first = entries[0].name.removeprefix("tool."), numbers[entries[0].id]
        if len(entries) == 1:
            return f"{tool}, call {first}"
        return f"{tool}, calls {first} to {numbers[entries[-1].id]}"

    def _line(self, entry: Entry, mark: Mark, text: str) -> Line:
        agent = entry.scope.split("/")[2] if self._named and entry.scope.count("/") >= 2 else ""
        since = max(0, entry.t - self._began)
        return Line(since, mark, f"{agent}  {text}" if agent else text)


def call_text(entry: Entry, payload: Payload) -> str:
    """`refund(amount=40, order=1001)`: a call with its first short arguments."""
    name = entry.name.removeprefix("tool.")
    arguments = payload(entry.attrs.get("arguments", ""))
    if not isinstance(arguments, dict):
        return f"{name}()"
    said = [(key, str(value)) for key, value in arguments.items()]
    short = [(key, value) for key, value in said if len(value) <= _LONGEST][:_MOST]
    if len(short) == 1:
        return f"{name}({clean(short[0][1])})"
    shown = ", ".join(f"{key}={value}" for key, value in short) or ("..." if said else "")
    return f"{name}({clean(shown)})"


def why(attrs: Mapping[str, Any]) -> str:
    """Why something was refused: the rule, or the code and what remains."""
    if attrs.get("rule"):
        return str(attrs["rule"])
    left = remaining(attrs.get("remaining"))
    return f"{attrs.get('code')}, {left} left" if left else str(attrs.get("code"))


def remaining(amounts: Mapping[str, int] | None) -> str:
    """`$0.0167`, `0 calls:tool.search`; "" for nothing said."""
    return ", ".join(amount(unit, value) for unit, value in sorted((amounts or {}).items()))


def amount(unit: str, value: int) -> str:
    """An amount as people read it."""
    base, _, window = unit.partition("/")
    per = f" a {window}" if window else ""
    return f"{money(value)}{per}" if base == "usd_micro" else f"{value:,} {unit}"
