"""An answer that is not all there, and is finished as if it were."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Literal

import msgspec
from pydantic import Field

from proofrig.faults._events import Part
from proofrig.faults._forms import codec_of, parsed, with_turn, with_value
from proofrig.faults.fault import Fault, Hit, Onward
from proofrig.wire.answer import Answer
from proofrig.wire.turn import Turn


class PartialResponse(Fault):
    """Keeps a `share` of what was said, in an answer that is right in every other way. Of a model
    its text, still finished as it was; of a tool, and of other JSON, the longest list or text in
    it. A stream is held until it has ended. An answer that has nothing to cut is not struck."""

    summary: ClassVar[str] = "a part of an answer comes as if it were all"

    kind: Literal["partial_response"] = "partial_response"
    share: Part = Field(default=0.5, description="Of the characters or elements.")

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        if codec_of(hit.call.form) is not None:
            return await with_turn(hit, onward, self._of_turn)
        return await with_value(hit, onward, partial(_cut, share=self.share))

    def _of_turn(self, turn: Turn) -> tuple[Turn, dict[str, Any]]:
        text, facts = _cut_text(turn.text, self.share)
        return msgspec.structs.replace(turn, text=text), facts


def _cut(value: Any, share: float) -> tuple[Any, dict[str, Any]]:
    """The value with its longest list or text cut; a text that holds an object or a list is cut as
    what it holds."""
    if isinstance(value, dict) and value:
        name = max(value, key=lambda one: _length(value[one]))
        cut, facts = _cut(value[name], share)
        return value | {name: cut}, facts
    if isinstance(value, list):
        if len(value) == 1:
            cut, facts = _cut(value[0], share)
            return [cut], facts
        kept = int(len(value) * share)
        return value[:kept], {"elements": kept, "of": len(value)}
    if not isinstance(value, str):
        return value, {}
    if value.lstrip()[:1] in ("{", "["):
        try:
            cut, facts = _cut(parsed(value), share)
        except ValueError:
            return _cut_text(value, share)
        return msgspec.json.encode(cut).decode(), facts
    return _cut_text(value, share)


def _cut_text(text: str, share: float) -> tuple[str, dict[str, Any]]:
    kept = int(len(text) * share)
    return text[:kept], {"characters": kept, "of": len(text)}


def _length(value: Any) -> int:
    """How long what can be cut of a value is, as JSON; 0 when nothing can."""
    return len(msgspec.json.encode(value)) if isinstance(value, (str, list, dict)) and value else 0
