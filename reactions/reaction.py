"""What a client did about a fault: read from the gateway's history and from what its user sees, and
put in few words.

Rules:
1. Attempts are the requests equal to the first that was struck, counted at the gateway; a client's
   own count is not asked.
2. Waits are the gaps after attempts that failed, rounded down to classes: SDKs draw them at random.
3. A text that is not the model's, from a call that raised nothing, is silent: nothing but the text
   tells that something went wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import msgspec

from proofrig.gateways.retries import canonical_digest
from proofrig.history.action import Action
from reactions.catalogue import Row
from reactions.columns import Column
from reactions.model import ARGUMENTS, TEXT
from reactions.workers import Told

Ended = Literal["returned", "raised", "waits", "sleeps", "busy", "killed"]
Text = Literal["", "right", "longer", "partial", "none", "other"]
Tool = Literal["", "right", "cut", "never", "twice"]
TOOL_TEXT = "refunded ORD-7, refunded ORD-8"
_CLASSES = (0.0, 0.1, 0.5, 1.0, 4.0)


class Reaction(msgspec.Struct, frozen=True, kw_only=True):
    """One cell. struck: calls that the fault took effect on. attempts: at the struck request.
    waits_s: between them, as classes. asked_again: further requests beyond those that are due.
    ended: how it ended for the user; error: the class, with its library unless that is the client's
    own. text: what the user sees beside what the model said; tool: what ran beside what was asked,
    "" where no tool was due."""

    row: str
    column: str
    struck: int
    attempts: int
    ended: Ended
    waits_s: tuple[float, ...] = ()
    asked_again: int = 0
    error: str = ""
    words: str = ""
    text: Text = ""
    tool: Tool = ""

    @property
    def silent(self) -> bool:
        """True when something is wrong with what a call returned as its answer."""
        return self.ended == "returned" and (
            self.text not in ("", "right", "longer") or self.tool == "never"
        )

    @property
    def dangerous(self) -> bool:
        """True for what nobody is told: wrong content as success, a tool run with what was cut."""
        return self.silent or self.tool in ("cut", "twice")


@dataclass(frozen=True, slots=True)
class Traces:
    """What one run left: what the client said, the history's actions and payloads, when it ended,
    and what the tool behind the gateway did."""

    told: Told
    actions: Sequence[Action]
    payload: Callable[[str], bytes | None]
    ended_ns: int
    done: Sequence[dict[str, Any]]


def read(row: Row, column: Column, traces: Traces) -> Reaction:
    """The reaction that these are the traces of."""
    told, kind = traces.told, "tool." if column.group == "tools" else "llm."
    calls = [one for one in traces.actions if one.name.startswith(kind) and one.reserve is not None]
    struck = [one for one in calls if one.faults]
    base: dict[str, Any] = {
        "row": row.title,
        "column": str(column),
        "struck": len(struck),
        "ended": _ended(told, calls, traces.ended_ns),
        "error": _error(told, column),
        "words": told.words,
        "text": _text(row, column, told),
        "tool": _done(traces.done) if column.group == "tools" else _tool(row, column, told),
    }
    if not struck:
        return Reaction(attempts=0, **base)
    payload = traces.payload
    digests = {one.id: _digest(one, payload) for one in calls}
    after = calls[calls.index(struck[0]) :]
    tries = [one for one in after if digests[one.id] == digests[struck[0].id]]
    due = 1 if row.tool and column.agent else 0
    others = 0 if column.group == "tools" else len({digests[one.id] for one in after}) - 1
    return Reaction(
        attempts=len(tries),
        waits_s=tuple(_class(gap) for gap in _gaps(tries)),
        asked_again=max(0, others - due),
        **base,
    )


def _digest(action: Action, payload: Callable[[str], bytes | None]) -> str:
    asked = action.attr("request") or action.attr("arguments") or ""
    return canonical_digest(payload(asked) or asked.encode())


_PYTHON = ("builtins", "json", "asyncio")
_OWN = {  # what a user of the client imports, and may expect to catch the errors of
    "openai": ("openai",),
    "anthropic": ("anthropic",),
    "openai_agents": ("agents", "openai"),
    "langgraph": (
        "langchain",
        "langchain_core",
        "langgraph",
        "langchain_openai",
        "langchain_anthropic",
    ),
    "pydantic_ai": ("pydantic_ai",),
    "tools": ("requests", "httpx", "mcp", "client_tool_callers"),
}


def _error(told: Told, column: Column) -> str:
    error = f"{told.module}.{told.error}" if _foreign(told, column) else told.error
    return f"ExceptionGroup of {error}" if told.grouped else error


def _foreign(told: Told, column: Column) -> bool:
    """True for the error of a library below the client's own."""
    return bool(told.error) and told.module not in (*_PYTHON, *_OWN.get(column.group, ()))


