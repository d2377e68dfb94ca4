"""The leg of a tool call: what the tool came to, told apart from what its agent got.

    agent ── faults ── [truth is seen here] ── tape ── tool

Rules:
1. The outcome of a call that was struck is the tool's; its result is what the agent got.
2. A tool that was never called because a fault answered in its place failed: nothing happened.
3. A tool that was called and of which nobody heard how it ended is unknown.
4. A call that no fault struck ends as it would without a leg.
5. What serves the tool is to blame for what it did itself, and for nothing that a fault made of it.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from proofrig.gateways.asked import canonical
from proofrig.gateways.gateway import Binding, Context
from proofrig.gateways.leg import Leg, Send, outbound
from proofrig.gateways.tool_action import Ending
from proofrig.wire.answer import Answer
from proofrig.wire.outbound import Form

INSTEAD = "a fault answered in the tool's place"
BROKE = "a fault broke the connection"


class ToolLeg(Leg):
    """The leg of one tool call. carried: it went out (or was replayed). truth: what the tool came
    to, once that is known; it was called twice when a fault had it delivered twice, and the first
    time counts."""

    __slots__ = ("carried", "truth")

    def __init__(
        self, context: Context, binding: Binding, form: Form, action: str, name: str, **more: Any
    ) -> None:
        super().__init__(context, outbound(binding, "tool", form, action, name, **more))
        self.carried = False
        self.truth: Ending | None = None

    async def outside(self, send: Send) -> Answer:
        self.carried = True
        return await self.heard(await super().outside(send))

    async def heard(self, answer: Answer) -> Answer:
        """An answer from outside, before faults have it: sets `truth` as it becomes known."""
        return answer

    def ending(self, got: Ending) -> Ending:
        """How the call ended, by what its agent got."""
        struck, truth = tuple(self.struck), self.truth
        whole = truth is not None and got.result is not None and got.result == truth.result
        if truth is not None and whole:
            got = truth  # it knows more than can be read out of an answer
        if not struck:
            return got
        blamed = got.infra if self.unanswered else truth is not None and truth.infra
        told = replace(got, struck=struck, infra=blamed)
        if not self.carried:
            error = got.error or (INSTEAD if got.result is not None else BROKE)
            return replace(told, outcome="fail", executed=False, error=error)
        if truth is None:
            return replace(told, outcome="unknown")
        error = got.error or truth.error
        return replace(told, outcome=truth.outcome, error=error, undelivered=not whole)


def arguments_of(value: object) -> bytes:
    """A tool's arguments as faults and tapes know them: canonical JSON."""
    return canonical(value).encode()
