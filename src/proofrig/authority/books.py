"""The accounts of a ledger: what is used of every unit in every scope.

Rules:
1. An account has a limit and what is used of it: reserved + spent, the one figure admission looks
   at. Reserved is never kept: it is the sum of the live holds, and spent is the rest of used.
   What nobody limited is unlimited, and booked all the same.
2. A hold is taken on every account and window of a lane or on none.
3. `children` is booked on a parent alone, once for each direct child scope that was ever let in.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Protocol

import msgspec

from proofrig.authority.budget import (
    MAX_AMOUNT,
    NO_STEP,
    Amounts,
    Balance,
    ancestors,
    check_amount,
    is_step,
    unit_and_window,
)
from proofrig.authority.windows import Window
from proofrig.errors import UsageError

_UNLIMITED = 1 << 62  # above any sum of holds, so that an unlimited account needs no branch
_NO_AMOUNTS: Amounts = {}
Limits = tuple[tuple[str, int], ...]


class Account:
    """The running figures of one (scope, unit)."""

    __slots__ = ("limit", "used")

    def __init__(self) -> None:
        self.limit = _UNLIMITED
        self.used = 0  # reserved + spent


class Lane:
    """Where the amounts of one path are booked. accounts: by unit, those of the scopes outermost
    first. windows: of the same scopes, by unit. fresh: a scope of the path was never entered."""

    __slots__ = ("accounts", "fresh", "scopes", "windows")

    def __init__(
        self, scopes: tuple[str, ...], windows: tuple[dict[str, list[Window]], ...]
    ) -> None:
        self.scopes = scopes
        self.accounts: dict[str, tuple[Account, ...]] = {}
        self.windows = windows
        self.fresh = True


class Refusal(msgspec.Struct, frozen=True):
    """Why amounts were not held: the code, the outermost scope in which they do not fit, what
    remains there of every unit that is limited, in how long they will fit (0: not known), and what
    to do."""

    code: str
    at: str
    remaining: dict[str, int]
    retry_ns: int = 0
    fix: str = ""


def hold(lane: Lane, amounts: Amounts, now_ns: int = 0) -> bool:
    """Take `amounts` at every account of `lane`; or take nothing and answer False."""
    for by_unit in lane.windows:
        if by_unit and not _fits(by_unit, amounts, now_ns):
            return False
    accounts = lane.accounts
    for unit, amount in amounts.items():
        for account in accounts[unit]:
            used = account.used + amount
            if used > account.limit:
                _give_back(lane, amounts, until=account)
                return False
            account.used = used
    for by_unit in lane.windows:
        if by_unit:
            _count(by_unit, amounts, now_ns)
    return True


def _fits(by_unit: dict[str, list[Window]], amounts: Amounts, now_ns: int) -> bool:
    return all(
        window.at(now_ns) + amounts[unit] <= window.limit
        for unit, windows in by_unit.items()
        if unit in amounts
        for window in windows
    )


def _count(by_unit: dict[str, list[Window]], amounts: Amounts, now_ns: int) -> None:
    for unit, windows in by_unit.items():
        if unit in amounts:
            for window in windows:
                window.add(amounts[unit], now_ns)


def _give_back(lane: Lane, amounts: Amounts, until: Account) -> None:
    for unit, amount in amounts.items():
        for account in lane.accounts[unit]:
            if account is until:
                return
            account.used -= amount


class Opened(Protocol):
    """When a hold was taken: the number of its transition, and its time."""

    @property
    def seq(self) -> int: ...

    @property
    def t(self) -> int: ...


def settle(lane: Lane, held: Amounts, charged: Amounts, opened: Opened, now_ns: int) -> None:
    """Put `charged` in the place of `held` at every account of `lane`, whether it fits or not.

    Every unit of `held` is named in `charged`.
    """
    accounts = lane.accounts
    for unit, amount in charged.items():
        more = amount - held.get(unit, 0)
        if more:
            for account in accounts[unit]:
                account.used += more
    for by_unit in lane.windows:
        for unit, windows in by_unit.items():
            if unit in charged:
                for window in windows:
                    was = held.get(unit, 0) if opened.seq > window.since else 0
                    window.settle(was, charged[unit], opened.t, now_ns)


class Books:
    """All accounts, by scope and unit; made on first use."""

    def __init__(self) -> None:
        self._accounts: dict[str, dict[str, Account]] = {}
        self._windows: dict[str, dict[str, list[Window]]] = {}
        self._lanes: dict[tuple[str, tuple[str, ...]], Lane] = {}
        self._entered: set[str] = set()
        self.given: dict[str, Limits] = {}  # scope -> the limits that a policy gave it last
        self._alike: dict[Limits, Limits] = {}

    def lane(
        self, scope: str, amounts: Amounts, also: tuple[str, ...] = (), *, asked: bool = False
    ) -> Lane:
        """The accounts on which `amounts` are booked in `scope` and in each scope of `also`. asked:
        somebody asks for them, and a step that was not earned is none of them. Raises UsageError
        for a scope, a unit or an amount that is none."""
        lane = self._lanes.get((scope, also))
        if lane is None:
            lane = self._lanes[scope, also] = self._new_lane(scope, also)
        accounts = lane.accounts
        for unit, amount in amounts.items():
            if type(amount) is not int or not 0 <= amount <= MAX_AMOUNT:
                check_amount(unit, amount)
            if unit not in accounts:
                if unit_and_window(unit)[1] or unit == "children":
                    raise UsageError(
                        f"amounts: expected a unit that actions use, got {unit!r}; only limits "
                        "have windows and count children"
                    )
                if asked and is_step(unit):
                    raise UsageError(NO_STEP.format(unit))
                accounts[unit] = tuple(self._account(above, unit) for above in lane.scopes)
        return lane

    def _new_lane(self, scope: str, also: tuple[str, ...]) -> Lane:
        scopes = list(ancestors(scope))
        for other in also:
            if not other.startswith("@") or scope.startswith("@"):
                raise UsageError(
                    "also: expected scopes of your own that begin with @, like @writes, beside a "
                    f"path; got {other!r} beside {scope!r}"
                )
            scopes += [above for above in ancestors(other) if above not in scopes]
        return Lane(tuple(scopes), tuple(self._windows.setdefault(one, {}) for one in scopes))

    def allocate(self, scope: str, amounts: Amounts, seq: int) -> None:
        """Set the limits of `scope` in the units named, as transition `seq`. Raises UsageError."""
        ancestors(scope)
        wanted = [(unit_and_window(unit), amount) for unit, amount in amounts.items()]
        for (unit, _), amount in wanted:
            check_amount(unit, amount)
        for (unit, name), amount in wanted:
            account = self._account(scope, unit)
            if not name:
                account.limit = amount
                continue
            windows = self._windows.setdefault(scope, {}).setdefault(unit, [])
            window = next((one for one in windows if one.name == name), None)
            if window is None:
                window = Window(name, seq)
                windows.append(window)
            window.limit = amount

    def note_given(self, scope: str, limits: Amounts) -> None:
        """Remember what a policy gave; most scopes are given the same."""
        given = tuple(sorted(limits.items()))
        self.given[scope] = self._alike.setdefault(given, given)

    def lift(self, scope: str, units: Iterable[str]) -> None:
        """Take the limits of `scope` in `units` away."""
        for name in units:
            unit, width = unit_and_window(name)
            if not width:
                self._account(scope, unit).limit = _UNLIMITED
                continue
            windows = self._windows.get(scope, {}).get(unit, [])
            windows[:] = [window for window in windows if window.name != width]

    def used(self, scope: str, unit: str) -> int:
        """What is reserved and spent of a unit in a scope."""
        account = self._accounts.get(scope, {}).get(unit)
        return 0 if account is None else account.used

    def left(self, scope: str, unit: str, now_ns: int) -> int | None:
        """The least that remains of a unit in `scope` and above; None where nothing limits it."""
        left = [
            remaining
            for above in ancestors(scope)
            for name, remaining in self._remaining(above, now_ns).items()
            if name.partition("/")[0] == unit
        ]
        return min(left, default=None)

    def balances(self, scope: str, reserved: Amounts, now_ns: int) -> dict[str, Balance]:
        """Every unit limited or booked in `scope`; `reserved` is the sum of its live holds."""
        found = {
            unit: Balance(
                allocated=None if account.limit == _UNLIMITED else account.limit,
                reserved=reserved.get(unit, 0),
                spent=account.used - reserved.get(unit, 0),
            )
            for unit, account in self._accounts.get(scope, {}).items()
            if unit != "children" or account.limit != _UNLIMITED
        }
        for unit, windows in self._windows.get(scope, {}).items():
            for window in windows:
                found[f"{unit}/{window.name}"] = Balance(window.limit, 0, window.at(now_ns))
        return found

    def knows(self, scope: str) -> bool:
        """True once `scope` was limited or booked."""
        return scope in self._accounts

    def scopes(self) -> tuple[str, ...]:
        """Every scope limited or booked so far, in order of first use."""
        return tuple(self._accounts)

    # ---- refusals

    def refusal(
        self, lane: Lane, amounts: Amounts, now_ns: int, ahead: Amounts = _NO_AMOUNTS
    ) -> Refusal | None:
        """Why `amounts`, and `ahead` besides, do not fit; None when they do."""
        if ahead:
            amounts = {unit: amount + ahead.get(unit, 0) for unit, amount in amounts.items()}
        for scope in lane.scopes:
            remaining, retry_ns = self._remaining(scope, now_ns), 0
            short = [
                unit
                for unit, left in remaining.items()
                if (name := unit.partition("/")[0]) in amounts and amounts[name] > left
            ]
            if not short:
                continue
            for unit in short:
                name, _, width = unit.partition("/")
                if not width:
                    return Refusal("budget_exceeded", scope, remaining)
                for window in self._windows[scope][name]:
                    if window.name == width:
                        retry_ns = max(retry_ns, window.wait_ns(amounts[name], now_ns))
            return Refusal("rate_exceeded", scope, remaining, retry_ns)
        return None

    def _remaining(self, scope: str, now_ns: int) -> dict[str, int]:
        remaining = {
            unit: account.limit - account.used
            for unit, account in self._accounts.get(scope, {}).items()
            if account.limit != _UNLIMITED and unit != "children"
        }
        for unit, windows in self._windows.get(scope, {}).items():
            for window in windows:
                remaining[f"{unit}/{window.name}"] = window.limit - window.at(now_ns)
        return remaining

    # ---- child scopes

    def crowded(self, lane: Lane) -> Refusal | None:
        """The first scope of the lane's path that may not have the child it would get; None when
        all may. Only of a lane that is fresh."""
        for parent in self._new_children(lane):
            account = self._accounts.get(parent, {}).get("children")
            if account is not None and account.used >= account.limit:
                left = {"children": account.limit - account.used}
                return Refusal("fan_out_exceeded", parent, left)
        return None

    def enter(self, lane: Lane) -> None:
        """An action was let in: its scopes are children of their parents from now on."""
        for parent in self._new_children(lane):
            self._account(parent, "children").used += 1
        self._entered.update(lane.scopes)
        lane.fresh = False

    def _new_children(self, lane: Lane) -> list[str]:
        """The parents of the scopes never entered, each with one new child at most."""
        path = [scope for scope in lane.scopes if not scope.startswith("@")]
        return [parent for parent, child in pairwise(path) if child not in self._entered]

    def _account(self, scope: str, unit: str) -> Account:
        return self._accounts.setdefault(scope, {}).setdefault(unit, Account())
