"""Which model turn asked for a tool call: the join between the LLM gateway and the tool gateways.

The LLM gateway notes each call a model asked for; a tool gateway claims it when the agent carries
it out. The first match wins, oldest first: the id the framework passes along where it does, else
name and canonical arguments, else the name alone; the very name before one with a server prefix.
"""

from __future__ import annotations

import msgspec

from proofrig.wire.turn import ToolCall


class Asked(msgspec.Struct, frozen=True):
    """A call a model asked for: the LLM action that carried it, and the call's id."""

    action: str
    call_id: str
    name: str
    arguments: str  # canonical


class AskedCalls:
    """The unclaimed calls of the live trials."""

    def __init__(self) -> None:
        self._open: dict[str, list[Asked]] = {}

    def note(self, trial: str, action: str, calls: tuple[ToolCall, ...]) -> None:
        """A model asked for `calls` in the LLM action `action`."""
        if calls:
            self._open.setdefault(trial, []).extend(
                Asked(action, call.id, call.name, canonical(call.parsed())) for call in calls
            )

    def claim(
        self, trial: str, name: str, arguments: object, call_id: str = ""
    ) -> tuple[Asked, str] | None:
        """The asked call that this tool call carries out, and how it was found: "id",
        "arguments" or "name". None when no model asked for it."""
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
                    return asked, how
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
