"""Which tool results entered an agent's context, and as the answer to which call.

Rules:
1. Acceptance is what the next prompt says, not what arrived: a late result that is thrown away is
   no trouble.
2. A result is recognised by its text, after white space; a text that several calls of the trial
   were given says nothing and is passed over, unless the call it stands under is one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from proofrig.history.action import Action
from proofrig.trials.evidence import exchanges
from proofrig.wire.turn import ToolResult

Payload = Callable[[str], bytes | None]


def accepted_results(actions: Iterable[Action], payload: Payload) -> Iterator[dict[str, Any]]:
    """Attributes of a note `accepted` for each tool result in a prompt of the trial, first
    occurrences only, in order."""
    actions = list(actions)
    given: dict[str, list[Action]] = {}
    by_call: dict[str, list[Action]] = {}
    for action in actions:
        if not action.name.startswith("tool.") or action.denied:
            continue
        if call_id := action.attr("call_id", ""):
            by_call.setdefault(call_id, []).append(action)
        result = payload(action.attr("result", "")) if action.attr("result") else None
        if result is not None:
            given.setdefault(_plain(result.decode("utf-8", "replace")), []).append(action)
    seen: set[tuple[str, str]] = set()
    for asked in sorted(actions, key=_began):
        for told in _results(asked, payload):
            text = _plain(told.content)
            if (told.call_id, text) in seen:
                continue
            seen.add((told.call_id, text))
            found = _source(text, given, by_call.get(told.call_id, []))
            if found is not None:
                yield found | {"at_ns": _began(asked)}


def _results(action: Action, payload: Payload) -> list[ToolResult]:
    """The tool results in the prompt of a model call."""
    return [
        told
        for request, _ in exchanges([action], payload)
        for message in request.messages
        for told in message.tool_results
    ]


def _began(action: Action) -> int:
    first = action.reserve or action.start
    return first.t if first is not None else 0


def _source(text: str, given: dict[str, list[Action]], own: list[Action]) -> dict[str, Any] | None:
    """The call whose result `text` is, and the call it was taken for where that is another."""
    sources = given.get(text, [])
    same = [action for action in sources if action in own]
    if same:
        return {"call": same[0].id}
    if len(sources) == 1 and own:
        return {"call": sources[0].id, "given_as": own[-1].id}
    return None


def _plain(text: str) -> str:
    """A result as it is compared: JSON in one form, `{"result": ...}` taken off, trimmed."""
    text = text.strip()
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return " ".join(text.split())
    if isinstance(value, dict) and set(value) == {"result"}:
        value = value["result"]
    return value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()
