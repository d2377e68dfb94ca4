"""What the connections of one egress gateway share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from proofrig.gateways.egress.access import Access
from proofrig.gateways.egress.allowance import Allowance
from proofrig.gateways.egress.callers import Asked, Caller, Callers
from proofrig.gateways.egress.certificates import Certificates
from proofrig.gateways.egress.hosts import Pattern, Place, fits, local
from proofrig.gateways.egress.limits import EgressLimits
from proofrig.gateways.egress.outside import Outside
from proofrig.gateways.egress.passage import Passage, Seen
from proofrig.gateways.egress.settings import VENDORS
from proofrig.gateways.egress.telemetry import Reporters

if TYPE_CHECKING:
    from proofrig.gateways.gateway import Binding, Context


@dataclass(slots=True)
class Desk:
    """certificates: None where nothing is intercepted. rig_port: of the rig's other gateways.
    allowances: bytes of each trial both ways, by its token; sending: those it sends."""

    context: Context
    access: Access
    callers: Callers
    reporters: Reporters
    outside: Outside
    limits: EgressLimits
    intercepted: tuple[Pattern, ...]
    certificates: Certificates | None
    rig_port: int
    max_bytes: int | None
    open: set[Passage] = field(default_factory=set)
    allowances: dict[str, Allowance] = field(default_factory=dict)
    sending: dict[str, Allowance] = field(default_factory=dict)

    def reads(self, where: Place) -> bool:
        """True when TLS to this place ends here."""
        if not fits(self.intercepted, where):
            return False
        return self.vendor(where) or not self.access.judge(where)

    def vendor(self, where: Place) -> bool:
        """True for a vendor whose default URLs the rig serves itself, where it is intercepted."""
        return where.port == 443 and where.host in VENDORS and fits(self.intercepted, where)

    def rigs(self, where: Place) -> bool:
        """True for the rig's other gateways."""
        return where.port == self.rig_port and local(where.host)

    def passage(self, asked: Asked, caller: Caller, seen: Seen) -> Passage:
        """A passage that has not begun."""
        binding = caller.binding
        token = binding.token
        if token not in self.allowances:
            over, limits = self._used_up(binding), self.context.admission.limiter.limits
            self.allowances[token] = Allowance(self.max_bytes, over)
            self.sending[token] = Allowance(limits.egress_bytes if token else None, over)
        return Passage(
            self.context,
            self.allowances[token],
            self.sending[token],
            binding,
            caller.channel,
            seen,
            asked.method,
            asked.where,
            asked.path,
        )

    def note(self, name: str, binding: Binding | None, **attrs: Any) -> None:
        """Write a note of a trial, or of none."""
        if binding is None or not binding.token:
            self.context.journal.write("note", name, attrs=attrs)
        else:
            self.context.admission.write("note", name, binding, "", attrs)

    def end(self, binding: Binding) -> None:
        """A trial has ended: what is open of it ends with it."""
        for passage in [one for one in self.open if one.binding.token == binding.token]:
            passage.give_up("agent", "the trial ended")
        self.allowances.pop(binding.token, None)
        self.sending.pop(binding.token, None)

    def _used_up(self, binding: Binding) -> Callable[[Allowance], None]:
        def said(allowance: Allowance) -> None:
            self.note("egress_cap", binding, limit=allowance.limit, used=allowance.used)

        return said
