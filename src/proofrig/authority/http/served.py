"""What the HTTP service needs of an engine besides the contract, and the member in this process.

Rules:
1. `look` tells what is known of an id, `pending` what waits for approval.
2. What is answered is written: a call that moved the ledger and could not be written raises
   JournalError with `definite` False; the same call again gets its answer once it can be.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from proofrig.authority.budget import Amounts
from proofrig.authority.decision import Decision
from proofrig.authority.engine import Engine, MemoryEngine
from proofrig.authority.transition import ReserveRequest, Source, State, Transition
from proofrig.errors import JournalError
from proofrig.history.action import Outcome


class Seen(msgspec.Struct, frozen=True):
    """What is known of an id. opened: its reserve, ask, deny or event; last: its latest move. held:
    what it holds, or held when it ended. expires: when an open hold ends."""

    state: State
    opened: Transition
    last: Transition
    held: dict[str, int]
    expires: int


class ServedEngine(Engine, Protocol):
    """An engine that can be looked into."""

    async def look(self, id: str) -> Seen | None:
        """What is known of `id`; None when it is not, or no longer, known."""

    async def pending(self) -> list[str]:
        """The ids that wait for approval, oldest first."""

    async def check(self) -> None:
        """Raises InfraError while nothing can be written."""


class ServedMemory(MemoryEngine):
    """An `Authority` of this process, whose answers are written before they are given."""

    async def look(self, id: str) -> Seen | None:
        held = self.authority.reservation(id)
        if held is None:
            return None
        return Seen(held.state, held.opened, held.last, held.held, held.expires)

    async def pending(self) -> list[str]:
        return [opened.id for opened in self.authority.pending()]

    async def check(self) -> None:
        self.authority.check()

    async def commit(
        self, id: str, actual: Amounts, source: Source, outcome: Outcome, *, price: str = ""
    ) -> dict[str, int]:
        charged = await super().commit(id, actual, source, outcome, price=price)
        self._written()
        return charged

    async def release(self, id: str, reason: str) -> None:
        await super().release(id, reason)
        self._written()

    async def extend(self, id: str, ttl_ns: int) -> int:
        expires = await super().extend(id, ttl_ns)
        self._written()
        return expires

    async def event(
        self, request: ReserveRequest, source: Source, outcome: Outcome
    ) -> dict[str, int]:
        charged = await super().event(request, source, outcome)
        self._written()
        return charged

    async def approve(self, id: str, by: str) -> Decision:
        decision = await super().approve(id, by)
        self._written()
        return decision

    async def refuse(self, id: str, by: str, reason: str = "") -> Decision:
        decision = await super().refuse(id, by, reason)
        self._written()
        return decision

    async def set_budget(self, scope: str, amounts: Amounts) -> None:
        await super().set_budget(scope, amounts)
        self._written()

    async def stop(self, scope: str, reason: str) -> None:
        await super().stop(scope, reason)
        self._written()

    def _written(self) -> None:
        try:
            self.authority.check()
        except JournalError as error:
            raise JournalError(
                f"{error}; it counts here, and is written with the next call that can be",
                definite=False,
            ) from error
