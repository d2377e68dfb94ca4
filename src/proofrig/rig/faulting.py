"""The faults of a rig, and what they may do to their surroundings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from proofrig.faults import AnyFault
from proofrig.faults.fault import Fault
from proofrig.faults.injector import Injector
from proofrig.gateways.gateway import Binding, Context
from proofrig.sandboxes.process import halt, resume, sweep
from proofrig.wire.outbound import Outbound

Holder = Callable[[Outbound, int], Callable[[], None] | None]

_faults: TypeAdapter[tuple[Fault, ...]] = TypeAdapter(tuple[AnyFault, ...])


class Around:
    """What a fault may reach. hold: takes connections of the pool that serves a call."""

    def __init__(self, context: Context, services: Mapping[str, Any], hold: Holder) -> None:
        self.services = services
        self.hold = hold
        self._bindings = context.bindings

    def pause(self, token: str) -> int:
        return halt(token)

    def resume(self, token: str) -> int:
        return resume(token)

    def kill(self, token: str) -> int:
        return sweep(token)

    def renew(self, token: str) -> str:
        return self._bindings.renew(token)

    def expired(self, token: str, key: str) -> bool:
        return self._bindings.expired(token, key)


def injector(
    context: Context,
    written: Sequence[dict[str, Any]],
    seed: int,
    services: Mapping[str, Any],
    hold: Holder,
) -> Injector | None:
    """The suite's faults, as written; None when it has none. What they did to a trial is undone
    when it ends."""
    faults = _faults.validate_python(written)
    if not faults:
        return None

    def write(call: Outbound, kind: str, attrs: dict[str, Any]) -> None:
        owner = {"trial": call.trial, "tenant": call.tenant, "scope": call.scope}
        context.journal.write("fault", kind, **owner, id=call.action, attrs=attrs)

    around = Around(context, services, hold)
    made = Injector(faults, seed, context.clock, write, around)

    def ended(binding: Binding) -> None:
        made.end(binding.trial)

    context.bindings.on_end.append(ended)
    return made
