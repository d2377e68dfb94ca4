"""A stream that ends as if it were whole, without the event that says so."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

from pydantic import Field

from proofrig.faults._events import each_event, has_events, resized, role_of
from proofrig.faults.fault import Fault, Hit, Onward
from proofrig.wire.answer import Answer

Keep = Literal["nothing", "finish"]


class DropTerminal(Fault):
    """Leaves out how a stream of events ends; its body then ends properly.

    | form | finish | last event |
    |---|---|---|
    | Chat Completions | the chunk with `finish_reason`, the usage | `[DONE]` |
    | Responses | | `response.completed`, `.incomplete`, `.failed` |
    | Messages | `message_delta` | `message_stop` |
    | MCP | | the response |

    An error in place of them is left out too. Of other streams only `[DONE]` is known. What is no
    stream of events is not struck."""

    summary: ClassVar[str] = "a stream ends properly, but without its last event"

    kind: Literal["drop_terminal"] = "drop_terminal"
    keep: Keep = Field(
        default="nothing",
        description="`finish`: how the turn finished still comes, and only the last event is left "
        "out. Responses say both in one event.",
    )

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        answer = await onward()
        if not has_events(answer):
            return answer
        dropped = ("end",) if self.keep == "finish" else ("finish", "end")

        def without(block: bytes) -> bytes:
            role = role_of(hit.call.form, block)
            if role not in dropped:
                return block
            hit.struck(event=role)
            return b""

        return resized(answer, partial(each_event, without))
