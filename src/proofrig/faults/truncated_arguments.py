"""A model is cut off while it writes the arguments of a tool call."""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar, Literal

import msgspec
import pydantic_core
from pydantic import Field

from proofrig.faults._forms import Facts, with_turn
from proofrig.faults.fault import Count, Fault, Hit, Onward
from proofrig.wire.answer import Answer, streams
from proofrig.wire.outbound import Surface
from proofrig.wire.turn import Turn


class TruncatedArguments(Fault):
    """Ends the text of the last call's arguments after `chars` characters, or a `share` of them. A
    turn without calls, and arguments that are not longer, pass. Messages carries arguments as an
    object outside a stream: there it holds the members that had come."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("llm",)
    summary: ClassVar[str] = "the arguments of a tool call end in their middle"

    kind: Literal["truncated_arguments"] = "truncated_arguments"
    chars: Count | None = Field(default=None, description="Characters that are left.")
    share: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.5, description="Without `chars`: the share that is left."
    )
    finish: Literal["length", "tool_calls"] = Field(
        default="length", description="Why the model says that it ended."
    )

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        answer = await onward()

        async def here() -> Answer:
            return answer

        as_object = hit.call.form == "messages" and not streams(answer)
        return await with_turn(hit, here, partial(self._cut, as_object))

    def _cut(self, as_object: bool, turn: Turn) -> tuple[Turn, Facts]:
        if not turn.tool_calls:
            return turn, {}
        *before, last = turn.tool_calls
        length = len(last.arguments)
        left = self.chars or max(1, int(length * self.share))
        if left >= length:
            return turn, {}
        text = last.arguments[:left]
        if as_object:
            text = _members(text)
        cut = msgspec.structs.replace(last, arguments=text)
        changed = msgspec.structs.replace(turn, tool_calls=(*before, cut), finish=self.finish)
        return changed, {"call": last.name, "left": left, "of": length}


def _members(text: str) -> str:
    """The members of an object that are whole in the beginning of its text."""
    try:
        return msgspec.json.encode(pydantic_core.from_json(text, allow_partial=True)).decode()
    except ValueError:  # what the model wrote was no JSON before
        return "{}"