def _ended(told: Told, calls: Sequence[Action], ended_ns: int) -> Ended:
    if told.killed:
        return "killed"
    if told.late:
        end = calls[-1].end if calls else None
        if end is None or end.attrs.get("outcome") == "unknown" or end.t >= ended_ns:
            return "waits"
        if calls[-1].name.startswith("tool."):
            return "waits"  # the tool has ended, its answer has not
        if end.attrs.get("status", 0) >= 400:
            return "sleeps"
        return "busy" if end.attrs.get("outcome") == "ok" else "waits"
    return "raised" if told.error else "returned"


def _text(row: Row, column: Column, told: Told) -> Text:
    if told.text is None or (row.tool and not column.agent):
        return ""
    if not told.text:
        return "none"
    truth = TOOL_TEXT if column.group == "tools" else TEXT
    if told.text == truth:
        return "right"
    if told.text.startswith(truth):
        return "longer"
    return "partial" if truth.startswith(told.text) else "other"


def _tool(row: Row, column: Column, told: Told) -> Tool:
    if not row.tool and not column.agent:
        return ""
    if not told.ran:
        return "never"
    if any(ran != ARGUMENTS for ran in told.ran):
        return "cut"
    return "right" if len(told.ran) == 1 else "twice"


def _done(done: Sequence[dict[str, Any]]) -> Tool:
    """What a tool behind the gateway did, of two orders."""
    orders = [one["order_id"] for one in done]
    return "twice" if len(orders) > len(set(orders)) else "right"


def _gaps(tries: Sequence[Action]) -> list[float]:
    return [
        (after.reserve.t - before.end.t) / 1e9
        for before, after in pairwise(tries)
        if after.reserve is not None and before.end is not None and before.outcome != "ok"
    ]


def _class(gap_s: float) -> float:
    """The longest class that the gap is not shorter than, give or take a quarter."""
    return max(one for one in _CLASSES if gap_s >= one * 0.74 or one == 0)


def say(reaction: Reaction) -> str:
    """A cell of the table; what is dangerous stands out."""
    if not reaction.struck:
        return "–"
    parts = []
    if reaction.attempts > 1:
        waits = ", ".join(f"{wait:g} s" for wait in reaction.waits_s if wait)
        parts.append(f"{reaction.attempts} attempts" + (f" ({waits})" if waits else ""))
    if reaction.asked_again:
        parts.append("asks the model again")
    if reaction.tool in ("cut", "twice"):
        ran = {"cut": "tool ran with cut arguments", "twice": "tool ran twice"}[reaction.tool]
        parts.append(f"**{ran}**")
    parts.append(_end(reaction))
    return ", ".join(part for part in parts if part)


def _end(reaction: Reaction) -> str:
    if reaction.ended == "raised":
        return f"`{reaction.error}`"
    if reaction.ended != "returned":
        return reaction.ended
    if reaction.tool == "never":
        return "**silent: no tool call**"
    if reaction.text in ("", "right"):
        return "" if reaction.tool in ("cut", "twice") else "ok"
    return {
        "longer": "ok, all of the text",
        "partial": "**silent: partial text**",
        "none": "**silent: empty text**",
        "other": "**silent: other text**",
    }[reaction.text]
