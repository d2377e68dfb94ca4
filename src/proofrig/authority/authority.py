"""Permission and budget for every action: reserve, start, commit or release.

Rules:
1. Every call is synchronous and whole: nothing else runs in between on the same event loop.
2. Nothing starts before it is written: `start` returns after its reservation and itself are in
   the journal. While the journal cannot be written, `reserve` and `start` raise JournalError.
3. What has been spent is always booked: `commit`, `release`, `extend` and `sweep` move the balances
   even then, and are written as soon as the journal can be.
4. A denial consumed nothing, and neither has what waits for approval. See `decision.Decision`.
5. The clock is passed in: nanoseconds that never go back. With a journal they go on over restarts
   (`time.time_ns`), since the expiry of a hold is written down.
6. A scope gets the limits that the policy gives it when it is first used, before its first action.
   Over a restart it keeps them, and what was set by hand since, until the policy says otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from proofrig.authority.budget import Amounts, Balance, ancestors, run_of
from proofrig.authority.decision import Decision, approved, decision_of, refused
from proofrig.authority.journal import Journal
from proofrig.authority.ledger import Ledger
from proofrig.authority.ruling import ALLOWED, Act, Ruling
from proofrig.authority.transition import (
    RETENTION_NS,
    Reservation,
    ReserveRequest,
    Source,
    Transition,
    no_such_move,
)
from proofrig.errors import JournalError, LedgerError
from proofrig.history.action import Outcome

if TYPE_CHECKING:
    from proofrig.authority.policy import Policy

# Called with the answer to what asked: an allow, or the denial.
Answered = Callable[[Decision], None]


class Authority:
    """Permission and budget for every action, over one ledger and, when given, its journal.

    Raises JournalError when the ledger has not taken in what the journal holds.
    """

    def __init__(
        self,
        ledger: Ledger,
        journal: Journal | None,
        clock: Callable[[], int],
        policy: Policy | None = None,
    ) -> None:
        if journal is not None and journal.last != ledger.seq:
            raise JournalError(
                f"{journal.path}: expected a ledger at transition {journal.last}, got one at "
                f"{ledger.seq}; replay the journal into it first, or use `recover`"
            )
        self._ledger = ledger
        self._journal = journal
        self._clock = clock
        self._policy = policy
        self._limited: set[str] = set()
        self._waiting: dict[str, list[Answered]] = {}
        if policy is None:  # what an earlier one limited is not limited any more
            for scope in [one for one, limits in ledger.books.given.items() if limits]:
                self._give(scope, {})

    def set_budget(self, scope: str, amounts: Amounts) -> None:
        """Limit `scope` in the units named; other units keep their limits."""
        self._write(self._ledger.set_budget(scope, amounts, self._clock()))

    def reserve(self, request: ReserveRequest) -> Decision:
        """Ask the rules, and take the whole vector over every scope; or deny and take nothing.

        Raises IdempotencyError when the id came with another payload, UsageError for amounts or a
        scope that are none, JournalError when the answer cannot be written.
        """
        journal = self._journal
        if journal is not None and journal.failure is not None:
            journal.flush()
        ruling = ALLOWED if self._policy is None else self._rule(self._policy, request)
        made = self._ledger.reserve(request, self._clock(), ruling)
        if journal is not None:
            journal.append(made)
            if journal.failure is not None:
                raise journal.failure
        return decision_of(made)

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
        *,
        price: str = "",
    ) -> dict[str, int]:
        """Book what the action cost and give the rest back. Returns what was charged: `actual`,
        and the hold in every unit that `actual` does not name. price: where the rates of its money
        come from. Raises LedgerError."""
        made = self._ledger.commit(id, actual, source, outcome, self._clock(), price=price)
        self._write(made)
        return dict(made.amounts or {})

    def release(self, id: str, reason: str) -> None:
        """Give the whole hold back: the action certainly did not happen. Raises LedgerError."""
        self._write(self._ledger.release(id, reason, self._clock()))
        if id in self._waiting:  # whoever asked gave up
            self._answer(id, refused(self._asked(id), "approval_refused", reason))

    def extend(self, id: str, ttl_ns: int) -> int:
        """Let the hold live for `ttl_ns` from now: the heartbeat of long actions. Returns when it
        ends, on the authority's clock."""
        self._write(self._ledger.extend(id, ttl_ns, self._clock()))
        held = self._ledger.reservation(id)
        return 0 if held is None else held.expires

    def event(
        self, request: ReserveRequest, source: Source = "measured", outcome: Outcome = "ok"
    ) -> dict[str, int]:
        """Charge what has already happened, in full, without asking; what taints, taints. Returns
        what was charged."""
        self._limit(request)
        policy = self._policy
        taints = ALLOWED if policy is None else Ruling(units=policy.taints(request.name))
        made = self._ledger.event(request, source, outcome, self._clock(), taints)
        self._write(made)
        return dict(made.amounts or {})

    def stop(self, scope: str, reason: str) -> None:
        """Let nothing new begin in `scope` and below it; `reason` reaches whoever asks, and who
        waits for approval there is refused."""
        self._write(self._ledger.stop(scope, reason, self._clock()))
        for asked in self.pending():
            held = self._ledger.reservation(asked.id)
            if held is not None and scope in held.lane.scopes:
                self.refuse(asked.id, "the stop", reason)

    # ---- approval

    def approve(self, id: str, by: str) -> Decision:
        """Let what asked begin. Raises LedgerError when it does not, or no longer, wait."""
        self._write(self._ledger.approve(id, by, self._clock()))
        return self._answer(id, approved(self._asked(id)))

    def refuse(self, id: str, by: str, reason: str = "") -> Decision:
        """Deny what asked; its hold is given back. Raises LedgerError."""
        state = self._ledger.state(id)
        if state not in ("pending", "released"):
            raise LedgerError(no_such_move(id, state, "a refusal"))
        said = f"refused by {by}: {reason}" if reason else f"refused by {by}"
        self._write(self._ledger.release(id, said, self._clock()))
        return self._answer(id, refused(self._asked(id), "approval_refused", by, reason))

    def when_answered(self, id: str, tell: Answered) -> None:
        """Call `tell` once with the answer to what asked, be it that nobody gave one in time; at
        once when it is there. Raises LedgerError for what did not ask."""
        held = self._ledger.reservation(id)
        if held is None or held.opened.event != "ask":
            raise LedgerError(no_such_move(id, self._ledger.state(id), "a wait for approval"))
        if held.state == "pending":
            self._waiting.setdefault(id, []).append(tell)
        elif held.last.event == "release":
            by, _, why = held.last.reason.removeprefix("refused by ").partition(": ")
            tell(refused(self._asked(id), "approval_refused", by, why))
        elif held.last.event == "expire" and held.state == "expired_released":
            tell(refused(self._asked(id), "approval_timeout", ""))
        else:
            tell(approved(self._asked(id)))

    def no_longer(self, id: str, tell: Answered) -> None:
        """`tell` need not be called any more."""
        waiting = self._waiting.get(id, [])
        if tell in waiting:
            waiting.remove(tell)
        if id in self._waiting and not waiting:
            del self._waiting[id]

    def pending(self) -> list[Transition]:
        """What waits for approval, oldest first."""
        held = (self._ledger.reservation(id) for id in self._ledger.open())
        return [one.opened for one in held if one is not None and one.state == "pending"]

    def _asked(self, id: str) -> Decision:
        held = self._ledger.reservation(id)
        assert held is not None
        return decision_of(held.opened)

    def _answer(self, id: str, answer: Decision) -> Decision:
        for tell in self._waiting.pop(id, ()):
            tell(answer)
        return answer

    # ---- what goes on by itself

    def sweep(self, *, everything: bool = False) -> list[Transition]:
        """End the holds that have run out; `everything`: all of them, when their callers are known
        to be dead. Call it every second or so. Returns what was ended."""
        now = self._clock()
        ended = self._ledger.expire_all(now) if everything else self._ledger.expire(now)
        for made in ended:  # all of them before anybody is told, who may raise
            self._write(made)
        for made in ended:
            if made.id in self._waiting:
                self._answer(made.id, refused(self._asked(made.id), "approval_timeout", ""))
        return ended

    def ends(self, ids: Collection[str]) -> dict[str, Transition]:
        """The latest move of each of `ids` that the journal holds; empty without a journal."""
        return {} if self._journal is None else self._journal.ends(ids)

    def check(self) -> None:
        """Raises JournalError while transitions wait that the journal could not take."""
        if self._journal is not None and self._journal.failure is not None:
            self._journal.flush()

    # ---- what may be asked

    @property
    def policy(self) -> Policy | None:
        return self._policy

    def closed(self, scope: str, name: str) -> str:
        """Why no action `name` can be let in any more in `scope`, whatever its arguments: the rule
        or the limit; "" when one may."""
        policy = self._policy
        if policy is None:
            return ""
        if rule := policy.cannot(scope, name):
            return rule
        counting = [(scope, unit) for unit in policy.counted(name)]
        for where, unit in (*counting, *policy.capping(scope, name)):
            self._limit_path(where)
            left = self._ledger.books.left(where, unit, self._clock())
            if left is not None and left <= 0:
                return f"{unit} in {where}"
        return ""

    def balances(self, scope: str) -> dict[str, Balance]:
        """Every unit limited or booked in `scope`. Costs a look at every live hold."""
        return self._ledger.balances(scope, self._clock())

    def scopes(self) -> tuple[str, ...]:
        """Every scope limited or booked so far."""
        return self._ledger.scopes()

    def reservation(self, id: str) -> Reservation | None:
        """What is known of an id; not to be changed."""
        return self._ledger.reservation(id)

    def state(self, id: str) -> str:
        """The state of a reservation; `new` for an id that is not, or no longer, known."""
        return self._ledger.state(id)

    def close(self) -> None:
        """Write what is queued and close the journal."""
        if self._journal is not None:
            self._journal.close()

    # ---- inside

    def _rule(self, policy: Policy, request: ReserveRequest) -> Ruling:
        scope = request.scope
        act = Act(scope, request.name, request.arguments, request.root)
        ruling = policy.decide(act, partial(self._ledger.used, run_of(scope)), request.also)
        if scope not in self._limited or ruling.also or request.also:
            self._limit(request, ruling.also)
        return ruling

    def _limit(self, request: ReserveRequest, also: tuple[str, ...] = ()) -> None:
        """Give the scopes of a request their limits, once each."""
        for path in (request.scope, *request.also, *also):
            self._limit_path(path)

    def _limit_path(self, path: str) -> None:
        policy = self._policy
        if policy is None or path in self._limited:
            return
        for scope in ancestors(path):
            if scope not in self._limited:
                self._give(scope, policy.limits(scope))
                self._limited.add(scope)

    def _give(self, scope: str, limits: Amounts) -> None:
        made = self._ledger.give(scope, limits, self._clock())
        if made is not None:
            self._write(made)

    def _write(self, made: Transition) -> None:
        if self._journal is not None:
            self._journal.append(made)


