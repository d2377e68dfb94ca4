"""The moves a reservation can make, as a table, and what is written down of each.

    new ──reserve──▶ reserved ──start──▶ started ──commit──▶ committed
     │                 ▲  │ ╰─expire─▶ expired_released │ ╰─expire─▶ expired_charged
     ├─ask─▶ pending ──╯  ╰──────────release────────────┴─────────▶ released
     │      (approve)
     ├─deny─▶ denied
     ╰─event─▶ committed

Rules:
1. A move that the table does not have is refused, and nothing moves.
2. `pending` holds the budget as `reserved` does, and may not start: someone has to approve it.
   It ends as released when it is refused, as expired_released when nobody answers in time.
3. What a transition says is enough to make the same move again, and to give the same answer again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import msgspec

from proofrig.authority.books import Lane, Refusal
from proofrig.authority.budget import (
    MAX_AMOUNT,
    NO_STEP,
    SECOND_NS,
    Amounts,
    check_amount,
    is_step,
)
from proofrig.authority.ruling import ALLOWED, Ruling
from proofrig.errors import IdempotencyError, LedgerError, UsageError
from proofrig.history.action import Outcome

State = Literal[
    "new",
    "pending",
    "reserved",
    "started",
    "committed",
    "released",
    "expired_released",
    "expired_charged",
    "denied",
]
Event = Literal[
    "reserve", "ask", "deny", "approve", "start", "commit", "release", "extend", "expire", "event"
]
Source = Literal["measured", "partial", "estimated"]

TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    "new": {
        "reserve": "reserved",
        "ask": "pending",
        "deny": "denied",
        "event": "committed",
    },
    "pending": {
        "approve": "reserved",
        "release": "released",
        "extend": "pending",
        "expire": "expired_released",
    },
    "reserved": {
        "start": "started",
        "release": "released",
        "extend": "reserved",
        "expire": "expired_released",
    },
    "started": {
        "commit": "committed",
        "release": "released",
        "extend": "started",
        "expire": "expired_charged",
    },
    "committed": {},
    "released": {},
    "expired_released": {},
    "expired_charged": {},
    "denied": {},
}

MINUTE_NS = 60 * 1_000_000_000
RETENTION_NS = 10 * MINUTE_NS  # how long an id that has ended is remembered, unless one says
POLICY = "policy"

_NOTHING: dict[str, Any] = {}
_PLAIN = frozenset(("usd_micro", "tokens", "calls", "ms", "bytes"))


class ReserveRequest(msgspec.Struct, frozen=True, gc=False):
    """What an action asks for.

    id: the action's id, also its idempotency key. scope: see `budget.ancestors`. name:
    `llm.chat_completions`, `tool.refund`. amounts: the sound upper bound of what it may cost.
    ttl_ns: how long the hold lives unless it is extended. arguments, root: what rules read, see
    `ruling.Act`. also: scopes of the user's own that it belongs to besides its path. ahead: amounts
    that must fit besides its own but are not held: of calls that were asked for before it and have
    not come yet. digest: of all else that makes it the same request, for its idempotency.
    """

    id: str
    scope: str
    name: str
    amounts: Amounts
    ttl_ns: int = MINUTE_NS
    arguments: Mapping[str, Any] = _NOTHING
    root: str = ""
    also: tuple[str, ...] = ()
    ahead: Amounts = _NOTHING
    digest: str = ""


class Transition(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One move of the ledger; what a journal writes down.

    seq: its number, from 1, without gaps. t: the `now_ns` it was made at. state: the state it led
    to; `new` for `budget` and `stop`, which move a scope and no reservation. amounts: held by
    `reserve` and `ask`, asked by `deny`, charged by `commit`, `event` and `expire`, allocated by
    `budget`. expires: when the hold ends, for `reserve`, `ask`, `approve` and `extend`. reason: of
    a release or a stop; who approved.

    Of what opens a reservation: ttl_ns: of an `ask`, what its hold lives once approved. added: the
    units of `amounts` that rules put there. earns: booked on top when it ends ok. also, digest: as
    requested. rule, max_tokens: the rule that decided, and its cap. On `deny`: code, at (the scope
    that refused), remaining (what was left there), fix, retry_ns (when it would fit).
    Of `commit`: source, outcome, and price, which says where the rates come from.
    Of `budget`: reason, POLICY where the policy gave the limits; lifted, the units that the policy
    limited before and limits no more.
    """

    seq: int
    t: int
    event: Event | Literal["budget", "stop"]
    id: str
    state: State
    scope: str
    name: str = ""
    amounts: dict[str, int] | None = None
    expires: int = 0
    source: Source | Literal[""] = ""
    outcome: Outcome | Literal[""] = ""
    reason: str = ""
    at: str = ""
    remaining: dict[str, int] | None = None
    ttl_ns: int = 0
    added: tuple[str, ...] = ()
    earns: dict[str, int] | None = None
    also: tuple[str, ...] = ()
    digest: str = ""
    rule: str = ""
    code: str = ""
    fix: str = ""
    max_tokens: int | None = None
    retry_ns: int = 0
    price: str = ""
    lifted: tuple[str, ...] = ()

    def asked(self) -> dict[str, int]:
        """Of what opened a reservation: the amounts as its caller asked for them."""
        amounts = self.amounts or {}
        if not self.added:
            return amounts
        return {unit: amount for unit, amount in amounts.items() if unit not in self.added}

    def ttl(self) -> int:
        """Of what opened a reservation: how long its hold was asked to live."""
        return self.ttl_ns or self.expires - self.t


