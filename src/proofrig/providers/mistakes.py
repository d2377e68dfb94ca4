"""The mistakes a scripted model makes: what real models do wrong, at a stated rate.

Rules:
1. A mistake turns a right reply into a wrong one; it never fails the call.
2. What is left open (which wrong value) is drawn from the call's seed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, model_validator

from proofrig.providers.prompt import Prompt, Reply
from proofrig.wire.turn import ToolCall

Kind = Literal[
    "wrong_argument",
    "missing_argument",
    "wrong_tool",
    "skip_call",
    "repeat_call",
    "broken_json",
    "wrong_text",
    "empty",
]
_NEEDS_CALL = {"wrong_argument", "missing_argument", "wrong_tool", "repeat_call", "broken_json"}


class Mistake(BaseModel):
    """One way to go wrong, and how often.

    wrong_argument: `argument` of the calls that have it becomes `value`, or something near the
    right one. missing_argument: it is left out. wrong_tool: `tool` is called instead. skip_call:
    no call is made, `say` (or the rule's own text) is all. repeat_call: the first call is made
    twice. broken_json: the arguments end half way. wrong_text: `say` is said instead of the
    rule's text. empty: nothing is said and nothing called."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    rate: Annotated[float, Field(ge=0, le=1)]
    argument: str | None = None
    value: Any = None
    tool: str | None = None
    say: str | None = None

    @property
    def needs_call(self) -> bool:
        """True when there is nothing to get wrong in a rule without calls."""
        return self.kind in _NEEDS_CALL

    @model_validator(mode="after")
    def _complete(self) -> Mistake:
        needs = {
            "wrong_argument": "argument",
            "missing_argument": "argument",
            "wrong_tool": "tool",
            "wrong_text": "say",
        }.get(self.kind)
        if needs and getattr(self, needs) is None:
            raise ValueError(f"expected `{needs}` with the mistake {self.kind}, got none")
        return self


def make(mistake: Mistake, reply: Reply, prompt: Prompt, value: Any, say: str) -> Reply:
    """The reply with the mistake in it. `value` and `say` are the mistake's own, filled in."""
    replace = msgspec.structs.replace
    match mistake.kind:
        case "wrong_argument" | "missing_argument":
            return replace(
                reply, calls=tuple(_spoil(c, mistake, prompt, value) for c in reply.calls)
            )
        case "wrong_tool":
            tool = prompt.tool_name(mistake.tool or "")
            return replace(reply, calls=tuple(replace(call, name=tool) for call in reply.calls))
        case "skip_call":
            return replace(reply, calls=(), text=say or reply.text or "Done.")
        case "repeat_call":
            return replace(reply, calls=reply.calls[:1] + reply.calls)
        case "broken_json":
            calls = (
                replace(c, arguments=c.arguments[: len(c.arguments) // 2]) for c in reply.calls
            )
            return replace(reply, calls=tuple(calls))
        case "wrong_text":
            return replace(reply, text=say)
        case "empty":
            return Reply()


def _spoil(call: ToolCall, mistake: Mistake, prompt: Prompt, value: Any) -> ToolCall:
    arguments = call.parsed()
    name = mistake.argument or ""
    if not isinstance(arguments, dict) or name not in arguments:
        return call
    if mistake.kind == "missing_argument":
        del arguments[name]
    else:
        arguments[name] = near(arguments[name], prompt) if value is None else value
    return ToolCall(call.id, call.name, msgspec.json.encode(arguments).decode())


def near(value: Any, prompt: Prompt) -> Any:
    """A wrong value of the same type that a model might confuse with this one."""
    pick = prompt.chance("near", str(value))
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return (value * 10, value + 1, value - 1, value // 10 - 1)[int(pick * 4)] if value else 1
    if isinstance(value, float):
        return round(value * (10 if pick < 0.5 else 1.1), 2) if value else 1.0
    if isinstance(value, str) and value:
        return _near_text(value, pick)
    if isinstance(value, list) and value:
        return value[:-1]
    return "unknown"


def _near_text(value: str, pick: float) -> str:
    """One digit changed where there is one, else two letters swapped, else one letter doubled."""
    digits = [place for place, char in enumerate(value) if char.isdecimal() and char.isascii()]
    if digits:
        place = digits[int(pick * len(digits))]
        wrong = str((int(value[place]) + 1 + int(pick * 97) % 9) % 10)
        return value[:place] + wrong + value[place + 1 :]
    swaps = [place for place in range(len(value) - 1) if value[place] != value[place + 1]]
    if swaps:
        place = swaps[int(pick * len(swaps))]
        return value[:place] + value[place + 1] + value[place] + value[place + 2 :]
    return value + value[-1]
