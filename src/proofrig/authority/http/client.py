"""The authority over HTTP: the same contract as an engine in this process.

    async with AuthorityClient(url, key, outbox=Path("outbox.jsonl")) as authority:
        decision = await authority.reserve(request)

Rules:
1. Every call is made again, with the same id, until it is answered; see `link`.
2. With an outbox, what an action cost is on disk before it is sent; `settle`, which also runs on
   open, sends what is left of an earlier process. A key that is refused keeps what it had to send.
3. A commit that comes after its hold ran out is booked as an event of what is above what was
   charged, under an id made from the reservation's: however many workers settle, once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from proofrig.authority.budget import Amounts, Balance
from proofrig.authority.decision import Decision
from proofrig.authority.engine import Engine
from proofrig.authority.http import messages as m
from proofrig.authority.http.link import (
    Answer,
    Expired,
    HttpLink,
    KeyRefused,
    Patience,
    Unknown,
)
from proofrig.authority.http.outbox import Outbox, Owed
from proofrig.authority.transition import ReserveRequest, Source
from proofrig.errors import InfraError, LedgerError, ProofrigError, UsageError
from proofrig.history.action import Outcome

WAIT_S = 20  # of one call that waits for an approval


@dataclass(slots=True)
class Settled:
    """What a `settle` did: the ids that were booked, those that stay in the outbox and why, and
    those that cannot be booked and why."""

    booked: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class AuthorityClient(Engine):
    """The authority's HTTP service at `url`, with or without its /v1.

    Use it in `async with`, or call `settle` and `close`. key: an API key; may be changed at any
    time. outbox: where what is owed is kept; None keeps nothing. fsync: of the outbox.
    Calls raise InfraError when the service cannot be reached, and otherwise what `engine` says.
    """

    def __init__(
        self,
        url: str,
        key: str = "",
        outbox: Path | None = None,
        *,
        fsync: bool = False,
        patience: Patience | None = None,
    ) -> None:
        self.outbox = None if outbox is None else Outbox(outbox, fsync=fsync)
        self._link = HttpLink(url, key, patience or Patience())

    @property
    def key(self) -> str:
        return self._link.key

    @key.setter
    def key(self, key: str) -> None:
        self._link.key = key

    async def __aenter__(self) -> AuthorityClient:
        await self.settle()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # ---- the engine

    async def reserve(self, request: ReserveRequest) -> Decision:
        body = m.Reserve(
            id=request.id,
            scope=request.scope,
            name=request.name,
            amounts=dict(request.amounts),
            ttl_ms=-(-request.ttl_ns // m.MS_NS),
            arguments=dict(request.arguments),
            root=request.root,
            also=list(request.also),
            ahead=dict(request.ahead),
            digest=request.digest,
        )
        return _decision(await self._link.call("POST", "reservations", body=body, decides=True))

    async def start(self, id: str) -> None:
        await self._link.call("POST", "reservations", id, "start")

    async def commit(
        self, id: str, actual: Amounts, source: Source, outcome: Outcome, *, price: str = ""
    ) -> dict[str, int]:
        """Book what the action cost. Returns what was charged, by the commit or, when the hold had
        run out, by its end and an event. An error keeps what is owed in the outbox, except where it
        can never be booked: then the outbox says why."""
        owed = Owed(id, dict(actual), source, outcome, price)
        if self.outbox is not None:
            self.outbox.put(owed)
        return await self._pay(owed)

    async def release(self, id: str, reason: str) -> None:
        await self._link.call("POST", "reservations", id, "release", body=m.Release(reason=reason))

    async def extend(self, id: str, ttl_ns: int) -> int:
        body = m.Extend(ttl_ms=-(-ttl_ns // m.MS_NS))
        answer = await self._link.call("POST", "reservations", id, "extend", body=body)
        extended: m.Extended = answer.read(m.Extended)
        return extended.expires_ms * m.MS_NS

    async def event(
        self, request: ReserveRequest, source: Source, outcome: Outcome
    ) -> dict[str, int]:
        body = m.Event(
            id=request.id,
            scope=request.scope,
            name=request.name,
            amounts=dict(request.amounts),
            source=source,
            outcome=outcome,
            also=list(request.also),
            digest=request.digest,
        )
        return _charged(await self._link.call("POST", "events", body=body))

    async def approve(self, id: str, by: str) -> Decision:
        body = m.Approve(by=by)
        return _decision(await self._link.call("POST", "reservations", id, "approve", body=body))

    async def refuse(self, id: str, by: str, reason: str = "") -> Decision:
        body = m.Refuse(by=by, reason=reason)
        return _decision(await self._link.call("POST", "reservations", id, "refuse", body=body))

    async def answer(self, id: str) -> Decision:
        while True:
            answer = await self._link.call("GET", "reservations", id, "answer", wait_s=WAIT_S)
            if answer.status == 200:
                return _decision(answer)

    async def set_budget(self, scope: str, amounts: Amounts) -> None:
        body = m.Limits(amounts=dict(amounts))
        await self._link.call("PUT", "budgets", scope, body=body)

    async def stop(self, scope: str, reason: str) -> None:
        await self._link.call("POST", "scopes", "stop", body=m.Stop(scope=scope, reason=reason))

    async def balances(self, scope: str) -> dict[str, Balance]:
        answer = await self._link.call("GET", "balances", scope=scope)
        told: m.Balances = answer.read(m.Balances)
        return {
            unit: Balance(one.allocated, one.reserved, one.spent)
            for unit, one in told.balances.items()
        }

    async def scopes(self) -> tuple[str, ...]:
        answer = await self._link.call("GET", "scopes")
        told: m.Scopes = answer.read(m.Scopes)
        return tuple(told.scopes)

    async def look(self, id: str) -> m.Reservation:
        """All that is known of a reservation. Raises LedgerError for an id that is not known."""
        answer = await self._link.call("GET", "reservations", id)
        told: m.Reservation = answer.read(m.Reservation)
        return told

    async def sweep(self) -> int:
        """The service sweeps by itself: 0."""
        return 0

    async def close(self) -> None:
        await self._link.close()

    # ---- what is owed

    async def settle(self) -> Settled:
        """Send what is left in the outbox. Raises JournalError when it cannot be read."""
        settled = Settled()
        if self.outbox is None:
            return settled
        for owed in self.outbox.left():
            try:
                await self._pay(owed)
                settled.booked.append(owed.id)
            except (KeyRefused, Unknown, InfraError) as error:
                settled.kept[owed.id] = str(error)
            except ProofrigError:
                pass
        settled.refused = self.outbox.refused()
        self.outbox.tidy()
        return settled

    async def _pay(self, owed: Owed) -> dict[str, int]:
        try:
            charged = await self._book(owed)
        except (KeyRefused, Unknown) as error:
            raise self._kept(error) from error
        except (LedgerError, UsageError) as error:
            if self.outbox is not None:
                self.outbox.refuse(owed.id, str(error))
            raise
        if self.outbox is not None:
            self.outbox.done(owed.id)
        return charged

    async def _book(self, owed: Owed) -> dict[str, int]:
        body = m.Commit(
            actual=owed.actual, source=owed.source, outcome=owed.outcome, price=owed.price
        )
        try:
            answer = await self._link.call("POST", "reservations", owed.id, "commit", body=body)
        except Expired as error:
            if error.reservation is None:
                raise
            return await self._book_late(owed, error.reservation)
        return _charged(answer)

    async def _book_late(self, owed: Owed, known: m.Reservation) -> dict[str, int]:
        """Book what an action cost above what the end of its hold has charged."""
        above = {
            unit: amount - known.charged.get(unit, 0)
            for unit, amount in owed.actual.items()
            if amount > known.charged.get(unit, 0)
        }
        if not above:
            return known.charged
        also = tuple(known.also)
        request = ReserveRequest(late_id(owed.id), known.scope, known.name, above, also=also)
        booked = await self.event(request, owed.source, owed.outcome)
        units = [*known.charged, *(unit for unit in booked if unit not in known.charged)]
        return {unit: known.charged.get(unit, 0) + booked.get(unit, 0) for unit in units}

    def _kept(self, error: ProofrigError) -> ProofrigError:
        """`error`, and that what is owed was kept."""
        if self.outbox is None:
            return error
        said = f"{error}; what it cost is kept in {self.outbox.path}: settle it with another key"
        return type(error)(said)


def late_id(id: str) -> str:
    """The id under which what came after the end of `id` is booked."""
    late = f"{id}.late"
    return late if len(late) <= m.MAX_ID else f"late.{hashlib.sha256(id.encode()).hexdigest()}"


def _charged(answer: Answer) -> dict[str, int]:
    told: m.Charged = answer.read(m.Charged)
    return told.charged


def _decision(answer: Answer) -> Decision:
    told: Any = answer.read(dict)
    if told.get("decision") == "deny":
        denied: m.Denied = answer.read(m.Denied)
        why = denied.reason
        return Decision(
            "deny",
            denied.id,
            why.code,
            why.rule,
            why.scope,
            why.remaining,
            why.fix,
            retry_ns=(why.retry_after_ms or 0) * m.MS_NS,
        )
    allowed: m.Allowed = answer.read(m.Allowed)
    return Decision(
        allowed.decision,
        allowed.id,
        rule=allowed.rule,
        max_tokens=allowed.max_tokens,
        wait_s=allowed.wait_ms / 1_000,
        shadow=None if allowed.would is None else _shadow(allowed.would, allowed.id),
    )


def _shadow(would: m.Verdict, id: str) -> Decision:
    why = would.reason
    if why is None:
        return Decision(would.decision, id, rule=would.rule, max_tokens=would.max_tokens)
    retry_ns = (why.retry_after_ms or 0) * m.MS_NS
    return Decision(
        would.decision,
        id,
        why.code,
        would.rule,
        why.scope,
        why.remaining,
        why.fix,
        retry_ns=retry_ns,
    )
