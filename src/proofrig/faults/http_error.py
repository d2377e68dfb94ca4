"""A server that fails: an error status in the vendor's form, before the call or after it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from proofrig.faults._forms_errors import HUGE_S, RetryAfter, error_answer, retry_headers
from proofrig.faults.fault import Fault, Hit, Onward, Seconds
from proofrig.wire.answer import Answer, read
from proofrig.wire.outbound import Surface


class HttpError(Fault):
    """Answers with an error status. The call is not passed on; with `executed` it is carried out to
    its end, and only its answer is lost: whoever tries again does it twice. An answer that is an
    error already stays as it is."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("llm", "tool", "egress")
    summary: ClassVar[str] = "an error status, the call carried out or not"

    kind: Literal["http_error"] = "http_error"
    status: Annotated[int, Field(strict=True, ge=400, le=599)] = Field(
        default=503, description="500, 503, 529, 409 and so on."
    )
    executed: bool = Field(default=False, description="The call is carried out all the same.")
    message: str = Field(default="", description="What it says; default: the vendor's words.")
    retry_after: RetryAfter = Field(
        default="none",
        description="How the answer says when to try again; huge: an hour, in seconds.",
    )
    wait_s: Seconds | None = Field(default=None, description="Seconds that it says; default: 1.")
    should_retry: bool | None = Field(default=None, description="The header x-should-retry.")

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        if self.executed:
            answer = await onward()
            if answer.status >= 400:
                return answer
            await read(answer)
            answer.close()
        wait_s = HUGE_S if self.retry_after == "huge" else 1.0
        if self.wait_s is not None:
            wait_s = self.wait_s
        hit.struck(status=self.status, executed=self.executed)
        headers = retry_headers(self.retry_after, wait_s, self.should_retry)
        return error_answer(hit.call, self.status, headers, message=self.message)
