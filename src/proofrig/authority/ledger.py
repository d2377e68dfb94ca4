"""The ledger: what may happen to a reservation, as a table, and the balances that follow.

No clock, no sockets, no files: time comes in as `now_ns`, and every method is one synchronous
call that checks, moves and answers with the `Transition` it made. Journals write transitions down;
`apply` takes them back in. Rules:

1. What is allowed stands in TRANSITIONS and nowhere else. Anything else raises LedgerError and
   moves nothing.
2. A reservation's id is chosen by its caller and is its idempotency key. The same call with the
   same payload gets the same answer and nothing moves; with another payload it raises
   IdempotencyError. This holds for denials too: ask again under a new id.
3. A hold fits every scope of its path or nothing is held.
4. What an action really cost is booked in full, even above the hold. A unit of the hold that the
   actual does not name is charged as it was held: silence is not zero.
5. A reservation is live until `expire` moves it, whatever the clock says. An orphan that never
   started is released; one that had started is charged its hold and its outcome is unknown.
6. An end is an end. A late commit of an expired reservation is refused: its hold, in money, tokens
   and calls never below the sound bound, is already charged. Callers extend a hold while they work.
7. Live calls and `apply` move balances through the same few lines, so a replay cannot differ.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import Final, Literal

import msgspec

from proofrig.authority.budget import (
    Amounts,
    Balance,
    Books,
    Lane,
    hold,
    settle,
)
from proofrig.errors import IdempotencyError, LedgerError
from proofrig.history.action import Outcome

State = Literal[
    "new",
    "reserved",
    "started",
    "committed",
    "released",
    "expired_released",
    "expired_charged",
    "denied",
]
Event = Literal["reserve", "deny", "start", "commit", "release", "extend", "expire"]
Source = Literal["measured", "partial", "estimated"]

TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    "new": {
        "reserve": "reserved",
        "deny": "denied",
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


class ReserveRequest(msgspec.Struct, frozen=True, gc=False):
    """What an action asks for.

    id: the action's id, also its idempotency key. scope: see `budget.ancestors`. name:
    `llm.chat_completions`, `tool.refund`. amounts: the sound upper bound of what it may cost.
    ttl_ns: how long the hold lives unless it is extended.
    """

    id: str
    scope: str
    name: str
    amounts: Amounts
    ttl_ns: int = MINUTE_NS


class Transition(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One move of the ledger; what a journal writes down.

    seq: its number, from 1, without gaps. t: the `now_ns` it was made at. state: the state it led
    to; `new` for a budget. amounts: held by `reserve`, asked by `deny`, charged by `commit` and
    `expire`, allocated by `budget`. expires: when the hold ends, for `reserve` and `extend`.
    at and remaining: the scope that refused, and what was left there.
    """

    seq: int
    t: int
    event: Event | Literal["budget"]
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


class Reservation(msgspec.Struct, gc=False):
    """What the ledger knows of one id. `opened` is its reserve or deny, `last` its latest move."""

    state: State
    opened: Transition
    last: Transition
    held: dict[str, int]
    lane: Lane
    expires: int


