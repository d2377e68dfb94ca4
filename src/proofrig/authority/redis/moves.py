"""What the scripts of the ledger in Redis are given, and how their answers read: plain values.

Rules:
1. A transition is made by the functions of the ledger in memory, without its number and its time,
   which the script puts before it.
2. Where a move leads to is read from the one table of transitions.
3. Units, held amounts and charged amounts are lists of the same order.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from proofrig.authority.books import Books, Refusal
from proofrig.authority.budget import Amounts, check_amount
from proofrig.authority.decision import Decision, approved, decision_of, refused
from proofrig.authority.ruling import Ruling
from proofrig.authority.transition import (
    POLICY,
    TRANSITIONS,
    Event,
    Reservation,
    ReserveRequest,
    Source,
    State,
    Transition,
    charging,
    denial,
)
from proofrig.history.action import Outcome

US_NS = 1_000
_REMEMBERED = 4_096

# What is given to a script, and the scopes that it may touch.
Given = tuple[dict[str, Any], tuple[str, ...]]
# Of each state that a reservation may end in: its transition, and what it charges.
Ends = Mapping[State, tuple[Transition, Amounts]]

replace = msgspec.structs.replace
_encode = msgspec.json.Encoder().encode
_HEAD = len(b'{"seq":0,"t":0')


def micros(ns: int) -> int:
    """Whole microseconds, rounded up."""
    return -(-ns // US_NS)


def in_micros(request: ReserveRequest) -> ReserveRequest:
    """The request with its time to live in whole microseconds."""
    return replace(request, ttl_ns=micros(request.ttl_ns) * US_NS)


def tail(made: Transition) -> str:
    """A transition as JSON without what the script puts before it: number, time, end of a hold."""
    return _encode(replace(made, expires=0) if made.expires else made)[_HEAD:].decode()


def numbered(made: Transition, seq: int, t_us: int) -> Transition:
    """What was made at number and time 0, at those that the script gave it."""
    t = t_us * US_NS
    return replace(made, seq=seq, t=t, expires=t + made.expires)


def scopes_of(scope: str, amounts: Amounts, also: tuple[str, ...]) -> tuple[str, ...]:
    """The scopes that amounts are booked in, outermost first. Raises UsageError."""
    scopes = _path(scope, also)
    for unit, amount in amounts.items():
        _check_unit(unit)
        check_amount(unit, amount)
    return scopes


@lru_cache(_REMEMBERED)
def _path(scope: str, also: tuple[str, ...]) -> tuple[str, ...]:
    return Books().lane(scope, {}, also).scopes


@lru_cache(_REMEMBERED)
def _check_unit(unit: str) -> None:
    Books().lane("any", {unit: 0})


def held_by(opened: Transition) -> dict[str, int]:
    """What is held by what opened a reservation."""
    return {} if opened.event == "deny" else opened.amounts or {}


def booking(request: ReserveRequest, amounts: Amounts, scopes: tuple[str, ...]) -> dict[str, Any]:
    """What `reserve` and `event` are given alike."""
    return {
        "id": request.id,
        "path": sum(not scope.startswith("@") for scope in scopes),
        "units": [*amounts],
        "amounts": [*amounts.values()],
        "ttl": request.ttl_ns // US_NS,
    }


def asking(
    request: ReserveRequest, ruling: Ruling, amounts: dict[str, int], admitted: Transition
) -> dict[str, Any]:
    """What `reserve` is given besides: the transition that lets the request in, and what is known
    of those that do not."""
    elsewhere = denial(request, ruling, amounts, Refusal("elsewhere", "", {}), (0, 0))
    given: dict[str, Any] = {
        "state": admitted.state,
        "admitted": tail(admitted),
        "hold": admitted.expires // US_NS,
        "refused": tail(replace(elsewhere, code="", remaining=None)),
    }
    if request.ahead:
        given["wanted"] = [n + request.ahead.get(unit, 0) for unit, n in amounts.items()]
    if ruling.effect == "deny":
        refusal = Refusal(ruling.code, request.scope, {})
        given["forbidden"] = tail(denial(request, ruling, amounts, refusal, (0, 0)))
    return given


def limiting(scope: str, limits: Amounts, reason: str = "") -> dict[str, Any]:
    """What sets the limits of one scope."""
    made = Transition(0, 0, "budget", "", "new", scope, amounts=dict(limits), reason=reason)
    return {"tail": tail(made), "limits": [*limits.items()]}


def giving(scope: str, limits: Amounts) -> dict[str, Any]:
    """What gives one scope the limits of the policy, unless it was given the same before."""
    mark = " ".join(f"{unit}={amount}" for unit, amount in sorted(limits.items()))
    return {"mark": mark, **limiting(scope, limits, POLICY)}


def moving(opened: Transition, event: Event, by: str = "") -> Given:
    """A move that leaves the hold open, and its time as it is."""
    moves = {
        state: {"state": to, "tail": tail(_made(opened, event, to, by))}
        for state, to in _leading(event).items()
    }
    return {"moves": moves}, ()


def approving(opened: Transition, by: str) -> Given:
    """An approval: the hold lives from now."""
    given, scopes = moving(opened, "approve", by)
    return {**given, "ttl": opened.ttl() // US_NS}, scopes


def extending(opened: Transition, ttl_ns: int) -> Given:
    """A longer life of the hold, never a shorter one."""
    given, scopes = moving(opened, "extend")
    return {**given, "ttl": micros(ttl_ns), "longer": True}, scopes


def settling(opened: Transition, event: Event, ends: Ends, states: tuple[State, ...] = ()) -> Given:
    """A move that ends the hold; where `states` are named, in one of those alone."""
    held = held_by(opened)
    units = [*held]
    units += [u for u in dict.fromkeys(u for _, c in ends.values() for u in c) if u not in held]
    moves = {}
    for state, to in _leading(event).items():
        if not states or state in states:
            made, charged = ends[to]
            amounts = [charged.get(unit, 0) for unit in units]
            moves[state] = {"state": to, "tail": tail(made), "charged": amounts}
    given = {
        "t": opened.t // US_NS,
        "units": units,
        "held": [held.get(unit, 0) for unit in units],
        "moves": moves,
        "due": event == "expire",
    }
    charges = {unit: n for _, charged in ends.values() for unit, n in charged.items()}
    return given, scopes_of(opened.scope, held | charges, opened.also)


def charged_by(opened: Transition, actual: Amounts, outcome: Outcome) -> dict[str, int]:
    """What a commit charges. Raises UsageError."""
    return charging(held_by(opened), opened.earns if outcome == "ok" else None, actual)


def committing(
    opened: Transition, charged: dict[str, int], said: tuple[Source, Outcome, str]
) -> Ends:
    """The end of a commit; said: its source, its outcome and where its price is from."""
    source, outcome, price = said
    made = _made(opened, "commit", "committed")
    made = replace(made, amounts=charged, source=source, outcome=outcome, price=price)
    return {"committed": (made, charged)}


def releasing(opened: Transition, reason: str) -> Ends:
    """The end of a release."""
    return {"released": (_made(opened, "release", "released", reason), {})}


def expiring(opened: Transition) -> Ends:
    """The ends that a hold may come to when its time is over."""
    charged = held_by(opened)
    made = _made(opened, "expire", "expired_charged")
    unknown = replace(made, amounts=charged, source="estimated", outcome="unknown")
    return {
        "expired_charged": (unknown, charged),
        "expired_released": (_made(opened, "expire", "expired_released"), {}),
    }


def answer_of(held: Reservation) -> Decision:
    """What became of an ask that no longer waits."""
    asked = decision_of(held.opened)
    if held.last.event == "release":
        by, _, why = held.last.reason.removeprefix("refused by ").partition(": ")
        return refused(asked, "approval_refused", by, why)
    if held.state == "expired_released":
        return refused(asked, "approval_timeout", "")
    return approved(asked)


def _leading(event: Event) -> dict[State, State]:
    """Where `event` leads to, by the states that it is allowed in."""
    return {state: moves[event] for state, moves in TRANSITIONS.items() if event in moves}


def _made(opened: Transition, event: Event, state: State, reason: str = "") -> Transition:
    return Transition(0, 0, event, opened.id, state, opened.scope, reason=reason)
