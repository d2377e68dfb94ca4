"""Shadow mode: everything is let through and booked, and what would have been decided is noted.

Rules:
1. Two ledgers get the same requests. The one that counts has neither rules nor limits and books
   what really happened; the shadow has both, and its own balances.
2. The shadow decides as enforcement would on the same requests: what it denies is not booked on it,
   and what then happens to such an action does not reach it. What would have asked is held until
   its time is over, as nobody is asked.
3. Nothing the shadow decides stops anything.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from proofrig.authority.authority import Authority, onward, replayed
from proofrig.authority.budget import Amounts
from proofrig.authority.decision import Decision
from proofrig.authority.journal import Journal
from proofrig.authority.ledger import Ledger
from proofrig.authority.policy import Policy
from proofrig.authority.transition import ReserveRequest, Source, Transition
from proofrig.errors import JournalError
from proofrig.history.action import Outcome


class Shadow(Authority):
    """An authority that denies nothing. judge: the shadow, which decides and is not obeyed."""

    def __init__(
        self,
        ledger: Ledger,
        journal: Journal | None,
        clock: Callable[[], int],
        judge: Authority,
    ) -> None:
        super().__init__(ledger, journal, clock)
        self.judge = judge

    @property
    def policy(self) -> Policy | None:
        return self.judge.policy

    def set_budget(self, scope: str, amounts: Amounts) -> None:
        """Limit `scope` in the shadow."""
        self.judge.set_budget(scope, amounts)

    def stop(self, scope: str, reason: str) -> None:
        """Stop `scope` in the shadow."""
        self.judge.stop(scope, reason)

    def reserve(self, request: ReserveRequest) -> Decision:
        self.judge.sweep()  # enforcement ends a wait for approval when it is over, not a beat later
        judged = None
        with suppress(JournalError):  # of the shadow's own journal
            judged = self.judge.reserve(request)
        decision = super().reserve(msgspec.structs.replace(request, ahead={}))
        return msgspec.structs.replace(decision, shadow=judged)

    def start(self, id: str) -> None:
        super().start(id)
        if self.judge.state(id) == "reserved":
            with suppress(JournalError):
                self.judge.start(id)

    def commit(
        self,
        id: str,
        actual: Amounts,
        source: Source = "measured",
        outcome: Outcome = "ok",
        *,
        price: str = "",
    ) -> dict[str, int]:
        charged = super().commit(id, actual, source, outcome, price=price)
        if self.judge.state(id) == "started":
            self.judge.commit(id, actual, source, outcome, price=price)
        return charged

    def release(self, id: str, reason: str) -> None:
        super().release(id, reason)
        if self.judge.state(id) in ("reserved", "started"):
            self.judge.release(id, reason)

    def extend(self, id: str, ttl_ns: int) -> int:
        if self.judge.state(id) in ("reserved", "started"):
            self.judge.extend(id, ttl_ns)
        return super().extend(id, ttl_ns)

    def event(
        self, request: ReserveRequest, source: Source = "measured", outcome: Outcome = "ok"
    ) -> dict[str, int]:
        self.judge.event(request, source, outcome)
        return super().event(request, source, outcome)

    def sweep(self, *, everything: bool = False) -> list[Transition]:
        self.judge.sweep(everything=everything)
        return super().sweep(everything=everything)

    def close(self) -> None:
        try:
            self.judge.close()
        finally:
            super().close()


def recover_shadow(path: Path | str, clock: Callable[[], int], judge: Authority) -> Shadow:
    """A shadow on the journal at `path`, new or with the balances it left; see
    `authority.recover`."""
    ledger, journal = replayed(path)
    return Shadow(ledger, journal, onward(clock, ledger.last_ns), judge)