class Ledger:
    """Balances and reservations in memory. Not thread-safe: one event loop owns it.

    retention_ns: how long an ended id is remembered, about 1 KB each, for its idempotency.
    """

    def __init__(self, *, retention_ns: int = 10 * MINUTE_NS) -> None:
        self.seq = 0
        self._retention = retention_ns
        self._books = Books()
        self._live: dict[str, Reservation] = {}
        self._ended: dict[str, Reservation] = {}
        self._ends: deque[Transition] = deque()  # what brought each to `_ended`, oldest first
        self._fresh: list[Reservation] = []  # opened since the last sweep, and not yet on the heap
        self._due: list[tuple[int, str]] = []  # a heap; a hold ends at its entry's time or later

    # ---- what may be asked

    def balances(self, scope: str) -> dict[str, Balance]:
        """Every unit limited or booked in `scope`; empty for a scope never seen.

        Costs a look at every live hold.
        """
        reserved: dict[str, int] = {}
        for held in self._live.values():
            if f"{held.opened.scope}/".startswith(f"{scope}/"):
                for unit, amount in held.held.items():
                    reserved[unit] = reserved.get(unit, 0) + amount
        return self._books.balances(scope, reserved)

    def scopes(self) -> tuple[str, ...]:
        """Every scope limited or booked so far."""
        return self._books.scopes()

    def state(self, id: str) -> State:
        """The state of a reservation; `new` for an id that is not, or no longer, known."""
        held = self._live.get(id) or self._ended.get(id)
        return "new" if held is None else held.state

    def open(self) -> tuple[str, ...]:
        """The ids of all reservations that have not ended."""
        return tuple(self._live)

    # ---- what may be done

    def set_budget(self, scope: str, amounts: Amounts, now_ns: int) -> Transition:
        """Set the limits of `scope` in the units named; other units keep theirs."""
        amounts = dict(amounts)
        made = Transition(self.seq + 1, now_ns, "budget", "", "new", scope, amounts=amounts)
        self._books.allocate(scope, amounts)
        self.seq = made.seq
        return made

    def reserve(self, request: ReserveRequest, now_ns: int) -> Transition:
        """Hold the amounts over the whole path, or deny; `event` of the answer tells which.

        Raises IdempotencyError; UsageError for a scope, unit or amount that is none.
        """
        known = self._live.get(request.id) or self._ended.get(request.id)
        if known is not None:
            return _same_request(known.opened, request)
        id, scope, amounts = request.id, request.scope, dict(request.amounts)
        expires = now_ns + request.ttl_ns
        seq, name = self.seq + 1, request.name
        lane = self._books.lane(scope, amounts)
        if hold(lane, amounts):
            made = Transition(seq, now_ns, "reserve", id, "reserved", scope, name, amounts, expires)
            self._opened(made, amounts, lane)
        else:
            made = Transition(seq, now_ns, "deny", id, "denied", scope, name, amounts, expires)
            at, remaining = self._books.refusal(scope, amounts)
            made = msgspec.structs.replace(made, at=at, remaining=remaining)
            self._denied(made)
        return made

    def start(self, id: str, now_ns: int) -> Transition:
        """Note that the side effect is about to begin."""
        held = self._live.get(id) or self._gone(id)
        if held.state == "started":
            return held.last
        state = _after(held, "start")
        made = Transition(self.seq + 1, now_ns, "start", id, state, held.opened.scope)
        self._moved(held, made)
        return made

    def commit(
        self, id: str, actual: Amounts, source: Source, outcome: Outcome, now_ns: int
    ) -> Transition:
        """Charge what the action cost, in full, and give the rest of the hold back."""
        held = self._live.get(id) or self._gone(id)
        opened = held.opened
        charged = {**held.held, **actual}
        if held.state == "committed":
            was = (held.last.amounts, held.last.source, held.last.outcome)
            return _same_payload(held, was, (charged, source, outcome))
        state = _after(held, "commit")
        self._books.lane(opened.scope, charged)
        made = Transition(
            self.seq + 1, now_ns, "commit", id, state, opened.scope, "", charged, 0, source, outcome
        )
        self._settled(held, made, charged)
        return made

    def release(self, id: str, reason: str, now_ns: int) -> Transition:
        """Give the whole hold back: the action certainly did not happen."""
        held = self._live.get(id) or self._gone(id)
        if held.state == "released":
            return _same_payload(held, held.last.reason, reason)
        state = _after(held, "release")
        scope = held.opened.scope
        made = Transition(self.seq + 1, now_ns, "release", id, state, scope, reason=reason)
        self._settled(held, made, {})
        return made

    def extend(self, id: str, ttl_ns: int, now_ns: int) -> Transition:
        """Let the hold live for `ttl_ns` from now. A hold is never shortened."""
        held = self._live.get(id) or self._gone(id)
        state = _after(held, "extend")
        expires = now_ns + ttl_ns
        if expires <= held.expires:
            return held.last
        scope = held.opened.scope
        made = Transition(self.seq + 1, now_ns, "extend", id, state, scope, expires=expires)
        self._moved(held, made)
        return made

    def expire(self, now_ns: int) -> list[Transition]:
        """End every reservation whose hold has run out by `now_ns`, in order of expiry.

        Looks at what was opened since the last call and at what is due, never at all that is open.
        """
        for held in self._fresh:
            if TRANSITIONS[held.state]:
                heappush(self._due, (held.expires, held.opened.id))
        self._fresh.clear()
        made = []
        while self._due and self._due[0][0] <= now_ns:
            expires, id = heappop(self._due)
            live = self._live.get(id)
            if live is None:
                continue
            if live.expires == expires:
                made.append(self._expire(live, now_ns))
            else:  # it was extended since
                heappush(self._due, (live.expires, id))
        self._forget(now_ns)
        return made

    def expire_all(self, now_ns: int) -> list[Transition]:
        """End every open reservation, due or not: for a start after the callers died too."""
        return [self._expire(held, now_ns) for held in list(self._live.values())]

    def apply(self, made: Transition) -> None:
        """Take in a transition that was made before, in order; gaps in the numbers are allowed.

        Raises LedgerError, and moves nothing, when it cannot follow what is known.
        """
        if made.seq <= self.seq:
            raise LedgerError(f"expected a number above {self.seq}, got {made.seq}")
        amounts = made.amounts or {}
        self._forget(made.t)
        if made.event == "budget":
            self._books.allocate(made.scope, amounts)
            self.seq = made.seq
            return
        held = self._live.get(made.id) or self._ended.get(made.id)
        state: State = "new" if held is None else held.state
        if TRANSITIONS[state].get(made.event) != made.state:
            raise LedgerError(_refusal(made.id, state, f"{made.event} to {made.state!r}"))
        lane = self._books.lane(made.scope, amounts)
        if made.event == "deny":
            self._denied(made)
        elif held is None:
            settle(lane, {}, amounts)  # admitted then: whether it fits is not asked again
            self._opened(made, amounts, lane)
        elif TRANSITIONS[made.state]:
            self._moved(held, made)
        else:
            self._settled(held, made, amounts)

    # ---- how figures move, for live calls and for `apply` alike

    def _opened(self, made: Transition, held: dict[str, int], lane: Lane) -> None:
        opened = Reservation("reserved", made, made, held, lane, made.expires)
        self._live[made.id] = opened
        self._fresh.append(opened)
        self.seq = made.seq

    def _denied(self, made: Transition) -> None:
        self._ended[made.id] = Reservation("denied", made, made, {}, {}, 0)
        self._ends.append(made)
        self.seq = made.seq

    def _moved(self, held: Reservation, made: Transition) -> None:
        held.state = made.state
        held.last = made
        if made.expires:
            held.expires = made.expires
        self.seq = made.seq

    def _settled(self, held: Reservation, made: Transition, charged: dict[str, int]) -> None:
        settle(held.lane, held.held, charged or dict.fromkeys(held.held, 0))
        held.state = made.state
        held.last = made
        del self._live[made.id]
        self._ended[made.id] = held
        self._ends.append(made)
        self.seq = made.seq

    def _expire(self, held: Reservation, now_ns: int) -> Transition:
        state = _after(held, "expire")
        id, scope = held.opened.id, held.opened.scope
        made = Transition(self.seq + 1, now_ns, "expire", id, state, scope)
        charged: dict[str, int] = {}
        if state == "expired_charged":
            charged = held.held
            made = msgspec.structs.replace(
                made, amounts=charged, source="estimated", outcome="unknown"
            )
        self._settled(held, made, charged)
        return made

    def _gone(self, id: str) -> Reservation:
        held = self._ended.get(id)
        if held is None:
            raise LedgerError(
                f"reservation {id!r}: expected an id that was reserved, got one that is unknown or "
                "ended too long ago; reserve first, under a new id"
            )
        return held

    def _forget(self, now_ns: int) -> None:
        while self._ends and self._ends[0].t + self._retention <= now_ns:
            del self._ended[self._ends.popleft().id]


def _after(held: Reservation, event: Event) -> State:
    """The state `event` leads to. Raises LedgerError when the table has none."""
    state = TRANSITIONS[held.state].get(event)
    if state is None:
        raise LedgerError(_refusal(held.opened.id, held.state, event))
    return state


def _refusal(id: str, state: State, got: str) -> str:
    allowed = ", ".join(TRANSITIONS[state]) or "nothing, it has ended"
    return f"reservation {id!r} is {state}: expected {allowed}; got {got}; nothing moved"


def _same_request(opened: Transition, request: ReserveRequest) -> Transition:
    was = (opened.scope, opened.name, opened.amounts, opened.expires - opened.t)
    got = (request.scope, request.name, dict(request.amounts), request.ttl_ns)
    if was != got:
        raise _other_payload(opened.id, "reserve", was, got)
    return opened


def _same_payload(held: Reservation, was: object, got: object) -> Transition:
    if was != got:
        raise _other_payload(held.opened.id, held.last.event, was, got)
    return held.last


def _other_payload(id: str, event: str, was: object, got: object) -> IdempotencyError:
    return IdempotencyError(
        f"reservation {id!r}, {event}: expected the payload of the first call, {was}; got {got}; "
        "nothing moved; use a new id for a new action"
    )
