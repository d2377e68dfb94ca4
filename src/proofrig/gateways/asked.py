"""Which model turn asked for a tool call: the join between the LLM gateway and the tool gateways.

The LLM gateway notes each call a model asked for; a tool gateway claims it when the agent carries
it out.

Rules:
1. The surest match wins: the id where the framework passes it along, else name and canonical
   arguments, else the name alone; the very name before one with a server prefix.
2. Among equal matches the newest turn wins, and in one turn the call that was asked for first. So
   the calls of a turn that the agent threw away (its own timeout and a retry, a run begun anew)
   are not taken for those of a later one. Branches that run at once may swap equal calls, but each
   of these was carried out.
3. A call waits until a later request of its conversation was answered: one that echoes it, carries
   its result or continues its turn by id. Then the agent has gone on without it. A request of a
   parallel branch does none of this, so branches leave each other's calls alone.
"""

from __future__ import annotations

import msgspec

from proofrig.wire.turn import Request, ToolCall, Turn


class Asked(msgspec.Struct, frozen=True):
    """A call a model asked for: the LLM action that carried it, and the call's id."""

    action: str
    call_id: str
    name: str
    arguments: str  # canonical
    turn_id: str  # empty where the provider gives none


class AskedCalls:
    """The unclaimed calls of the live trials."""

    def __init__(self) -> None:
        self._open: dict[str, list[Asked]] = {}  # the newest turn's first

    def note(self, trial: str, action: str, request: Request, turn: Turn) -> None:
        """A model answered `request` with `turn` in the LLM action `action`."""
        waiting = self._open.get(trial, ())
        if not (waiting or turn.tool_calls):
            return
        self._open[trial] = [
            *(_asked(action, turn, call) for call in turn.tool_calls),
            *(_still_waiting(waiting, request) if waiting else ()),
        ]

    def claim(
        self, trial: str, name: str, arguments: object, call_id: str = ""
    ) -> tuple[Asked, str, int] | None:
        """The asked call that this tool call carries out; how it was found: "id", "arguments" or
        "name"; and how many calls of the same tool the same turn asked for before it that have not
        come yet. None when no model asked for it."""
        waiting = self._open.get(trial)
        if not waiting:
            return None
        text = canonical(arguments)
        tests = (
            ("id", lambda asked: bool(call_id) and asked.call_id == call_id),
            ("arguments", lambda asked: asked.name == name and asked.arguments == text),
            ("arguments", lambda asked: same_tool(asked.name, name) and asked.arguments == text),
            ("name", lambda asked: asked.name == name),
            ("name", lambda asked: same_tool(asked.name, name)),
        )
        for how, fits in tests:
            for place, asked in enumerate(waiting):
                if fits(asked):
                    del waiting[place]
                    before = (
                        one.action == asked.action and one.name == asked.name
                        for one in waiting[:place]
                    )
                    return asked, how, sum(before)
        return None

    def end(self, trial: str) -> None:
        """Forget a trial."""
        self._open.pop(trial, None)


def canonical(arguments: object) -> str:
    """Arguments as JSON text with sorted keys, so that equal arguments are equal text."""
    return msgspec.json.encode(arguments, order="sorted").decode()


def same_tool(asked: str, called: str) -> bool:
    """True when a model's tool name means this tool; frameworks prefix the server's name."""
    return asked == called or asked.endswith((f"_{called}", f"-{called}", f".{called}"))


def _asked(action: str, turn: Turn, call: ToolCall) -> Asked:
    return Asked(action, call.id, call.name, canonical(call.parsed()), turn.id)


def _still_waiting(waiting: list[Asked], request: Request) -> list[Asked]:
    """Those that this request does not go on from."""
    told = {call.id for message in request.messages for call in message.tool_calls}
    told.update(result.call_id for message in request.messages for result in message.tool_results)
    told.discard("")  # says nothing about which call
    return [
        asked
        for asked in waiting
        if asked.call_id not in told and (not asked.turn_id or asked.turn_id != request.previous_id)
    ]
