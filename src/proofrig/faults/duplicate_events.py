"""Events that come twice."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

from pydantic import Field

from proofrig.faults._events import Which, each_event, has_events, resized, wanted
from proofrig.faults.fault import Fault, Hit, Onward, Share
from proofrig.wire.answer import Answer


class DuplicateEvents(Fault):
    """Sends server-sent events twice in a row. Where the API of a model is not known, each event is
    output. What is no stream of events is not struck."""

    summary: ClassVar[str] = "events of a stream come twice"

    kind: Literal["duplicate_events"] = "duplicate_events"
    which: Which = Field(
        default="output",
        description="`output`: pieces of text and of arguments; `all`: also what frames them.",
    )
    share: Share = Field(default=1.0, description="Of these, drawn one by one.")

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        answer = await onward()
        if not has_events(answer):
            return answer

        def twice(block: bytes) -> bytes:
            if not wanted(self.which, hit.call.form, block) or hit.rng.random() >= self.share:
                return block
            hit.struck(which=self.which)
            return block + block

        return resized(answer, partial(each_event, twice))
