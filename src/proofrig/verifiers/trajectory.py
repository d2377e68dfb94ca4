"""`trajectory`: the tool calls an agent made, against the calls that are listed.

Rules:
1. `strict`: the same calls in the same order. `unordered`: the same calls in any order.
   `superset`: every listed call was made, others may be. `subset`: no call but listed ones.
   Each listed call stands for one made call.
2. Arguments: `exact` the same; `subset` every listed argument was passed with its value, further
   ones are free; `ignore` any. A call without a listed argument never meets it.
3. 1 is 1.0, key order is free; arguments that are not JSON meet only `ignore`.
4. A call that failed and was repeated unchanged counts once: a retry is not another step.
5. Calls to tools under `ignore` are left out, so that harmless reads stay free.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from proofrig.verifiers._values import assign, covers, same, same_tool, show
from proofrig.verifiers.verifier import Evidence, Verdict, Verifier
from proofrig.wire.trajectory import Call
from proofrig.wire.turn import ToolCall

Arguments = Literal["exact", "ignore", "subset"]


class ListedCall(BaseModel):
    """A call that the reference holds. `match` overrides how its arguments are compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    arguments: dict[str, Any] = {}
    match: Arguments | None = None


class ToolRule(BaseModel):
    """How one tool's arguments are compared. `keys`: only these arguments count."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arguments: Arguments | None = None
    keys: tuple[str, ...] = ()


class TrajectoryMatch(Verifier):
    """The made calls meet `calls` in the way of `mode`."""

    type: Literal["trajectory"] = "trajectory"
    mode: Literal["strict", "unordered", "subset", "superset"] = "strict"
    arguments: Arguments = "exact"
    calls: tuple[ListedCall, ...]
    tools: dict[str, ToolRule] = Field(default_factory=dict)
    ignore: tuple[str, ...] = ()

    def needs(self) -> frozenset[str]:
        return frozenset({"trajectory"})

    def verify(self, evidence: Evidence) -> Verdict:
        made = [
            call
            for call in _without_retries(evidence.trajectory.calls)
            if not any(fnmatchcase(call.name, pattern) for pattern in self.ignore)
        ]
        why = self._in_order(made) if self.mode == "strict" else self._as_sets(made)
        listed = ", ".join(_line(call.name, show(call.arguments)) for call in self.calls)
        got = ", ".join(_line(call.name, call.arguments) for call in made)
        return self.verdict(not why, expected=f"{self.mode} [{listed}]", got=f"[{got}]", why=why)

    def _in_order(self, made: Sequence[Call]) -> str:
        for place, (wanted, call) in enumerate(zip(self.calls, made, strict=False), start=1):
            if not self._fits(wanted, call):
                got = _line(call.name, call.arguments)
                return f"call {place} is {got}, not {_line(wanted.name, show(wanted.arguments))}"
        if len(made) != len(self.calls):
            return f"{len(made)} calls, not {len(self.calls)}"
        return ""

    def _as_sets(self, made: Sequence[Call]) -> str:
        missing, extra = assign(self.calls, made, self._fits)
        lacks = [_line(self.calls[i].name, show(self.calls[i].arguments)) for i in missing]
        more = [_line(made[i].name, made[i].arguments) for i in extra]
        whys = [
            f"missing: {', '.join(lacks)}" if lacks and self.mode != "subset" else "",
            f"not listed: {', '.join(more)}" if more and self.mode != "superset" else "",
        ]
        return "; ".join(filter(None, whys))

    def _fits(self, wanted: ListedCall, call: Call) -> bool:
        if not same_tool(call.name, wanted.name):
            return False
        rule = self.tools.get(wanted.name, ToolRule())
        match = wanted.match or rule.arguments or self.arguments
        if match == "ignore":
            return True
        passed, listed = _parsed(call), wanted.arguments
        if not isinstance(passed, dict):
            return False
        if rule.keys:
            passed = {key: passed[key] for key in rule.keys if key in passed}
            listed = {key: listed[key] for key in rule.keys if key in listed}
        return same(listed, passed) if match == "exact" else covers(listed, passed)


def _without_retries(calls: Sequence[Call]) -> list[Call]:
    """The calls without those that failed and came again unchanged."""
    kept: list[Call] = []
    for place, call in enumerate(calls):
        later = calls[place + 1 :] if call.is_error else ()
        if not any(one.name == call.name and same(_parsed(one), _parsed(call)) for one in later):
            kept.append(call)
    return kept


def _parsed(call: Call) -> Any:
    """The arguments as a value; None when they are not JSON (or not even text)."""
    try:
        return ToolCall(id="", name=call.name, arguments=call.arguments).parsed()
    except (UnicodeEncodeError, RecursionError):
        return None


def _line(name: str, arguments: str) -> str:
    return f"{name}({'' if arguments in ('', '{}') else arguments})"
