"""Far more text than anybody asked for."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from pydantic import Field

from proofrig.faults._forms import Facts, codec_of, with_turn, with_value
from proofrig.faults.fault import Fault, Hit, Onward
from proofrig.wire.answer import Answer
from proofrig.wire.outbound import Surface
from proofrig.wire.turn import Turn

BYTES_PER_TOKEN = 4  # of English, about
_SENTENCES = (
    "The request was received and forwarded to the {} service for further processing.",
    "No changes to the {} were found since the last synchronisation.",
    "See the section on {} for details about limits, defaults and known issues.",
    "The {} was updated by an automated job; no action is required.",
    "Entries of the {} older than ninety days are archived and can be restored on demand.",
    "For questions about the {} please contact the responsible team.",
    "A previous version of the {} is kept for reference and will be removed later.",
    "The {} has been reviewed, and all of its checks were passed without remarks.",
)
_THINGS = (
    *("billing", "catalogue", "customer record", "delivery", "inventory", "invoice", "ledger"),
    *("login", "message queue", "order history", "payment", "report", "shipping", "warehouse"),
)


class HugeResult(Fault):
    """Adds about `tokens` tokens (four bytes each) of plausible text: after a text, as a member
    `details` of an object, or by repeating the elements of a list (a text more, where it is empty).
    A number, a truth value and null become the text; with `instead`, all do."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("llm", "tool", "egress")
    summary: ClassVar[str] = "an answer of thousands of tokens"

    kind: Literal["huge_result"] = "huge_result"
    tokens: Annotated[int, Field(strict=True, ge=1, le=2_000_000)] = Field(
        default=8_000, description="About so many; a token is taken as four bytes."
    )
    instead: bool = Field(default=False, description="The text alone, without what was there.")

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        text = _text(hit.rng, self.tokens * BYTES_PER_TOKEN)
        if codec_of(hit.call.form) is None:
            return await with_value(hit, onward, partial(self._longer, text), tokens=self.tokens)
        return await with_turn(hit, onward, partial(self._wordy, text), tokens=self.tokens)

    def _wordy(self, text: str, turn: Turn) -> tuple[Turn, Facts]:
        said = text if self.instead or not turn.text else f"{turn.text}\n\n{text}"
        return msgspec.structs.replace(turn, text=said), {}

    def _longer(self, text: str, value: Any) -> tuple[Any, Facts]:
        if self.instead:
            return text, {}
        if isinstance(value, str):
            return (f"{value}\n\n{text}" if value else text), {}
        if isinstance(value, dict):
            return value | {"details": text}, {}
        if isinstance(value, list):
            if not value:
                return [text], {}
            repeated = -(-len(text) // (len(msgspec.json.encode(value)) - 1))
            return value * (1 + repeated), {}
        return text, {}


def _text(rng: Random, size: int) -> str:
    """English of this many characters."""
    parts: list[str] = []
    length = 0
    while length < size:
        parts.append(rng.choice(_SENTENCES).format(rng.choice(_THINGS)))
        length += len(parts[-1]) + 1
    return " ".join(parts)[:size]
