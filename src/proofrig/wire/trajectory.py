"""A trajectory: what an agent did, rebuilt from its traffic with models.

Rules:
1. Responses first, echoed history second: frameworks rewrite arguments, drop text and reorder
   results in what they send back, so calls come from what the model answered, and only their
   results from later requests, joined by call id.
2. A call is `answered` when a later request carries its result, `unanswered` when a later request
   of its conversation (one that echoes the call, or continues its turn by id) has none, and
   `unseen` when no later request tells. Parallel branches do not speak for each other.
3. Turns are in the order in which they were answered, calls in the order they were asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from proofrig.wire.turn import Request, ToolResult, Turn

CallState = Literal["answered", "unanswered", "unseen"]


class Call(msgspec.Struct, frozen=True, omit_defaults=True):
    """One tool call. `arguments` is JSON text as written. `turn` is the index of the turn that
    asked for it, -1 when no model did. `source`: seen in LLM traffic or by a tool gateway."""

    name: str
    arguments: str = "{}"
    call_id: str = ""
    result: str | None = None
    is_error: bool | None = None
    state: CallState = "unseen"
    turn: int = -1
    source: Literal["llm", "tool"] = "llm"


class Trajectory(msgspec.Struct, frozen=True, omit_defaults=True):
    """LLM turns in order, and every tool call in the order it was asked for."""

    turns: tuple[Turn, ...] = ()
    calls: tuple[Call, ...] = ()


def rebuild(exchanges: Iterable[tuple[Request, Turn]]) -> Trajectory:
    """The trajectory of one trial from its model traffic, in the order of the answers."""
    seen = list(exchanges)
    requests = [request for request, _ in seen]
    results: dict[str, ToolResult] = {}
    echoed: set[str] = set()
    for message in (message for request in requests for message in request.messages):
        results.update((result.call_id, result) for result in message.tool_results)
        echoed.update(call.id for call in message.tool_calls)
    continued = {request.previous_id for request in requests if request.previous_id}
    calls: list[Call] = []
    for place, (_, turn) in enumerate(seen):
        for asked in turn.tool_calls:
            answer = results.get(asked.id)
            state: CallState = "answered"
            if answer is None:
                told = asked.id in echoed or turn.id in continued
                state = "unanswered" if told else "unseen"
            calls.append(
                Call(
                    name=asked.name,
                    arguments=asked.arguments,
                    call_id=asked.id,
                    result=answer.content if answer else None,
                    is_error=answer.is_error if answer else None,
                    state=state,
                    turn=place,
                )
            )
    return Trajectory(turns=tuple(turn for _, turn in seen), calls=tuple(calls))
