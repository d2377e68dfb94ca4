"""The ledgers that runs left: read from zero, and checked against themselves and the history.

Rules:
1. A ledger is replayed from its journal, with the checks that a restart makes.
2. What does not fit is said in numbers. Windows and what a policy remembers of a run (taints,
   steps) are no amounts and are left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path

import msgspec

from proofrig.authority.budget import ancestors
from proofrig.authority.journal import Journal
from proofrig.authority.ledger import Ledger
from proofrig.authority.transition import Transition
from proofrig.history.action import Action

KEPT = 1_000
LEDGER = "authority.db"
_COUNTED = ("usd_micro", "tokens", "calls", "ms", "bytes")


class Account(msgspec.Struct, frozen=True):
    """One unit of one scope. allocated, remaining: None where nothing limits it."""

    scope: str
    unit: str
    allocated: int | None
    reserved: int
    spent: int
    remaining: int | None


class Accounts(msgspec.Struct, frozen=True):
    """The ledger of one run: all of its accounts, and its last moves."""

    accounts: list[Account]
    moves: list[Transition]

    def shown(self) -> list[Account]:
        """What a person wants to see: what is limited, with what its children used of it, and
        else the money of the runs."""
        units = {one.unit for one in self.accounts if one.allocated is not None} or {"usd_micro"}
        limited = [one.scope for one in self.accounts if one.allocated is not None]
        rows = [one for one in self.accounts if one.unit in units]
        if not limited:
            return [one for one in rows if one.scope.count("/") == 3]
        return [
            one
            for one in rows
            if one.scope in limited
            or (one.scope.count("/") == 3 and any(one.scope.startswith(f"{s}/") for s in limited))
        ]


class _Remembering(Ledger):
    """A ledger that keeps the last moves it takes in."""

    def __init__(self) -> None:
        super().__init__()
        self.moves: deque[Transition] = deque(maxlen=KEPT)

    def apply(self, made: Transition) -> None:
        super().apply(made)
        self.moves.append(made)


def read_accounts(run_dir: Path) -> Accounts:
    """The accounts of a run that has ended. Raises JournalError for a journal that cannot be
    trusted."""
    ledger = _Remembering()
    with Journal(run_dir / LEDGER) as journal:
        journal.replay(ledger)
    accounts = [
        Account(scope, unit, one.allocated, one.reserved, one.spent, one.remaining)
        for scope in sorted(ledger.scopes())
        for unit, one in sorted(ledger.balances(scope).items())
        if "/" not in unit and not unit.startswith(("taint:", "step:"))
    ]
    return Accounts(accounts, list(ledger.moves))


def unbalanced(accounts: Iterable[Account]) -> list[str]:
    """Where allocated is not remaining + reserved + spent, or a hold was never settled."""
    return [
        f"{one.scope} {one.unit}: {one}"
        for one in accounts
        if one.reserved
        or (one.allocated is not None and one.remaining != one.allocated - one.spent)
    ]


def unlike_children(accounts: Iterable[Account]) -> list[str]:
    """Where a scope did not spend what the scopes right below it spent together."""
    spent = {(one.scope, one.unit): one.spent for one in accounts}
    below: dict[tuple[str, str], int] = {}
    for (scope, unit), amount in spent.items():
        path = () if scope.startswith("@") else ancestors(scope)
        if len(path) > 1:
            below[path[-2], unit] = below.get((path[-2], unit), 0) + amount
    return [
        f"{scope} {unit}: {amount} below it, {spent.get((scope, unit))} of its own"
        for (scope, unit), amount in below.items()
        if spent.get((scope, unit)) != amount
    ]


def unlike_history(accounts: Iterable[Account], actions: Iterable[Action]) -> list[str]:
    """Where the ledger charged a run another amount than its history has."""
    spent = {(one.scope, one.unit): one.spent for one in accounts}
    charged: dict[tuple[str, str], int] = {}
    for action in actions:
        for unit, amount in action.attr("actual", {}).items():
            if unit in _COUNTED:
                place = action.scope, unit
                charged[place] = charged.get(place, 0) + amount
    return [
        f"{scope} {unit}: {amount} on the history, {spent.get((scope, unit))} in the ledger"
        for (scope, unit), amount in charged.items()
        if spent.get((scope, unit)) != amount
    ]
