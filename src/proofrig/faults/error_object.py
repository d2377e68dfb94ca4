"""An error in the clothes of a success: the vendor's error object under status 200.

Rules:
1. A whole answer is replaced; a model's stream breaks off with an event `error` in the place of the
   next one after `after_events`. A stream that has no more has not been struck.
2. A tool gives the error as its result, and does not flag it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, ClassVar, Literal

import msgspec
from pydantic import Field

from proofrig.faults._forms import JSON, codec_of, with_value
from proofrig.faults._forms_errors import error_event, error_value
from proofrig.faults.fault import Fault, Hit, Onward
from proofrig.wire.answer import Answer, Made, rebodied, rechunked, streams
from proofrig.wire.outbound import Surface
from proofrig.wire.sse import EventSplitter


class ErrorObject(Fault):
    """Answers with the error of `status`, under status 200."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("llm", "tool", "egress")
    summary: ClassVar[str] = "the vendor's error object under status 200, or inside a stream"

    kind: Literal["error_object"] = "error_object"
    status: Annotated[int, Field(strict=True, ge=400, le=599)] = Field(
        default=500, description="Of the error that is told of."
    )
    message: str = Field(default="", description="What it says; default: the vendor's words.")
    after_events: Annotated[int, Field(strict=True, ge=0, le=100_000)] = Field(
        default=3, description="Events of a stream that pass before it."
    )

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        if hit.call.form in ("tool", "mcp"):
            error = error_value(hit.call, self.status, self.message)["error"]
            return await with_value(
                hit, onward, lambda _: ({"error": error}, {}), error_status=self.status
            )
        answer = await onward()
        if answer.status >= 300:
            return answer
        if streams(answer):
            return self._inside(hit, answer) if codec_of(hit.call.form) else answer
        hit.struck(error_status=self.status)
        body = msgspec.json.encode(error_value(hit.call, self.status, self.message))
        return rebodied(answer, body, content_type=JSON)

    def _inside(self, hit: Hit, answer: Answer) -> Made:
        async def broken(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            splitter, passed = EventSplitter(), 0
            async for chunk in chunks:
                for block in splitter.feed(chunk):
                    counts = len(block) > 1  # a lone line end belongs to the event before
                    if counts and passed == self.after_events:
                        hit.struck(error_status=self.status, events=passed)
                        yield error_event(hit.call, self.status, passed, self.message)
                        return
                    passed += counts
                    yield block
            yield splitter.held()

        return rechunked(answer, broken)
