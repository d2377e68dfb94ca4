"""Requests as attempts at logical requests: what load checkers see of a call, a take or a request.

Rules:
1. A logical request is what the agent wanted once; the attempts at it are what the service got.
2. A call to a model says itself which attempt it is (`attempt`, `retry_of`), as does a request of
   a client's pool. A tool call is a retry when its trial was refused the same before (name and
   arguments) and it began after that; a refusal has one retry.
3. A take is a retry when its trial was refused the same (service, limit, amount) in the same tool
   call (`parent`); outside of one, when no tool call or turn of the trial has ended since, with
   which the trial would have gone on to something else. That is a guess: an agent that drops what
   was refused and takes again at once looks the same, unless its takes say their `attempt`.
4. What was denied before it left is no request.
5. Kept are the refused requests of trials that have not ended.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from proofrig.checkers.checker import Evidence, began, ended, evidence
from proofrig.history.action import Action, Entry

READS = ("llm.", "tool.", "quota.take", "pool.request")
NOTES = ("trial.end", "note.retry")
REFUSALS = frozenset({429, 503, 529})
KEPT_ATTEMPTS = 50
KEPT_WAITING = 1000  # per trial

_NOTHING: dict[str, Any] = {}
_SAID = re.compile(r"\b(429|503|529)\b|(too many requests|rate.?limit)", re.IGNORECASE)


class Logical(msgspec.Struct, gc=False):
    """A logical request that was refused or failed at least once. attempts: its requests in order,
    the first `KEPT_ATTEMPTS` of them; first: the number of the first. ended_ns, after_ns: the end
    of the last, and the time it was told to wait, -1 when it was told none."""

    service: str
    attempts: list[Action] = []
    first: int = 0
    count: int = 1
    ended_ns: int = 0
    after_ns: int = -1

    def witness(self) -> list[Evidence]:
        """Its attempts, each at its beginning."""
        return [
            evidence(
                action,
                f"attempt {self.first + place}: {action.attr('status') or action.outcome}",
                at_end=False,
            )
            for place, action in enumerate(self.attempts)
        ]


class Request(msgspec.Struct, gc=False):
    """One request as it reached a service. `number`: 1, or which attempt it is. `layer`: who tried
    again: `sdk`, `agent` or `client` (one of both); "" for a first attempt. `logical`: None when it
    went well at once."""

    service: str
    kind: str  # llm, tool, quota, pool
    status: int
    refused: bool
    admitted: bool
    number: int
    layer: str
    due_ns: int  # when it had been told to come back, -1 when it had not
    logical: Logical | None


class Requests:
    """Reads actions as requests, in the order in which they end."""

    def __init__(self) -> None:
        self._by_id: dict[str, dict[str, Logical]] = {}
        self._by_what: dict[str, dict[tuple[object, ...], list[Logical]]] = {}
        self._takes: dict[str, dict[tuple[object, ...], list[Logical]]] = {}

    def read(self, action: Action) -> Request | None:
        """The action as a request; None when it never left."""
        said = action.reserve.attrs if action.reserve is not None else _NOTHING
        if said.get("decision") == "deny":
            return None
        kind = action.name.partition(".")[0]
        end = action.end.attrs if action.end is not None else _NOTHING
        asked = action.start.attrs if action.start is not None else _NOTHING
        service = _service(kind, action, asked)
        status = _status(kind, end)
        refused = status in REFUSALS
        admitted = not refused and (end.get("outcome") == "ok" or (kind == "tool" and bool(end)))
        before = self._before(kind, action, service, said, asked)
        number = said.get("attempt") or asked.get("attempt") or 1
        layer, due = "", -1
        if before is not None:
            number = max(number, before.count + 1)
            if before.after_ns >= 0:
                due = before.ended_ns + before.after_ns
        if number > 1:
            layer = _layer(kind, said, asked)
        if end and (kind == "llm" or kind == "tool"):
            self._takes.pop(action.trial, None)
        if before is None and (admitted or not end):
            return Request(service, kind, status, refused, admitted, number, layer, due, None)
        logical = before or Logical(service)
        if len(logical.attempts) < KEPT_ATTEMPTS:
            logical.attempts.append(action)
        logical.first = logical.first or number
        logical.count = number
        logical.ended_ns = ended(action)
        logical.after_ns = end.get("retry_after_ns", -1)
        request = Request(service, kind, status, refused, admitted, number, layer, due, logical)
        if end and not admitted:
            self._wait(action, _what(kind, action, service, said, asked), request)
        return request

    def note(self, entry: Entry) -> None:
        """A trial has ended: nothing of it is tried again."""
        if entry.kind == "trial":
            self._by_id.pop(entry.trial, None)
            self._by_what.pop(entry.trial, None)
            self._takes.pop(entry.trial, None)

    def _before(
        self,
        kind: str,
        action: Action,
        service: str,
        said: dict[str, Any],
        asked: dict[str, Any],
    ) -> Logical | None:
        """The logical request that this is another attempt at, if it is known."""
        if kind == "llm":
            retry_of, ids = said.get("retry_of"), self._by_id.get(action.trial)
            return ids.pop(str(retry_of), None) if retry_of and ids else None
        told = said.get("attempt") or asked.get("attempt") or (1 if kind == "pool" else 0)
        if told == 1 and kind != "tool":
            return None
        waiting = (self._takes if kind == "quota" else self._by_what).get(action.trial)
        if not waiting:
            return None
        what = _what(kind, action, service, said, asked)
        if what not in waiting:
            return None
        start = began(action)
        for place, logical in enumerate(waiting[what]):
            if logical.ended_ns <= start and (
                kind != "pool" or asked.get("attempt") == logical.count + 1
            ):
                return waiting[what].pop(place)
        return None

    def _wait(self, action: Action, what: tuple[Any, ...], request: Request) -> None:
        """Remember a request that did not go well, until it is tried again."""
        kind, logical = request.kind, request.logical
        if logical is None:
            return
        if kind == "llm":
            ids = self._by_id.setdefault(action.trial, {})
            ids[action.id] = logical
            if len(ids) > KEPT_WAITING:
                del ids[next(iter(ids))]
        elif request.refused or kind == "pool":
            kept = self._takes if kind == "quota" else self._by_what
            whats = kept.setdefault(action.trial, {})
            same = whats.setdefault(what, [])
            same.append(logical)
            if len(same) > KEPT_WAITING:
                del same[0]
            if len(whats) > KEPT_WAITING:
                del whats[next(iter(whats))]


def _service(kind: str, action: Action, asked: dict[str, Any]) -> str:
    """What got it. A quota that each tenant or trial has of its own is a service of its own."""
    if kind == "llm":
        return "llm"
    if kind == "tool":
        return action.name
    name = str(asked.get("service") or action.attr("service", kind))
    if kind == "quota":
        limit, part = asked.get("limit"), asked.get("physical")
        if limit:
            name = f"{name}.{limit}"
        if part:
            name = f"{name}:{part}"
    return name


def _status(kind: str, end: dict[str, Any]) -> int:
    """The HTTP status it ended with; of a tool that gives none, what its error says."""
    status = end.get("status")
    if isinstance(status, int):
        return status
    if kind == "tool" and (error := end.get("error")):
        found = _SAID.search(str(error))
        if found is not None:
            return int(found[1] or 429)
    return 0


def _what(
    kind: str,
    action: Action,
    service: str,
    said: dict[str, Any],
    asked: dict[str, Any],
) -> tuple[object, ...]:
    """What makes two requests of a trial the same."""
    if kind == "tool":
        return (action.name, said.get("arguments") or asked.get("arguments"))
    if kind == "pool":
        return (service, asked.get("host"), asked.get("method"), asked.get("path"))
    return (service, asked.get("amount"), said.get("parent"))


def _layer(kind: str, said: dict[str, Any], asked: dict[str, Any]) -> str:
    """Who tried again. An SDK counts its own retries; a count of 0 on a retry is the agent's or its
    framework's, and no count can be either's."""
    if kind == "pool":
        return "sdk"
    if kind == "tool":
        return "agent"
    count = said.get("said", asked.get("said"))
    if count is None:
        return "client"
    return "sdk" if count else "agent"
