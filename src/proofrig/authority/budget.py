"""Budget vectors: amounts per unit, scopes as paths, and the accounts they are booked on.

Rules:
1. Every amount is an integer: micro-dollars, tokens, calls, milliseconds, bytes. Never a float.
2. A scope is a path `tenant/workflow/agent/run`, of any depth. An action is booked on its own
   scope and on every scope above it, so a parent's spent is the sum of its children and its own.
3. A level that does not apply is left empty: `acme//support` lies in `acme` and in no workflow.
4. An account has a limit and what is used of it: reserved + spent, the one figure admission looks
   at. Reserved is never kept: it is the sum of the live holds, and spent is the rest of used.
   What nobody limited is unlimited, and booked all the same.
5. remaining = allocated - reserved - spent. It is negative when actuals came out above their
   holds or a budget was lowered; debt is the part of spent above allocated.
6. A hold is taken on every account of a lane or on none.
7. Nobody knows beforehand how long a call will take and how much will come back, so a hold names
   the least of both (`opening`). A call is let in while something is left; what it took is booked
   when it ends, beyond the limit as debt, and the next call is denied.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from proofrig.errors import UsageError

Amounts = Mapping[str, int]

MAX_AMOUNT = (
    1 << 53
) - 1  # what every store and JSON reader holds exactly; $9.0e9 in micro-dollars
_UNLIMITED = 1 << 62  # above any sum of holds, so that an unlimited account needs no branch

_MS_NS = 1_000_000

_UNIT = re.compile(r"usd_micro|tokens|ms|bytes|calls(:\S+)?")


class Balance(msgspec.Struct, frozen=True):
    """One unit of one scope. `allocated` is None where nobody set a limit."""

    allocated: int | None
    reserved: int
    spent: int

    @property
    def remaining(self) -> int | None:
        """What may still be reserved; negative when over the limit, None when unlimited."""
        return None if self.allocated is None else self.allocated - self.reserved - self.spent

    @property
    def debt(self) -> int:
        """The part of spent above allocated."""
        return 0 if self.allocated is None else max(0, self.spent - self.allocated)


class Account:
    """The running figures of one (scope, unit)."""

    __slots__ = ("limit", "used")

    def __init__(self) -> None:
        self.limit = _UNLIMITED
        self.used = 0  # reserved + spent


# The accounts of one path, by unit, outermost scope first.
Lane = dict[str, tuple[Account, ...]]


def ancestors(scope: str) -> tuple[str, ...]:
    """`scope` and every scope above it, outermost first; empty levels are passed over.

    `acme//bot/r1` gives `acme`, `acme//bot`, `acme//bot/r1`. Raises UsageError when the path does
    not begin and end with a name.
    """
    levels = scope.split("/")
    if not levels[0] or not levels[-1]:
        raise UsageError(
            "scope: expected a path like tenant/workflow/agent/run that begins and ends with a "
            f"name, got {scope!r}; leave a level out by leaving it empty, as in acme//bot"
        )
    return tuple("/".join(levels[: n + 1]) for n, level in enumerate(levels) if level)


def one_call(kind: str, amounts: Amounts) -> dict[str, int]:
    """The vector of one call: `amounts`, one of `calls` and one of `calls:<kind>`."""
    return {"calls": 1, f"calls:{kind}": 1, **amounts}


def opening(sent: int) -> dict[str, int]:
    """What a call that sends `sent` bytes holds of time and bytes: one millisecond and those bytes,
    at least one, so that a limit that is used up lets nothing in."""
    return {"ms": 1, "bytes": max(1, sent)}


def traffic(ns: int, size: int) -> dict[str, int]:
    """The time and bytes of a call as they are booked: `ns` nanoseconds in milliseconds, rounded
    up, and `size` bytes sent and received."""
    return {"ms": -(-ns // _MS_NS), "bytes": size}


def hold(lane: Lane, amounts: Amounts) -> bool:
    """Take `amounts` at every account of `lane`; or take nothing and answer False."""
    for unit, amount in amounts.items():
        for account in lane[unit]:
            used = account.used + amount
            if used > account.limit:
                _give_back(lane, amounts, until=account)
                return False
            account.used = used
    return True


def _give_back(lane: Lane, amounts: Amounts, until: Account) -> None:
    for unit, amount in amounts.items():
        for account in lane[unit]:
            if account is until:
                return
            account.used -= amount


def settle(lane: Lane, held: Amounts, charged: Amounts) -> None:
    """Put `charged` in the place of `held` at every account of `lane`, whether it fits or not.

    Every unit of `held` is named in `charged`.
    """
    for unit, amount in charged.items():
        more = amount - held.get(unit, 0)
        if more:
            for account in lane[unit]:
                account.used += more


class Books:
    """All accounts, by scope and unit; made on first use."""

    def __init__(self) -> None:
        self._accounts: dict[str, dict[str, Account]] = {}
        self._lanes: dict[str, Lane] = {}

    def lane(self, scope: str, amounts: Amounts) -> Lane:
        """The accounts on which `amounts` are booked in `scope`. Raises UsageError for a scope or
        unit that is none, and for an amount that is not an integer from 0 to MAX_AMOUNT."""
        lane = self._lanes.get(scope)
        if lane is None:
            ancestors(scope)
            lane = self._lanes[scope] = {}
        for unit, amount in amounts.items():
            if type(amount) is not int or not 0 <= amount <= MAX_AMOUNT:
                raise UsageError(
                    f"amounts: expected integers from 0 to {MAX_AMOUNT}, got {unit}={amount!r}; "
                    "round up to whole units first"
                )
            if unit not in lane:
                lane[unit] = tuple(self._account(above, unit) for above in ancestors(scope))
        return lane

    def allocate(self, scope: str, amounts: Amounts) -> None:
        """Set the limits of `scope` in the units named. Raises UsageError, see `lane`."""
        self.lane(scope, amounts)
        for unit, amount in amounts.items():
            self._accounts[scope][unit].limit = amount

    def balances(self, scope: str, reserved: Amounts) -> dict[str, Balance]:
        """Every unit limited or booked in `scope`; `reserved` is the sum of its live holds."""
        return {
            unit: Balance(
                allocated=None if account.limit == _UNLIMITED else account.limit,
                reserved=reserved.get(unit, 0),
                spent=account.used - reserved.get(unit, 0),
            )
            for unit, account in self._accounts.get(scope, {}).items()
        }

    def scopes(self) -> tuple[str, ...]:
        """Every scope limited or booked so far, in order of first use."""
        return tuple(self._accounts)

    def refusal(self, scope: str, amounts: Amounts) -> tuple[str, dict[str, int]]:
        """The outermost scope in which `amounts` do not fit, and what remains there.

        `remaining` has every unit that is limited there. ("", {}) when the amounts fit.
        """
        for above in ancestors(scope):
            accounts = self._accounts[above]
            remaining = {
                unit: account.limit - account.used
                for unit, account in accounts.items()
                if account.limit != _UNLIMITED
            }
            if any(amounts.get(unit, -1) > left for unit, left in remaining.items()):
                return above, remaining
        return "", {}

    def _account(self, scope: str, unit: str) -> Account:
        if not _UNIT.fullmatch(unit):
            raise UsageError(
                "amounts: expected the units usd_micro, tokens, calls, calls:<kind>, ms or bytes, "
                f"got {unit!r}"
            )
        return self._accounts.setdefault(scope, {}).setdefault(unit, Account())