class Reservation(msgspec.Struct, gc=False):
    """What the ledger knows of one id. `opened` is its reserve, ask, deny or event, `last` its
    latest move."""

    state: State
    opened: Transition
    last: Transition
    held: dict[str, int]
    lane: Lane
    expires: int


def admission(
    request: ReserveRequest, ruling: Ruling, amounts: dict[str, int], seq: int, now_ns: int
) -> Transition:
    """The `reserve` or `ask` that lets a request in, holding `amounts`."""
    ttl = request.ttl_ns
    if (ruling is ALLOWED or ruling.plain) and not (request.also or request.digest):
        return Transition(
            seq,
            now_ns,
            "reserve",
            request.id,
            "reserved",
            request.scope,
            request.name,
            amounts,
            now_ns + ttl,
        )
    asks = ruling.effect == "ask"
    return Transition(
        seq,
        now_ns,
        "ask" if asks else "reserve",
        request.id,
        "pending" if asks else "reserved",
        request.scope,
        request.name,
        amounts,
        now_ns + (int(ruling.wait_s * SECOND_NS) if asks else ttl),
        ttl_ns=ttl if asks else 0,
        added=added(request, amounts),
        earns=dict(ruling.earns) or None,
        also=belongs_to(request, ruling),
        digest=request.digest,
        rule=ruling.rule,
        max_tokens=ruling.max_tokens,
    )


def denial(
    request: ReserveRequest,
    ruling: Ruling,
    amounts: dict[str, int],
    refusal: Refusal,
    made: tuple[int, int],
) -> Transition:
    """The `deny` of a request that asked for `amounts`. made: its number and its time."""
    by_rule = refusal.code == ruling.code
    return Transition(
        *made,
        "deny",
        request.id,
        "denied",
        request.scope,
        request.name,
        amounts,
        made[1] + request.ttl_ns,
        at=refusal.at,
        remaining=refusal.remaining,
        added=added(request, amounts),
        also=belongs_to(request, ruling),
        digest=request.digest,
        rule=ruling.rule if by_rule else "",
        code=refusal.code,
        fix=ruling.fix if by_rule else refusal.fix,
        retry_ns=refusal.retry_ns,
    )


def posting(
    request: ReserveRequest,
    amounts: dict[str, int],
    how: tuple[Source, Outcome],
    made: tuple[int, int],
) -> Transition:
    """The `event` of what has already happened. made: its number and its time."""
    return Transition(
        *made,
        "event",
        request.id,
        "committed",
        request.scope,
        request.name,
        amounts,
        made[1] + request.ttl_ns,
        *how,
        added=added(request, amounts),
        also=request.also,
        digest=request.digest,
    )


def giving(
    scope: str, limits: Amounts, had: Iterable[tuple[str, int]], made: tuple[int, int]
) -> Transition:
    """The `budget` of a policy's limits, which had others. made: its number and its time."""
    lifted = tuple(unit for unit, _ in had if unit not in limits)
    return Transition(
        *made, "budget", "", "new", scope, amounts=dict(limits), reason=POLICY, lifted=lifted
    )


