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
4. A call that has come keeps its place in its turn for as long: one that is made again (it was
   denied, or its answer was lost) still stands behind those that were asked for before it.
"""

from __future__ import annotations

import msgspec

from proofrig.wire.turn import Request, ToolCall, Turn

COME = 100  # how many of a trial's calls that have come are remembered


class Asked(msgspec.Struct, frozen=True):
    """A call a model asked for: the LLM action that carried it, and the call's id."""

    action: str
    call_id: str
    name: str
    arguments: str  # canonical
    turn_id: str  # empty where the provider gives none
    place: int = 0  # among the calls of its turn


class AskedCalls:
    """What models asked for in the live trials: the calls that have not come, and those that have
    and may come again."""

    def __init__(self) -> None:
        self._open: dict[str, list[Asked]] = {}  # the newest turn's first
        self._come: dict[str, list[Asked]] = {}

    def note(self, trial: str, action: str, request: Request, turn: Turn) -> None:
        """A model answered `request` with `turn` in the LLM action `action`."""
        waiting, come = self._open.get(trial, ()), self._come.get(trial, ())
        if come:
            self._come[trial] = _still_waiting(come, request)
        if not (waiting or turn.tool_calls):
            return
        self._open[trial] = [
            *(_asked(action, turn, *numbered) for numbered in enumerate(turn.tool_calls)),
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
        come = self._come.setdefault(trial, [])
        found = _found(waiting, come, name, canonical(arguments), call_id)
        if found is None or found[0] not in waiting:
            return None
        asked, how = found
        waiting.remove(asked)
        come.insert(0, asked)
        del come[COME:]
        return asked, how, _before(asked, waiting)

    def ahead(self, trial: str, name: str, arguments: object, call_id: str = "") -> int:
        """Of a call that nobody claims, since it has come before: how many are to come before it
        all the same."""
        waiting, come = self._open.get(trial), self._come.get(trial)
        if not (waiting and come):
            return 0
        found = _found(waiting, come, name, canonical(arguments), call_id)
        return 0 if found is None else _before(found[0], waiting)

    def end(self, trial: str) -> None:
        """Forget a trial."""
        self._open.pop(trial, None)
        self._come.pop(trial, None)


def canonical(arguments: object) -> str:
    """Arguments as JSON text with sorted keys, so that equal arguments are equal text."""
    return msgspec.json.encode(arguments, order="sorted").decode()


def same_tool(asked: str, called: str) -> bool:
    """True when a model's tool name means this tool; frameworks prefix the server's name."""
    return asked == called or asked.endswith((f"_{called}", f"-{called}", f".{called}"))


def _asked(action: str, turn: Turn, place: int, call: ToolCall) -> Asked:
    return Asked(action, call.id, call.name, canonical(call.parsed()), turn.id, place)


def _found(
    waiting: list[Asked], come: list[Asked], name: str, text: str, call_id: str
) -> tuple[Asked, str] | None:
    """The one that this tool call carries out, and how it was found. Where both fit alike, one that
    waits; but one that has come rather than another that fits by its name alone."""
    by_id = "id", lambda asked: bool(call_id) and asked.call_id == call_id
    equal = (
        ("arguments", lambda asked: asked.name == name and asked.arguments == text),
        ("arguments", lambda asked: same_tool(asked.name, name) and asked.arguments == text),
    )
    named = (
        ("name", lambda asked: asked.name == name),
        ("name", lambda asked: same_tool(asked.name, name)),
    )
    rounds = (
        ((by_id,), waiting),
        ((by_id,), come),
        (equal, waiting),
        (equal, come),
        (named, waiting),
    )
    for tests, calls in rounds:
        for how, fits in tests:
            for asked in calls:
                if fits(asked):
                    return asked, how
    return None


def _before(asked: Asked, waiting: list[Asked]) -> int:
    """How many calls of the same tool its turn asked for before it, of those that wait."""
    mine = asked.action, asked.name
    return sum((one.action, one.name) == mine and one.place < asked.place for one in waiting)


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
