"""An answer with nothing in it, under status 200."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec
from pydantic import Field

from proofrig.faults._forms import JSON, Facts, as_it_came, codec_of, with_turn, with_value
from proofrig.faults.fault import Fault, Hit, Onward
from proofrig.wire.answer import Answer, read, rebodied, streams
from proofrig.wire.outbound import Surface
from proofrig.wire.turn import Turn


class EmptyResult(Fault):
    """Empties an answer. `empty_turn`: a model's turn without text and calls, a result that is
    empty of its own type (`[]`, `{}`, `""`, `null`). `empty_object`: the whole body is `{}`.
    `empty_body`: it has no byte. An MCP result is emptied in the first way whatever is asked: a
    JSON-RPC request is always answered."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("llm", "tool", "egress")
    summary: ClassVar[str] = "an answer with nothing in it, under status 200"

    kind: Literal["empty_result"] = "empty_result"
    form: Literal["empty_turn", "empty_object", "empty_body"] = Field(
        default="empty_turn", description="What is empty: the turn or result, or the whole body."
    )

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        if codec_of(hit.call.form) is not None and self.form == "empty_turn":
            return await with_turn(hit, onward, _silent, form=self.form)
        if self.form == "empty_turn" or hit.call.form == "mcp":
            return await with_value(hit, onward, _emptied, form="empty_turn")
        answer = await onward()
        if answer.status >= 300 or (hit.call.form == "plain" and streams(answer)):
            return answer
        body = await read(answer)
        empty = b"" if self.form == "empty_body" else b"{}"
        if body == empty:
            return as_it_came(answer, body)
        hit.struck(form=self.form)
        return rebodied(answer, empty, content_type=JSON if empty else "")


def _silent(turn: Turn) -> tuple[Turn, Facts]:
    return msgspec.structs.replace(
        turn, text="", refusal="", tool_calls=(), finish="stop" if turn.tool_calls else turn.finish
    ), {}


def _emptied(value: Any) -> tuple[Any, Facts]:
    return type(value)() if isinstance(value, str | list | dict) else None, {}
