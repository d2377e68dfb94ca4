"""The last leg of a call: from the gateway to whoever answers it, and back. Written once, for every
gateway.

    gateway ── faults ── tape (records or replays) ── send ── provider, tool, host

Rules:
1. What is recorded is what came from outside; faults stand before it, so a replay meets them again.
2. A rig without faults and tape pays nothing: `clear` says so before anything is made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from proofrig.errors import ProofrigError
from proofrig.faults.fault import Hit
from proofrig.faults.injector import carry
from proofrig.wire.answer import Answer
from proofrig.wire.outbound import Form, Outbound, Surface

if TYPE_CHECKING:
    from proofrig.gateways.gateway import Binding, Context

Send = Callable[[], Awaitable[Answer]]
_BLAME = ("infra", "throttled")


class Tape(Protocol):
    """Records what comes from outside, or answers in its place."""

    async def carry(self, call: Outbound, send: Send) -> Answer:
        """The answer to a call. Raises what `send` raises."""

    def keeps(self, call: Outbound) -> bool:
        """True when such a call never leaves: it is answered from here, or not at all."""

    def close(self) -> None:
        """End it. Raises InfraError when it could not be written."""


class Leg:
    """The leg of one call; `send` may be awaited again when the gateway tries again. carried: it
    went out (or was replayed), however its answer fared. unanswered: what it went out to gave no
    answer, which is no fault's doing."""

    __slots__ = ("_context", "call", "carried", "hits", "unanswered")

    def __init__(self, context: Context, call: Outbound) -> None:
        self._context = context
        self.call = call
        self.hits: list[Hit] = []
        self.carried = self.unanswered = False

    async def send(self, send: Send) -> Answer:
        """Carry the call out. Raises Cut where the connection is to break before any answer, and
        what `send` raises."""
        faults = self._context.faults
        strikes = faults.upon(self.call) if faults is not None and self.call.faulted else []
        self.hits += [hit for _, hit in strikes]
        return await carry(strikes, lambda: self._out(send))

    async def _out(self, send: Send) -> Answer:
        try:
            return await self.outside(send)
        except ProofrigError:
            self.unanswered = True
            raise

    async def outside(self, send: Send) -> Answer:
        """What lies behind all faults: the answer as it comes from outside, or from the tape."""
        self.carried = True
        tape = self._context.tape
        return await (send() if tape is None else tape.carry(self.call, send))

    @property
    def untouched(self) -> bool:
        """True of a call that was sent with no fault upon it and no tape."""
        return not self.hits and self._context.tape is None

    @property
    def spared(self) -> bool:
        """True of a call that no fault can strike any more, though some may look at it."""
        return all(hit.idle for hit in self.hits)

    @property
    def struck(self) -> list[str]:
        """The faults that took effect so far, by what they are called."""
        return [hit.title for hit in self.hits if hit.fired]


def clear(context: Context) -> bool:
    """True when nothing stands in the way of any call."""
    return context.faults is None and context.tape is None


def stayed(leg: Leg | None) -> bool:
    """True when a fault answered in place of the provider, or broke off before: nothing left."""
    return leg is not None and not leg.carried


def told(leg: Leg | None, facts: Mapping[str, Any], *, blamed: bool = False) -> dict[str, Any]:
    """The facts of the end of a call. What fails because a fault struck was asked for, and nobody
    else's failure: how the agent takes it is what is measured. `blamed`: it came from outside all
    the same."""
    if leg is None or not leg.struck:
        return dict(facts)
    kept = {
        name: fact for name, fact in facts.items() if blamed or leg.unanswered or name not in _BLAME
    }
    return kept | {"struck": leg.struck}


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
        faulted=binding.faulted and bool(binding.trial),  # what belongs to no trial is spared
        **more,
    )
