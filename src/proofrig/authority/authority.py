"""The face of the ledger that gateways use: reserve, start, commit or release.

Rules:
1. Every call is synchronous and whole: nothing else runs in between on the same event loop.
2. Nothing starts before it is written: `start` returns after its reservation and itself are in
   the journal. While the journal cannot be written, `reserve` and `start` raise JournalError.
3. What has been spent is always booked: `commit`, `release`, `extend` and `sweep` move the balances
   even then, and are written as soon as the journal can be.
4. A denial consumed nothing. It says where, what remains there, and what to do.
5. The clock is passed in: nanoseconds that never go back. With a journal they go on over restarts
   (`time.time_ns`), since the expiry of a hold is written down.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal

import msgspec

from proofrig.authority.budget import Amounts, Balance
from proofrig.authority.journal import Journal
from proofrig.authority.ledger import Ledger, ReserveRequest, Source, Transition
from proofrig.errors import Denied, JournalError
from proofrig.history.action import Outcome


class Decision(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The answer to a reserve. id: the reservation's, as requested. The rest only on deny:
    code, the scope that refused, what remains there per limited unit, and what to do."""

    effect: Literal["allow", "deny"]
    id: str
    code: str = ""
    scope: str = ""
    remaining: dict[str, int] | None = None
    fix: str = ""

    @property
    def allowed(self) -> bool:
        return self.effect == "allow"

    def denied(self) -> Denied:
        """The denial as the error that reaches the agent."""
        return Denied(self.code, scope=self.scope, remaining=self.remaining, fix=self.fix)


class Authority:
    """Permission and budget for every action, over one ledger and, when given, its journal.

    Raises JournalError when the ledger has not taken in what the journal holds.
    """

    def __init__(self, ledger: Ledger, journal: Journal | None, clock: Callable[[], int]) -> None:
        if journal is not None and journal.last != ledger.seq:
            raise JournalError(
                f"{journal.path}: expected a ledger at transition {journal.last}, got one at "
                f"{ledger.seq}; replay the journal into it first, or use `recover`"
            )
        self._ledger = ledger
        self._journal = journal
        self._clock = clock

    def set_budget(self, scope: str, amounts: Amounts) -> None:
        """Limit `scope` in the units named; other units keep their limits."""
        self._write(self._ledger.set_budget(scope, amounts, self._clock()))

    def reserve(self, request: ReserveRequest) -> Decision:
        """Take the whole vector over every scope of the path, or deny and take nothing.

        Raises IdempotencyError when the id came with another payload, UsageError for amounts or a
        scope that are none, JournalError when the answer cannot be written.
        """
        journal = self._journal
        if journal is not None and journal.failure is not None:
            journal.flush()
        made = self._ledger.reserve(request, self._clock())
        if journal is not None:
            journal.append(made)
            if journal.failure is not None:
                raise journal.failure
        if made.event == "reserve":
            return Decision("allow", made.id)
        return _deny(made)

    def start(self, id: str) -> None:
        """Call right before the side effect. Raises LedgerError when `id` may not start,
        JournalError when it cannot be written; then the action must not happen."""
        made = self._ledger.start(id, self._clock())
        journal = self._journal
        if journal is not None:
            journal.append(made)
            journal.flush()

    def commit(
        self,
        id: str,
        actual: Amounts,
        source: Source = "measured",
        outcome: Outcome = "ok",
    ) -> dict[str, int]:
        """Book what the action cost and give the rest back. Returns what was charged: `actual`,
        and the hold in every unit that `actual` does not name. Raises LedgerError."""
        made = self._ledger.commit(id, actual, source, outcome, self._clock())
        self._write(made)
        return dict(made.amounts or {})

    def release(self, id: str, reason: str) -> None:
        """Give the whole hold back: the action certainly did not happen. Raises LedgerError."""
        self._write(self._ledger.release(id, reason, self._clock()))

    def extend(self, id: str, ttl_ns: int) -> None:
        """Let the hold live for `ttl_ns` from now: the heartbeat of long actions."""
        self._write(self._ledger.extend(id, ttl_ns, self._clock()))

    def sweep(self, *, everything: bool = False) -> list[Transition]:
        """End the holds that have run out; `everything`: all of them, when their callers are known
        to be dead. Call it every second or so. Returns what was ended."""
        now = self._clock()
        ended = self._ledger.expire_all(now) if everything else self._ledger.expire(now)
        for made in ended:
            self._write(made)
        return ended

    def ends(self, ids: Collection[str]) -> dict[str, Transition]:
        """The latest move of each of `ids` that the journal holds; empty without a journal."""
        return {} if self._journal is None else self._journal.ends(ids)

    def check(self) -> None:
        """Raises JournalError while transitions wait that the journal could not take."""
        if self._journal is not None and self._journal.failure is not None:
            self._journal.flush()

    def balances(self, scope: str) -> dict[str, Balance]:
        """Every unit limited or booked in `scope`. Costs a look at every live hold."""
        return self._ledger.balances(scope)

    def scopes(self) -> tuple[str, ...]:
        """Every scope limited or booked so far."""
        return self._ledger.scopes()

    def close(self) -> None:
        """Write what is queued and close the journal."""
        if self._journal is not None:
            self._journal.close()

    def _write(self, made: Transition) -> None:
        if self._journal is not None:
            self._journal.append(made)


def recover(path: Path | str, clock: Callable[[], int], *, set_aside: bool = False) -> Authority:
    """An authority on the journal at `path`, new or with the balances it left.

    Holds that were open stay open until they run out; `sweep(everything=True)` ends them now.
    Raises JournalError, see `Journal.replay`.
    """
    ledger, journal = Ledger(), Journal(path)
    try:
        journal.replay(ledger, set_aside=set_aside)
    except JournalError:
        journal.close()
        raise
    return Authority(ledger, journal, clock)


def _deny(made: Transition) -> Decision:
    asked, remaining = made.amounts or {}, made.remaining or {}
    short = {unit: left for unit, left in remaining.items() if asked.get(unit, -1) > left}
    wants = ", ".join(f"{asked[unit]} {unit} where {left} remain" for unit, left in short.items())
    return Decision(
        "deny",
        made.id,
        code="budget_exceeded",
        scope=made.at,
        remaining=remaining,
        fix=f"asked {wants}; ask for less, wait until open holds settle, or raise the budget of "
        f"{made.at}",
    )
