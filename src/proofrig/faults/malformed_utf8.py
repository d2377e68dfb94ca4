"""Text with a byte in it that is no UTF-8."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import ClassVar, Literal

from pydantic import Field

from proofrig.faults._events import Amount, each_event, has_events, is_text, resized, role_of
from proofrig.faults._forms import as_it_came
from proofrig.faults.fault import Fault, Hit, Onward
from proofrig.wire.answer import Answer, read

_BAD = b"\xff"
_STRING = rb'"((?:[^"\\]|\\.)+)"'
# Where APIs keep what a model, or a tool, says; else the value of any member, or an element.
_SAID = re.compile(
    rb'"(?:content|text|delta|arguments|partial_json|result|thinking)"\s*:\s*' + _STRING
)
_VALUE = re.compile(rb"[:\[,]\s*" + _STRING + rb"\s*(?=[,}\]])")
_UNIT = re.compile(rb"\\u[0-9a-fA-F]{4}|\\.|[^\\]", re.DOTALL)


class MalformedUtf8(Fault):
    """Puts the byte FF into the middle of a string of the body; of a stream of events, into one of
    the event that comes after `after_events` with output; of a text that is no JSON, into its
    middle. A body without any text is not struck."""

    summary: ClassVar[str] = "a byte in a text is no UTF-8"

    kind: Literal["malformed_utf8"] = "malformed_utf8"
    after_events: Amount = Field(
        default=0, description="Of a stream of events: so many with output come first."
    )

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        answer = await onward()
        if has_events(answer):
            return resized(answer, partial(each_event, self._in_an_event(hit)))
        if not is_text(answer):
            return answer
        body = await read(answer)
        at = _inside(body)
        if at is None and "json" not in answer.headers.get("content-type", "") and body:
            at = len(body) // 2
        if at is None:
            return as_it_came(answer, body)
        hit.struck(at_byte=at)
        return as_it_came(answer, body[:at] + _BAD + body[at:])

    def _in_an_event(self, hit: Hit) -> Callable[[bytes], bytes]:
        left = self.after_events

        def change(block: bytes) -> bytes:
            nonlocal left
            role = role_of(hit.call.form, block)
            if hit.fired or not (role == "output" or (role == "end" and hit.call.form == "mcp")):
                return block
            at = _inside(block) if left <= 0 else None
            left -= 1
            if at is None:
                return block
            hit.struck(at_byte=at)
            return block[:at] + _BAD + block[at:]

        return change


def _inside(text: bytes) -> int | None:
    """The middle of a string in JSON, not inside an escape; None when there is no string."""
    found = _SAID.search(text) or _VALUE.search(text)
    if found is None:
        return None
    units = list(_UNIT.finditer(text, *found.span(1)))
    return units[len(units) // 2].start()
