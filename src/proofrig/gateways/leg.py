"""The last leg of a call: from the gateway to whoever answers it, and back. Written once, for every
gateway.

    gateway ── faults ── tape (records or replays) ── send ── provider, tool, host

Rules:
1. What is recorded is what came from outside; faults stand before it, so a replay meets them again.
2. A rig without faults and tape pays nothing: `clear` says so before anything is made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from proofrig.faults.fault import Hit
from proofrig.faults.injector import carry
from proofrig.wire.answer import Answer
from proofrig.wire.outbound import Form, Outbound, Surface

if TYPE_CHECKING:
    from proofrig.gateways.gateway import Binding, Context

Send = Callable[[], Awaitable[Answer]]


class Tape(Protocol):
    """Records what comes from outside, or answers in its place."""

    async def carry(self, call: Outbound, send: Send) -> Answer:
        """The answer to a call. Raises what `send` raises."""


class Leg:
    """The leg of one call; `send` may be awaited again when the gateway tries again."""

    __slots__ = ("_context", "call", "hits")

    def __init__(self, context: Context, call: Outbound) -> None:
        self._context = context
        self.call = call
        self.hits: list[Hit] = []

    async def send(self, send: Send) -> Answer:
        """Carry the call out. Raises Cut where the connection is to break before any answer, and
        what `send` raises."""
        context, call = self._context, self.call
        tape = context.tape
        onward = send if tape is None else lambda: tape.carry(call, send)
        if context.faults is None or not call.faulted:
            return await onward()
        strikes = context.faults.upon(call)
        if not strikes:
            return await onward()
        self.hits += [hit for _, hit in strikes]
        return await carry(strikes, onward)

    @property
    def struck(self) -> list[str]:
        """The faults that took effect so far, by what they are called."""
        return [hit.title for hit in self.hits if hit.fired]


def clear(context: Context) -> bool:
    """True when nothing stands in the way of any call."""
    return context.faults is None and context.tape is None


def outbound(
    binding: Binding, surface: Surface, form: Form, action: str, name: str, **more: Any
) -> Outbound:
    """A call of a trial on its way out; `more` are the other members of `Outbound`."""
    return Outbound(
        surface=surface,
        form=form,
        action=action,
        name=name,
        token=binding.token,
        trial=binding.trial,
        tenant=binding.tenant,
        scope=binding.scope,
        case=binding.case,
        scenario=binding.scenario,
        began_ns=binding.began_ns,
        faulted=binding.faulted,
        **more,
    )