def recover(
    path: Path | str,
    clock: Callable[[], int],
    policy: Policy | None = None,
    *,
    set_aside: bool = False,
) -> Authority:
    """An authority on the journal at `path`, new or with the balances it left.

    Holds that were open stay open until they run out; `sweep(everything=True)` ends them now.
    Raises JournalError, see `Journal.replay`.
    """
    ledger, journal = replayed(path, set_aside=set_aside)
    return Authority(ledger, journal, onward(clock, ledger.last_ns), policy)


def replayed(
    path: Path | str, *, retention_ns: int = RETENTION_NS, set_aside: bool = False
) -> tuple[Ledger, Journal]:
    """A ledger with what the journal at `path` left, and the journal, to go on with. Raises
    JournalError, see `Journal.replay`."""
    ledger, journal = Ledger(retention_ns=retention_ns), Journal(path)
    try:
        journal.replay(ledger, set_aside=set_aside)
    except JournalError:
        journal.close()
        raise
    return ledger, journal


def wall_clock() -> Callable[[], int]:
    """The time of day in nanoseconds, as it goes on from now: nobody's setting of the clock puts it
    back."""
    ahead = time.time_ns() - time.monotonic_ns()
    return lambda: time.monotonic_ns() + ahead


def onward(clock: Callable[[], int], last_ns: int) -> Callable[[], int]:
    """`clock`, set forward when it stands before `last_ns`: a clock that was put back between two
    runs would let holds live on, and ids be taken for new that a replay still knows."""
    behind = last_ns - clock()
    return clock if behind <= 0 else lambda: clock() + behind
