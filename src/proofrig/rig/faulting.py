"""The faults of a rig, and what they may do to their surroundings."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from proofrig.faults import AnyFault
from proofrig.faults.fault import Fault
from proofrig.faults.injector import Injector
from proofrig.gateways.gateway import Binding, Context
from proofrig.rig.protocol import Strike, Struck
from proofrig.wire.outbound import Outbound

Holder = Callable[[Outbound, int], Callable[[], None] | None]

ANSWER_S = 5.0  # that a call which was cancelled waits for the runner


class Strikes:
    """Signals to the processes of trials, which the runner sends. say: a message to it."""

    def __init__(self, say: Callable[[Strike], None]) -> None:
        self._say = say
        self._asked: dict[int, asyncio.Future[int]] = {}
        self._count = 0

    async def send(self, token: str, number: int) -> int:
        """How many processes of the trial got the signal. Who is killed hangs up, and so cancels
        the call that is killed for: what was done is told all the same."""
        self._count += 1
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._asked[self._count] = answer
        self._say(Strike(token, number, self._count))
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            done, _ = await asyncio.wait({answer}, timeout=ANSWER_S)
            if not (done and answer.result()):
                raise
            return answer.result()

    def told(self, struck: Struck) -> None:
        """The runner's answer."""
        self._asked.pop(struck.number).set_result(struck.processes)


class Around:
    """What a fault may reach. hold: takes connections of the pool that serves a call."""

    def __init__(
        self, context: Context, services: Mapping[str, Any], hold: Holder, strikes: Strikes
    ) -> None:
        self.services = services
        self.hold = hold
        self._strikes = strikes
        self._resuming: set[asyncio.Task[int]] = set()
        self._bindings = context.bindings

    async def pause(self, token: str) -> int:
        return await self._strikes.send(token, signal.SIGSTOP)

    def resume(self, token: str) -> None:
        task = asyncio.ensure_future(self._strikes.send(token, signal.SIGCONT))
        self._resuming.add(task)
        task.add_done_callback(self._resuming.discard)

    async def kill(self, token: str) -> int:
        return await self._strikes.send(token, signal.SIGKILL)

    def renew(self, token: str) -> str:
        return self._bindings.renew(token)

    def expired(self, token: str, key: str) -> bool:
        return self._bindings.expired(token, key)


def injector(
    context: Context,
    written: Sequence[dict[str, Any]],
    seed: int,
    around: Around,
) -> Injector | None:
    """The suite's faults, as written; None when it has none. What they did to a trial is undone
    when it ends."""
    if not written:
        return None
    read: TypeAdapter[tuple[Fault, ...]] = TypeAdapter(tuple[AnyFault, ...])  # 50 ms to make
    faults = read.validate_python(written)

    def write(call: Outbound, kind: str, attrs: dict[str, Any]) -> None:
        owner = {"trial": call.trial, "tenant": call.tenant, "scope": call.scope}
        context.journal.write("fault", kind, **owner, id=call.action, attrs=attrs)

    made = Injector(faults, seed, context.clock, write, around)

    def ended(binding: Binding) -> None:
        made.end(binding.trial)

    context.bindings.on_end.append(ended)
    return made
