"""The agent's processes stand still, as under a long collection of garbage or a frozen machine."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from proofrig.faults.fault import Fault, Hit, Onward, Seconds
from proofrig.wire.answer import Answer
from proofrig.wire.outbound import Surface


class Pause(Fault):
    """SIGSTOP to every process of the trial when the call comes, SIGCONT after `for_s`. The call is
    carried out; its answer waits. By default that is longer than a lock's time-to-live. An agent
    without processes of its own goes on, and was not struck."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("llm", "tool", "egress", "service")
    summary: ClassVar[str] = "the agent's processes stand still"

    kind: Literal["pause"] = "pause"
    for_s: Seconds = Field(default=35.0, description="Seconds.")

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        stopped = await hit.around.pause(hit.call.token)
        if stopped:
            hit.struck(lasts_s=self.for_s, processes=stopped)

            def resume() -> None:
                hit.around.resume(hit.call.token)

            hit.undo(self.for_s, resume)
        return await onward()
