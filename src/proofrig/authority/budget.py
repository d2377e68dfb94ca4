"""Budget vectors: amounts per unit, and the scopes they are booked in.

Rules:
1. Every amount is an integer: micro-dollars, tokens, calls, milliseconds, bytes. Never a float.
2. A scope is a path `tenant/workflow/agent/run`, of any depth. An action is booked on its own
   scope and on every scope above it, so a parent's spent is the sum of its children and its own.
3. A level that does not apply is left empty: `acme//support` lies in `acme` and in no workflow.
   A scope of the user's own making begins with `@` (`@writes`); an action may belong to several.
4. remaining = allocated - reserved - spent. It is negative when actuals came out above their
   holds or a budget was lowered; debt is the part of spent above allocated.
5. Nobody knows beforehand how long a call will take and how much will come back, so a hold names
   the least of both (`opening`). A call is let in while something is left; what it took is booked
   when it ends, beyond the limit as debt, and the next call is denied.
6. A limit may hold for a window: `tokens/minute`, `usd_micro/day`. What is booked has no window.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from proofrig.errors import UsageError

Amounts = Mapping[str, int]

# What every store and JSON reader holds exactly; $9.0e9 in micro-dollars.
MAX_AMOUNT = (1 << 53) - 1

RUN_LEVELS = 4  # tenant/workflow/agent/run; what lies below are child scopes of the run

SECOND_NS = 1_000_000_000
WINDOWS = {"minute": 60 * SECOND_NS, "hour": 3600 * SECOND_NS, "day": 86_400 * SECOND_NS}

NO_STEP = (
    "amounts: expected units that actions use, got {!r}; a step begins when the action that leads "
    "to it has ended ok"
)

_MS_NS = 1_000_000
_UNIT = re.compile(
    r"(usd_micro|tokens|ms|bytes|children|(?:calls(?::[^\s/]+)?)|(?:taint|step):[^\s/]+)"
    rf"(?:/({'|'.join(WINDOWS)}))?"
)


class Balance(msgspec.Struct, frozen=True):
    """One unit of one scope. `allocated` is None where nobody set a limit. Of a window, `spent` is
    all that counts in it now, open holds too."""

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


def run_of(scope: str) -> str:
    """The run that `scope` belongs to: its first four levels, or itself when it has fewer. Of empty
    levels at the end nothing is booked: then it is the scope above them."""
    if scope.count("/") < RUN_LEVELS:
        return scope
    return "/".join(scope.split("/")[:RUN_LEVELS]).rstrip("/")


def unit_and_window(unit: str) -> tuple[str, str]:
    """`tokens/minute` as (`tokens`, `minute`); the window is "" where there is none. Raises
    UsageError for a unit that is none."""
    found = _UNIT.fullmatch(unit)
    if found is None:
        raise UsageError(
            "amounts: expected the units usd_micro, tokens, calls, calls:<kind>, ms, bytes or "
            f"children, in a limit also with /minute, /hour or /day; got {unit!r}"
        )
    return found[1], found[2] or ""


def check_amount(unit: str, amount: int) -> None:
    """Raises UsageError for an amount that is not an integer from 0 to MAX_AMOUNT."""
    if type(amount) is not int or not 0 <= amount <= MAX_AMOUNT:
        raise UsageError(
            f"amounts: expected integers from 0 to {MAX_AMOUNT}, got {unit}={amount!r}; "
            "round up to whole units first"
        )


def is_step(unit: str) -> bool:
    return unit.startswith("step:")


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