def belongs_to(request: ReserveRequest, ruling: Ruling) -> tuple[str, ...]:
    """The user-defined scopes of a request: its own, then those that rules put it in."""
    if not ruling.also:
        return request.also
    return (*request.also, *(one for one in ruling.also if one not in request.also))


def added(request: ReserveRequest, amounts: Amounts) -> tuple[str, ...]:
    """The units of `amounts` that the request does not name."""
    return tuple(unit for unit in amounts if unit not in request.amounts)


def after(held: Reservation, event: Event) -> State:
    """The state `event` leads to. Raises LedgerError when the table has none."""
    state = TRANSITIONS[held.state].get(event)
    if state is None:
        raise LedgerError(no_such_move(held.opened.id, held.state, event))
    return state


def no_such_move(id: str, state: State, got: str) -> str:
    """What is said of a move that the table does not have."""
    allowed = ", ".join(TRANSITIONS[state]) or "nothing, it has ended"
    return f"reservation {id!r} is {state}: expected {allowed}; got {got}; nothing moved"


def holding(request: ReserveRequest, ruling: Ruling) -> dict[str, int]:
    """What a request holds once it is let in: what it asks for, and what rules add. Raises
    UsageError when it asks for less of a unit than rules count."""
    ttl = request.ttl_ns
    if type(ttl) is not int or not 0 < ttl <= MAX_AMOUNT:
        check_ttl(ttl)
    amounts = dict(request.amounts)
    if ruling.units:
        for unit, amount in ruling.units.items():
            if amounts.setdefault(unit, amount) < amount:
                raise UsageError(
                    f"amounts: expected at least {amount} {unit}, which rules count, got "
                    f"{amounts[unit]}; leave it out"
                )
    return amounts


def check_ttl(ttl_ns: int) -> None:
    """Raises UsageError for the life of a hold that cannot be kept exactly."""
    if type(ttl_ns) is not int or not 0 < ttl_ns <= MAX_AMOUNT:
        raise UsageError(
            f"ttl_ns: expected whole nanoseconds from 1 to {MAX_AMOUNT} (104 days), got {ttl_ns!r}"
        )


def charging(held: Amounts, earns: Amounts | None, actual: Amounts) -> dict[str, int]:
    """What a commit charges: `actual`, and the hold in every unit that it does not name. A unit
    with a colon counts what was done (`calls:tool`, `taint:web`): an actual never lowers it.
    Raises UsageError for a step, which is earned."""
    charged = {**held, **actual}
    if not actual.keys() <= _PLAIN:
        for unit, amount in actual.items():
            check_amount(unit, amount)
            if ":" in unit and unit in held:
                charged[unit] = max(amount, held[unit])
            elif is_step(unit):
                raise UsageError(NO_STEP.format(unit))
    return {**charged, **earns} if earns else charged


def same_call(opened: Transition, request: ReserveRequest, *, posted: bool) -> Transition:
    """`same_request` of a `reserve` or, posted, of an `event`, each of which has ids of its own."""
    if (opened.event == "event") is not posted:
        got = "event" if posted else "reserve"
        raise _other_payload(opened.id, opened.event, opened.event, got)
    return same_request(opened, request)


def same_request(opened: Transition, request: ReserveRequest) -> Transition:
    """The first answer to a request that comes again. Raises IdempotencyError for another one."""
    also = opened.also[: len(request.also)]
    was = (opened.scope, opened.name, opened.asked(), opened.ttl(), also, opened.digest)
    amounts, ttl = dict(request.amounts), request.ttl_ns
    got = (request.scope, request.name, amounts, ttl, request.also, request.digest)
    if was != got:
        raise _other_payload(opened.id, opened.event, was, got)
    return opened


def same_payload(held: Reservation, was: object, got: object) -> Transition:
    """The first answer to a move that comes again. Raises IdempotencyError for another one."""
    if was != got:
        raise _other_payload(held.opened.id, held.last.event, was, got)
    return held.last


def _other_payload(id: str, event: str, was: object, got: object) -> IdempotencyError:
    return IdempotencyError(
        f"reservation {id!r}, {event}: expected the payload of the first call, {was}; got {got}; "
        "nothing moved; use a new id for a new action"
    )
