"""What an agent did against what was rebuilt from its LLM traffic: two values in, differences out.

Rules:
1. Calls are compared in order, one by one: tool, call id, arguments as values. After the first
   call that is another one, nothing behind it means anything.
2. A result is compared where a later request carried it. Frameworks write it in their own way: as
   it is, as JSON, as a Python literal, a list as one text per line. Texts that have run together
   are a difference of their own. A failed call must carry the tool's own words, and an error flag
   where the API has one.
3. The final answer is the text of the last turn, and what proofrig wrote down as the answer.
"""

from __future__ import annotations

import ast
import json
from typing import Any, Literal

import msgspec

from proofrig.wire.trajectory import Call, Trajectory

Kind = Literal[
    "trial", "calls", "arguments", "result", "run together", "error flag", "not carried", "answer"
]


class Did(msgspec.Struct, frozen=True):
    """One tool call as the agent carried it out. `error`: the tool's words when it failed."""

    name: str
    call_id: str = ""
    arguments: dict[str, Any] = {}
    result: Any = None
    error: str = ""


class Truth(msgspec.Struct, frozen=True):
    """What the agent wrote down about itself."""

    calls: tuple[Did, ...] = ()
    answer: str = ""
    version: str = ""


class Difference(msgspec.Struct, frozen=True):
    """Where truth and traffic part; `at` says which call."""

    kind: Kind
    at: str = ""
    did: Any = None
    told: Any = None

    def __str__(self) -> str:
        return f"{self.kind} {self.at}: did {_short(self.did)}, told {_short(self.told)}"


def compare(truth: Truth, told: Trajectory, reply: str) -> list[Difference]:
    """All differences, the first first. `reply` is the answer that proofrig wrote down."""
    found: list[Difference] = []
    for place, (did, call) in enumerate(zip(truth.calls, told.calls, strict=False)):
        at = f"{place + 1} ({did.name})"
        if (did.name, did.call_id or call.call_id) != (call.name, call.call_id):
            ours, theirs = f"{did.name} {did.call_id}", f"{call.name} {call.call_id}"
            found.append(Difference("calls", at, ours, theirs))
            break
        found += _compared(did, call, at)
    else:
        if len(truth.calls) != len(told.calls):
            at = str(min(len(truth.calls), len(told.calls)) + 1)
            found.append(Difference("calls", at, len(truth.calls), len(told.calls)))
    said = told.turns[-1].text if told.turns else ""
    found += [
        Difference("answer", where, truth.answer, got)
        for where, got in (("in the last turn", said), ("of the trial", reply))
        if got != truth.answer
    ]
    return found


def _compared(did: Did, call: Call, at: str) -> list[Difference]:
    """Arguments, result and error flag of one call."""
    found: list[Difference] = []
    arguments = parsed(call.arguments or "{}")
    if not same(did.arguments, arguments):
        found.append(Difference("arguments", at, did.arguments, arguments))
    if call.result is None:
        found.append(Difference("not carried", at, did.error or did.result, call.state))
        return found
    if not (did.error in call.result if did.error else carries(call.result, did.result)):
        kind: Kind = "run together" if _texts(did.result, "") == call.result else "result"
        found.append(Difference(kind, at, did.error or did.result, call.result))
    if call.is_error not in (None, bool(did.error)):
        found.append(Difference("error flag", at, bool(did.error), call.is_error))
    return found


def carries(text: str, value: Any) -> bool:
    """True when `text` is the value: itself, its JSON, a Python literal, or one text per line."""
    if isinstance(value, str):
        return text == value or same(parsed(text), value)
    if text == _texts(value, "\n"):
        return True
    try:
        return same(value, parsed(text)) or same(value, ast.literal_eval(text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False


def _texts(value: Any, between: str) -> str | None:
    """A list of several texts as one text; None for anything else."""
    several = isinstance(value, list) and len(value) > 1
    return between.join(value) if several and all(isinstance(v, str) for v in value) else None


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same JSON kind: `True` is not 1, but 2.0 is 2."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


class _NotJson:
    """Equal to nothing."""


def parsed(text: str) -> Any:
    """The JSON in `text`, or a value that equals nothing."""
    try:
        return json.loads(text)
    except ValueError:
        return _NotJson()


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=repr, ensure_ascii=False)
    return repr(text if len(text) <= 120 else f"{text[:119]}…")
