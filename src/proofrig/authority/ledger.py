"""The ledger: every reservation moves by one table, and every amount with it.

Rules:
1. A table without I/O: the clock is an argument, nothing waits, nothing is written here.
2. The table is `transition.TRANSITIONS`; the same id with the same payload gets the same answer and
   moves nothing, with another payload it is refused. An id that has ended is remembered for
   `retention_ns`; after that it counts as new, so a new action takes a new id.
3. A hold fits every scope of its path or nothing is held.
4. What an action really cost is booked in full, even above the hold. A unit of the hold that the
   actual does not name is charged as it was held: silence is not zero.
5. A reservation is live until `expire` moves it, whatever the clock says. An orphan that never
   started is released; one that had started is charged its hold and its outcome is unknown.
6. An end is an end. A late commit of an expired reservation is refused: its hold, in money, tokens
   and calls never below the sound bound, is already charged; what it cost above that is booked by
   an `event`. Callers extend a hold while they work.
7. Live calls and `apply` move balances through the same few lines, so a replay cannot differ.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush

import msgspec

from proofrig.authority.books import Books, Lane, Refusal, hold, settle
from proofrig.authority.budget import Amounts, Balance
from proofrig.authority.ruling import ALLOWED, Ruling
from proofrig.authority.transition import (
    POLICY,
    RETENTION_NS,
    TRANSITIONS,
    Reservation,
    ReserveRequest,
    Source,
    State,
    Transition,
    admission,
    after,
    belongs_to,
    charging,
    check_ttl,
    denial,
    giving,
    holding,
    no_such_move,
    posting,
    same_call,
    same_payload,
)
from proofrig.errors import LedgerError
from proofrig.history.action import Outcome

replace = msgspec.structs.replace
NO_LANE = Lane((), ())


class Ledger:
    """Balances and reservations in memory. Not thread-safe: one event loop owns it.

    retention_ns: how long an ended id is remembered, about 1 KB each, for its idempotency.
    """

    def __init__(self, *, retention_ns: int = RETENTION_NS) -> None:
        self.seq = 0
        self.last_ns = 0  # of what was taken in by `apply`: the latest time
        self._retention = retention_ns
        self.books = Books()
        self._stopped: dict[str, str] = {}  # scope -> why nothing starts in it any more
        self._live: dict[str, Reservation] = {}
        self._ended: dict[str, Reservation] = {}
        self._ends: deque[Transition] = deque()  # what brought each to `_ended`, oldest first
        self._fresh: list[Reservation] = []  # opened since the last sweep, and not yet on the heap
        self._due: list[tuple[int, str]] = []  # a heap; a hold ends at its entry's time or later

    # ---- what may be asked

    def balances(self, scope: str, now_ns: int = 0) -> dict[str, Balance]:
        """Every unit limited or booked in `scope`, its windows as of `now_ns`; empty for a scope
        never seen. Costs a look at every live hold."""
        reserved: dict[str, int] = {}
        for held in self._live.values():
            if scope in held.lane.scopes:
                for unit, amount in held.held.items():
                    reserved[unit] = reserved.get(unit, 0) + amount
        return self.books.balances(scope, reserved, now_ns)

    def scopes(self) -> tuple[str, ...]:
        """Every scope limited or booked so far."""
        return self.books.scopes()

    def used(self, scope: str, unit: str) -> int:
        """What is reserved and spent of a unit in a scope."""
        return self.books.used(scope, unit)

    def state(self, id: str) -> State:
        """The state of a reservation; `new` for an id that is not, or no longer, known."""
        held = self._live.get(id) or self._ended.get(id)
        return "new" if held is None else held.state

    def reservation(self, id: str) -> Reservation | None:
        """What is known of an id; not to be changed."""
        return self._live.get(id) or self._ended.get(id)

    def open(self) -> tuple[str, ...]:
        """The ids of all reservations that have not ended."""
        return tuple(self._live)

    # ---- what may be done

    def set_budget(self, scope: str, amounts: Amounts, now_ns: int) -> Transition:
        """Set the limits of `scope` in the units named; other units keep theirs."""
        amounts = dict(amounts)
        made = Transition(self.seq + 1, now_ns, "budget", "", "new", scope, amounts=amounts)
        self._limited(made)
        return made

    def give(self, scope: str, limits: Amounts, now_ns: int) -> Transition | None:
        """Set the limits that the policy has for `scope`, and lift those that it had before and has
        no more; None when it has the same ones. What was set by hand since then stays."""
        had = self.books.given.get(scope, ())
        if tuple(sorted(limits.items())) == had:
            return None
        made = giving(scope, limits, had, (self.seq + 1, now_ns))
        self._limited(made)
        return made

    def stop(self, scope: str, reason: str, now_ns: int) -> Transition:
        """Let nothing new begin in `scope` and below it."""
        self.books.lane(scope, {})
        made = Transition(self.seq + 1, now_ns, "stop", "", "new", scope, reason=reason)
        self._stopped[scope] = reason
        self.seq = made.seq
        return made

    def reserve(self, request: ReserveRequest, now_ns: int, ruling: Ruling = ALLOWED) -> Transition:
        """Hold the amounts over the whole path, or deny; `event` of the answer tells which.

        Raises IdempotencyError; UsageError for a scope, unit or amount that is none.
        """
        known = self._live.get(request.id) or self._ended.get(request.id)
        if known is not None:
            return same_call(known.opened, request, posted=False)
        amounts = holding(request, ruling)
        lane = self.books.lane(request.scope, amounts, belongs_to(request, ruling), asked=True)
        refused = self._refused(request, ruling, lane, now_ns)
        if refused is None:
            if request.ahead:
                refused = self.books.refusal(lane, amounts, now_ns, request.ahead)
            if refused is None and hold(lane, amounts, now_ns):
                made = admission(request, ruling, amounts, self.seq + 1, now_ns)
                self._opened(made, amounts, lane)
                return made
            refused = refused or self.books.refusal(lane, amounts, now_ns)
            assert refused is not None
        made = denial(request, ruling, amounts, refused, (self.seq + 1, now_ns))
        self._denied(made)
        return made

    def _refused(
        self, request: ReserveRequest, ruling: Ruling, lane: Lane, now_ns: int
    ) -> Refusal | None:
        """Why not, for all but the amounts."""
        if self._stopped:
            for scope in lane.scopes:
                if scope in self._stopped:
                    return Refusal("run_stopped", scope, {}, fix=self._stopped[scope])
        if ruling.effect == "deny":
            return Refusal(ruling.code, request.scope, {})
        return self.books.crowded(lane) if lane.fresh else None

    def event(
        self,
        request: ReserveRequest,
        source: Source,
        outcome: Outcome,
        now_ns: int,
        ruling: Ruling = ALLOWED,
    ) -> Transition:
        """Charge what has already happened, in full, without a hold. Of a ruling, its units."""
        known = self._live.get(request.id) or self._ended.get(request.id)
        if known is not None:
            return same_call(known.opened, request, posted=True)
        amounts = holding(request, ruling)
        lane = self.books.lane(request.scope, amounts, request.also, asked=True)
        made = posting(request, amounts, (source, outcome), (self.seq + 1, now_ns))
        self._posted(made, amounts, lane)
        return made

    def approve(self, id: str, by: str, now_ns: int) -> Transition:
        """Let what asked begin; its hold lives from now."""
        held = self._live.get(id) or self._gone(id)
        if held.last.event == "approve":
            return same_payload(held, held.last.reason, by)
        state = after(held, "approve")
        scope, expires = held.opened.scope, now_ns + held.opened.ttl()
        seq = self.seq + 1
        made = Transition(seq, now_ns, "approve", id, state, scope, expires=expires, reason=by)
        self._moved(held, made)
        return made

    def start(self, id: str, now_ns: int) -> Transition:
        """Note that the side effect is about to begin."""
        held = self._live.get(id) or self._gone(id)
        if held.state == "started":
            return held.last
        state = after(held, "start")
        made = Transition(self.seq + 1, now_ns, "start", id, state, held.opened.scope)
        self._moved(held, made)
        return made

    def commit(
        self,
        id: str,
        actual: Amounts,
        source: Source,
        outcome: Outcome,
        now_ns: int,
        *,
        price: str = "",
    ) -> Transition:
        """Charge what the action cost, in full, and give the rest of the hold back."""
        held = self._live.get(id) or self._gone(id)
        opened = held.opened
        charged = charging(held.held, opened.earns if outcome == "ok" else None, actual)
        if held.state == "committed":
            was = (held.last.amounts, held.last.source, held.last.outcome)
            return same_payload(held, was, (charged, source, outcome))
        state = after(held, "commit")
        self.books.lane(opened.scope, charged, opened.also)
        seq, scope = self.seq + 1, opened.scope
        made = Transition(
            seq, now_ns, "commit", id, state, scope, "", charged, 0, source, outcome, price=price
        )
        self._settled(held, made, charged)
        return made

    def release(self, id: str, reason: str, now_ns: int) -> Transition:
        """Give the whole hold back: the action certainly did not happen."""
        held = self._live.get(id) or self._gone(id)
        if held.state == "released":
            return same_payload(held, held.last.reason, reason)
        state = after(held, "release")
        scope = held.opened.scope
        made = Transition(self.seq + 1, now_ns, "release", id, state, scope, reason=reason)
        self._settled(held, made, {})
        return made

    def extend(self, id: str, ttl_ns: int, now_ns: int) -> Transition:
        """Let the hold live for `ttl_ns` from now. A hold is never shortened."""
        check_ttl(ttl_ns)
        held = self._live.get(id) or self._gone(id)
        state = after(held, "extend")
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
        self.last_ns = max(self.last_ns, made.t)
        if made.event == "budget":
            self._limited(made)
            return
        if made.event == "stop":
            self._stopped[made.scope] = made.reason
            self.seq = made.seq
            return
        held = self._live.get(made.id) or self._ended.get(made.id)
        state: State = "new" if held is None else held.state
        if TRANSITIONS[state].get(made.event) != made.state:
            raise LedgerError(no_such_move(made.id, state, f"{made.event} to {made.state!r}"))
        opened = made if held is None else held.opened
        lane = self.books.lane(opened.scope, amounts, opened.also)
        if made.event == "deny":
            self._denied(made)
        elif held is None:
            if made.event == "event":
                self._posted(made, amounts, lane)
            else:  # admitted then: whether it fits is not asked again
                settle(lane, {}, amounts, made, made.t)
                self._opened(made, amounts, lane)
        elif TRANSITIONS[made.state]:
            self._moved(held, made)
        else:
            self._settled(held, made, amounts)

    # ---- how figures move, for live calls and for `apply` alike

    def _limited(self, made: Transition) -> None:
        amounts = made.amounts or {}
        self.books.allocate(made.scope, amounts, made.seq)
        self.books.lift(made.scope, made.lifted)
        if made.reason == POLICY:
            self.books.note_given(made.scope, amounts)
        self.seq = made.seq

    def _opened(self, made: Transition, held: dict[str, int], lane: Lane) -> None:
        opened = Reservation(made.state, made, made, held, lane, made.expires)
        if lane.fresh:
            self.books.enter(lane)
        self._live[made.id] = opened
        self._fresh.append(opened)
        self.seq = made.seq

    def _posted(self, made: Transition, amounts: dict[str, int], lane: Lane) -> None:
        if lane.fresh:
            self.books.enter(lane)
        settle(lane, {}, amounts, made, made.t)
        self._ended[made.id] = Reservation("committed", made, made, amounts, lane, 0)
        self._ends.append(made)
        self.seq = made.seq

    def _denied(self, made: Transition) -> None:
        self._ended[made.id] = Reservation("denied", made, made, {}, NO_LANE, 0)
        self._ends.append(made)
        self.seq = made.seq

    def _moved(self, held: Reservation, made: Transition) -> None:
        held.state = made.state
        held.last = made
        if made.expires:
            held.expires = made.expires
            if made.event == "approve":
                self._fresh.append(held)
        self.seq = made.seq

    def _settled(self, held: Reservation, made: Transition, charged: dict[str, int]) -> None:
        charged = charged or dict.fromkeys(held.held, 0)
        settle(held.lane, held.held, charged, held.opened, made.t)
        held.state = made.state
        held.last = made
        del self._live[made.id]
        self._ended[made.id] = held
        self._ends.append(made)
        self.seq = made.seq

    def _expire(self, held: Reservation, now_ns: int) -> Transition:
        state = after(held, "expire")
        id, scope = held.opened.id, held.opened.scope
        made = Transition(self.seq + 1, now_ns, "expire", id, state, scope)
        charged: dict[str, int] = {}
        if state == "expired_charged":
            charged = held.held
            made = replace(made, amounts=charged, source="estimated", outcome="unknown")
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
