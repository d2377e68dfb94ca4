"""One request, or one tunnel, as an action: reserve, start, commit.

    begin ──▶ (connected, passed on) ──▶ settle        outcome ok, fail or unknown
      ╰─ a refusal: one `reserve` whose decision is `deny`, and nothing was sent

Rules:
1. Its name is `egress.connect` for a tunnel, else `egress.<method>`. It costs its milliseconds and
   the bytes that really passed, both ways.
2. What the gateway itself refuses (allow list, metadata, bytes used up) stands on the history as a
   denial does, with `blocked`; no ledger is asked.
3. Every passage that began is settled once.
4. A host that cannot be reached is no failure of the rig: which host to call is the agent's choice.
   Only the user's own proxy is `infra`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from proofrig.authority.budget import opening, traffic
from proofrig.authority.decision import Decision
from proofrig.authority.transition import ReserveRequest
from proofrig.errors import LedgerError, ProofrigError
from proofrig.gateways.egress.access import why
from proofrig.gateways.egress.allowance import Allowance
from proofrig.gateways.egress.hosts import Place
from proofrig.gateways.egress.registry import fetched
from proofrig.gateways.leg import Leg, outbound
from proofrig.gateways.tool_action import denial_text
from proofrig.history.action import Kind, Outcome

if TYPE_CHECKING:
    from proofrig.gateways.gateway import Binding, Context

Seen = Literal["tunnel", "plain", "intercepted"]
Cap = Literal["byte_cap", "limit_egress"]  # `egress.max_bytes`, `limits.egress_mb`
Ending = Literal["agent", "host", "byte_cap", "limit_egress", "rig"]  # what a tunnel ended by

HOLD_NS = 24 * 3600 * 1_000_000_000  # a tunnel may stand for long; it ends with its trial


class Refusal(msgspec.Struct, frozen=True):
    """Why a passage was refused, and what its agent is told."""

    code: str
    message: str


@dataclass(slots=True, eq=False)
class Passage:
    """A passage of a trial. allowance: its bytes in both directions; sending: those it sends.
    channel: how the trial was named. up, down: bytes that passed to the host, and from it."""

    context: Context
    allowance: Allowance
    sending: Allowance
    binding: Binding
    channel: str
    seen: Seen
    method: str
    where: Place
    path: str = ""
    id: str = ""
    up: int = 0
    down: int = 0
    began_ns: int = 0
    settled: bool = False
    task: asyncio.Task[object] | None = None
    leg: Leg | None = None
    stop: Callable[[Ending], None] | None = None  # ends a tunnel that stands
    facts: dict[str, Any] = field(default_factory=dict)  # for its commit

    @property
    def name(self) -> str:
        return f"egress.{self.method.lower()}"

    @property
    def spent(self) -> Cap | Literal[""]:
        """Which bytes of the trial are used up; "" while there are some."""
        if self.allowance.spent:
            return "byte_cap"
        return "limit_egress" if self.sending.spent else ""

    async def begin(self, blocked: str, body: bytes = b"") -> Refusal | None:
        """Reserve and start; waits only for an approval. blocked: why the gateway itself refuses
        it, "" when it does not. Raises ProofrigError when it cannot be written down."""
        context, binding = self.context, self.binding
        self.id = context.journal.new_action()
        held = opening(len(body))
        attrs: dict[str, Any] = self._said() | {"seen": self.seen, "channel": self.channel}
        attrs["estimate"] = held
        if self.method == "GET" and (package := fetched(self.path)) is not None:
            attrs |= package.facts()
        if body:
            attrs["request"] = context.journal.payload(body)
        blocked = blocked or self.spent
        if blocked:
            fix = why(blocked, self.where)
            denial = Decision("deny", self.id, blocked, fix=fix)
            self._write("reserve", attrs | denial.facts() | {"blocked": blocked})
            return Refusal(blocked, f"proofrig: {fix}")
        asking = ReserveRequest(self.id, binding.scope, self.name, held, HOLD_NS, self._said())
        decision = context.admission.ask(binding, asking, attrs).decision
        if decision.effect == "ask":
            decision = await context.admission.approved(binding, self.name, decision)
        if not decision.allowed:
            denied = decision.denied()
            return Refusal(denied.code, denial_text(denied))
        context.admission.start(binding, self.name, self.id)
        self.began_ns = context.clock()
        return None

    def send(self, size: int) -> int:
        """How many of `size` bytes may go to the host; they are counted."""
        taken = self.allowance.take(self.sending.take(size))
        self.up += taken
        return taken

    def receive(self, size: int) -> int:
        """How many of `size` bytes may come from the host; they are counted."""
        taken = self.allowance.take(size)
        self.down += taken
        return taken

    def outbound(self, headers: Any, body: bytes = b"", query: str = "") -> Leg:
        """The leg on which faults strike, and recordings are made."""
        self.leg = Leg(
            self.context,
            outbound(
                self.binding,
                "egress",
                "plain",
                self.id,
                self.name,
                method=self.method,
                host=self.where.host,
                port=self.where.port,
                path=self.path,
                query=query,
                headers=headers,
                body=body,
            ),
        )
        return self.leg

    def settle(self, outcome: Outcome, **facts: Any) -> None:
        """Write the passage's end, once."""
        if self.settled:
            return
        self.settled = True
        took = self.context.clock() - self.began_ns
        end: dict[str, Any] = {"outcome": outcome} | self.facts | facts
        end |= {"bytes_up": self.up, "bytes_down": self.down, "service_ns": took}
        if self.leg is not None and (struck := self.leg.struck):
            end["struck"] = struck
            end.pop("infra", None)
        cost = traffic(took, self.up + self.down)
        end["actual"] = cost
        with suppress(LedgerError):  # its hold ran out: it is charged, as unknown
            end["actual"] = self.context.authority.commit(self.id, cost, "measured", outcome)
        self._write("commit", end)

    def fail(self, why: str) -> None:
        """Settle what the rig itself broke."""
        if self.began_ns:
            with suppress(ProofrigError):
                self.settle("unknown", error=why)

    def give_up(self, by: Ending, why: str) -> None:
        """End it from outside: a tunnel as it stands, anything else as unknown."""
        if self.stop is not None:
            self.stop(by)
        elif self.began_ns:
            self.settle("unknown", error=why)
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()

    def _said(self) -> dict[str, Any]:
        """What rules can read of it."""
        said: dict[str, Any] = {"host": self.where.host, "port": self.where.port}
        return said | {"method": self.method} | ({"path": self.path} if self.path else {})

    def _write(self, kind: Kind, attrs: dict[str, Any]) -> None:
        self.context.admission.write(kind, self.name, self.binding, self.id, attrs)
