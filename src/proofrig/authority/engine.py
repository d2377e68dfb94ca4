"""The contract of an authority as other code awaits it, and its member in this process.

Members: `MemoryEngine` here, over an `Authority`; `RedisEngine`, one ledger for many processes and
machines; `AuthorityClient`, over HTTP. All decide alike on the same requests.

Rules:
1. `start` comes before the side effect and after an allowed reserve; `commit` or `release` once
   after it. Any call may be made again with the same payload and gets the same answer.
2. What is refused raises: LedgerError for a move the table does not have, IdempotencyError for
   another payload under the same id, UsageError for what cannot be booked, JournalError or another
   InfraError when the answer could not be kept.
3. `answer` returns once somebody approved or refused what asked, or its time was over.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from proofrig.authority.authority import Authority
from proofrig.authority.budget import Amounts, Balance
from proofrig.authority.decision import Decision
from proofrig.authority.transition import ReserveRequest, Source
from proofrig.history.action import Outcome


class Engine(Protocol):
    """See `authority.Authority`, whose calls these are."""

    async def reserve(self, request: ReserveRequest) -> Decision: ...

    async def start(self, id: str) -> None: ...

    async def commit(
        self, id: str, actual: Amounts, source: Source, outcome: Outcome, *, price: str = ""
    ) -> dict[str, int]: ...

    async def release(self, id: str, reason: str) -> None: ...

    async def extend(self, id: str, ttl_ns: int) -> int: ...

    async def event(
        self, request: ReserveRequest, source: Source, outcome: Outcome
    ) -> dict[str, int]: ...

    async def approve(self, id: str, by: str) -> Decision: ...

    async def refuse(self, id: str, by: str, reason: str = "") -> Decision: ...

    async def answer(self, id: str) -> Decision: ...

    async def set_budget(self, scope: str, amounts: Amounts) -> None: ...

    async def stop(self, scope: str, reason: str) -> None: ...

    async def balances(self, scope: str) -> dict[str, Balance]: ...

    async def scopes(self) -> tuple[str, ...]: ...

    async def sweep(self) -> int:
        """End the holds that have run out; how many there were."""

    async def close(self) -> None: ...


class MemoryEngine:
    """An `Authority` of this process."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority

    async def reserve(self, request: ReserveRequest) -> Decision:
        return self.authority.reserve(request)

    async def start(self, id: str) -> None:
        self.authority.start(id)

    async def commit(
        self, id: str, actual: Amounts, source: Source, outcome: Outcome, *, price: str = ""
    ) -> dict[str, int]:
        return self.authority.commit(id, actual, source, outcome, price=price)

    async def release(self, id: str, reason: str) -> None:
        self.authority.release(id, reason)

    async def extend(self, id: str, ttl_ns: int) -> int:
        return self.authority.extend(id, ttl_ns)

    async def event(
        self, request: ReserveRequest, source: Source, outcome: Outcome
    ) -> dict[str, int]:
        return self.authority.event(request, source, outcome)

    async def approve(self, id: str, by: str) -> Decision:
        return self.authority.approve(id, by)

    async def refuse(self, id: str, by: str, reason: str = "") -> Decision:
        return self.authority.refuse(id, by, reason)

    async def answer(self, id: str) -> Decision:
        coming: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()

        def tell(decision: Decision) -> None:
            if not coming.done():
                coming.set_result(decision)

        self.authority.when_answered(id, tell)
        try:
            return await coming
        finally:
            self.authority.no_longer(id, tell)

    async def set_budget(self, scope: str, amounts: Amounts) -> None:
        self.authority.set_budget(scope, amounts)

    async def stop(self, scope: str, reason: str) -> None:
        self.authority.stop(scope, reason)

    async def balances(self, scope: str) -> dict[str, Balance]:
        return self.authority.balances(scope)

    async def scopes(self) -> tuple[str, ...]:
        return self.authority.scopes()

    async def sweep(self) -> int:
        return len(self.authority.sweep())

    async def close(self) -> None:
        self.authority.close()
