"""The ledger in Redis: one for many processes and machines, deciding as the one in memory does.

Rules:
1. Each transition is one script on the server, whole or not at all; see `scripts/`. What can
   be said before or after it is said here, by the functions that the ledger in memory uses.
2. Time is the server's, in whole microseconds; times that are given are rounded up to them.
3. Rules decide here, going by what was last known of the run; the script books the answer only
   while that holds, else it says what is so and rules decide again.
4. Limits of the policy are given with the first action that a process sees in a scope, unless the
   scope was given the same before.
5. `answer` looks again every quarter of a second at most. A look costs the server some
   microseconds, people take seconds, and unlike a message it cannot be missed.
6. The sum of a unit in a scope stays below 2^53; what would pass it raises LedgerError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from proofrig.authority.books import Books
from proofrig.authority.budget import Amounts, Balance, ancestors, run_of
from proofrig.authority.decision import Decision, approved, decision_of, refused
from proofrig.authority.engine import Engine
from proofrig.authority.ledger import NO_LANE
from proofrig.authority.recent import Recent
from proofrig.authority.redis import moves
from proofrig.authority.redis.link import RedisLink
from proofrig.authority.redis.moves import US_NS, Given, micros
from proofrig.authority.ruling import ALLOWED, Act, Ruling
from proofrig.authority.transition import (
    RETENTION_NS,
    Reservation,
    ReserveRequest,
    Source,
    State,
    Transition,
    admission,
    after,
    belongs_to,
    check_ttl,
    holding,
    no_such_move,
    posting,
    same_call,
    same_payload,
)
from proofrig.errors import InfraError, LedgerError
from proofrig.history.action import Outcome

if TYPE_CHECKING:
    from proofrig.authority.policy import Policy

_REMEMBERED = 8_192
_TRIES = 10
_SWEPT = 200  # ids at a time
_POLLS_S = (0.02, 0.25)

_decode = msgspec.json.Decoder(Transition).decode


class RedisEngine(Engine):
    """The ledger `name` on the Redis server at `url`, a `redis://` URL.

    now: a clock in nanoseconds in place of the server's, for tests. keep: how many transitions its
    journal keeps at least, 0 for none. retention_ns: how long an ended id is remembered.
    Calls raise JournalError when the server cannot be reached or has lost the ledger.
    """

    def __init__(
        self,
        url: str,
        policy: Policy | None = None,
        name: str = "proofrig",
        *,
        now: Callable[[], int] | None = None,
        keep: int = 100_000,
        retention_ns: int = RETENTION_NS,
    ) -> None:
        self._link = RedisLink(url, name, keep)
        self._policy = policy
        self._now = now
        self._retention = micros(retention_ns)
        self._opened: Recent[str, Transition] = Recent(_REMEMBERED)
        self._limited: Recent[str, bool] = Recent(_REMEMBERED)
        self._used: Recent[str, dict[str, int]] = Recent(_REMEMBERED)  # by runs, as last seen

    # ---- before the action

    async def reserve(self, request: ReserveRequest) -> Decision:
        request = moves.in_micros(request)
        for _ in range(_TRIES):
            read: dict[str, bool] = {}
            decision = await self._reserve(request, self._rule(request, read), read)
            if decision is not None:
                return decision
        raise InfraError(
            f"{self._link.where}: expected what rules read of {request.scope} to stand still for "
            f"one call, got another state {_TRIES} times; nothing was booked; try again",
            definite=True,
        )

    def _rule(self, request: ReserveRequest, read: dict[str, bool]) -> Ruling:
        """What the rules say; `read`: of each unit they looked at, whether any of it is used."""
        if self._policy is None:
            return ALLOWED
        known = self._used.get(run_of(request.scope)) or {}

        def used(unit: str) -> int:
            amount = known.get(unit, 0)
            read[unit] = amount > 0
            return amount

        act = Act(request.scope, request.name, request.arguments, request.root)
        return self._policy.decide(act, used, request.also)

    async def _reserve(
        self, request: ReserveRequest, ruling: Ruling, read: Mapping[str, bool]
    ) -> Decision | None:
        """The answer; None when what rules went by does not hold."""
        amounts = holding(request, ruling)
        scopes = moves.scopes_of(request.scope, amounts, belongs_to(request, ruling))
        admitted = admission(request, ruling, amounts, 0, 0)
        given = moves.booking(request, amounts, scopes) | moves.asking(
            request, ruling, amounts, admitted
        )
        given["limited"] = [n for n, scope in enumerate(scopes) if self._limited.get(scope)]
        given["allot"] = self._limits(scopes)
        run = run_of(request.scope)
        if run in scopes:  # its name may be left empty, and then nothing is booked on it
            given |= {"own": scopes.index(run), "guards": [*read], "were": [*read.values()]}
        answer = await self._run("reserve", given, scopes)
        if answer[0] == b"again":
            self._used.put(run, dict(zip(read, answer[1], strict=True)))
            return None
        if answer[0] == b"limits":
            self._limited = Recent(_REMEMBERED)
            return None
        self._note_limits(scopes)
        if answer[0] == b"admitted":
            made = moves.numbered(admitted, *answer[1:])
            self._opened.put(request.id, made)
            return decision_of(made)
        made = _decode(answer[1])
        if answer[0] == b"known":
            self._opened.put(request.id, made)
            same_call(made, request, posted=False)
        return decision_of(made)

    def _limits(self, scopes: tuple[str, ...]) -> list[dict[str, Any]]:
        """What the policy gives to those of `scopes` that this process has not seen yet."""
        found: list[dict[str, Any]] = []
        if self._policy is not None:
            for n, scope in enumerate(scopes):
                if self._limited.get(scope) is None:
                    found.append({"at": n, **moves.giving(scope, self._policy.limits(scope))})
        return found

    def _note_limits(self, scopes: tuple[str, ...]) -> None:
        if self._policy is not None:
            for scope in scopes:
                if self._limited.get(scope) is None:
                    self._limited.put(scope, bool(self._policy.limits(scope)))

    async def start(self, id: str) -> None:
        _, held, _ = await self._move(id, lambda opened: moves.moving(opened, "start"))
        if held is not None and held.state != "started":
            after(held, "start")

    async def extend(self, id: str, ttl_ns: int) -> int:
        check_ttl(ttl_ns)
        _, held, expires = await self._move(id, lambda opened: moves.extending(opened, ttl_ns))
        if held is not None:
            after(held, "extend")
        return expires

    # ---- after it

    async def commit(
        self, id: str, actual: Amounts, source: Source, outcome: Outcome, *, price: str = ""
    ) -> dict[str, int]:
        def ends(opened: Transition) -> Given:
            charged = moves.charged_by(opened, actual, outcome)
            return moves.settling(
                opened, "commit", moves.committing(opened, charged, (source, outcome, price))
            )

        opened, held = await self._settle(id, ends)
        charged = moves.charged_by(opened, actual, outcome)
        if held is not None:
            if held.state != "committed":
                after(held, "commit")
            was = (held.last.amounts, held.last.source, held.last.outcome)
            same_payload(held, was, (charged, source, outcome))
        return charged

    async def release(self, id: str, reason: str) -> None:
        held = await self._release(id, reason)
        if held is not None:
            if held.state != "released":
                after(held, "release")
            same_payload(held, held.last.reason, reason)

    async def event(
        self, request: ReserveRequest, source: Source, outcome: Outcome
    ) -> dict[str, int]:
        request = moves.in_micros(request)
        taints = {} if self._policy is None else self._policy.taints(request.name)
        amounts = holding(request, Ruling(units=taints))
        scopes = moves.scopes_of(request.scope, amounts, request.also)
        given = moves.booking(request, amounts, scopes)
        given["tail"] = moves.tail(posting(request, amounts, (source, outcome), (0, 0)))
        given["allot"] = self._limits(scopes)
        answer = await self._run("event", given, scopes)
        self._note_limits(scopes)
        if answer[0] == b"known":
            return dict(same_call(_decode(answer[1]), request, posted=True).amounts or {})
        return amounts

    # ---- approval

    async def approve(self, id: str, by: str) -> Decision:
        opened, held, _ = await self._move(id, lambda opened: moves.approving(opened, by))
        if held is not None:
            if held.last.event != "approve":
                after(held, "approve")
            same_payload(held, held.last.reason, by)
        return approved(decision_of(opened))

    async def refuse(self, id: str, by: str, reason: str = "") -> Decision:
        said = f"refused by {by}: {reason}" if reason else f"refused by {by}"
        if await self._look(id) is None:
            raise LedgerError(no_such_move(id, "new", "a refusal"))
        held = await self._release(id, said, ("pending",))
        if held is not None:
            if held.state != "released":
                raise LedgerError(no_such_move(id, held.state, "a refusal"))
            same_payload(held, held.last.reason, said)
        asked = decision_of(await self._known(id))
        return refused(asked, "approval_refused", by, reason)

    async def answer(self, id: str) -> Decision:
        pause, longest = _POLLS_S
        while True:
            held = await self._look(id)
            if held is None or held.opened.event != "ask":
                state: State = "new" if held is None else held.state
                raise LedgerError(no_such_move(id, state, "a wait for approval"))
            if held.state != "pending":
                return moves.answer_of(held)
            if not await self._end(id):  # nobody else may be sweeping
                await asyncio.sleep(pause)
                pause = min(2 * pause, longest)

    # ---- scopes

    async def set_budget(self, scope: str, amounts: Amounts) -> None:
        Books().allocate(scope, amounts, 0)
        await self._run("scope", moves.limiting(scope, amounts), (scope,))

    async def stop(self, scope: str, reason: str) -> None:
        ancestors(scope)
        made = Transition(0, 0, "stop", "", "new", scope, reason=reason)
        await self._run("scope", {"tail": moves.tail(made), "reason": reason}, (scope,))

    async def balances(self, scope: str) -> dict[str, Balance]:
        _, found = await self._run("balances", {}, (scope,))
        return {
            unit.decode(): Balance(None if limit < 0 else limit, reserved, spent)
            for unit, limit, reserved, spent in found
        }

    async def scopes(self) -> tuple[str, ...]:
        return await self._link.scopes()

    # ---- what goes on by itself

    async def sweep(self) -> int:
        """End the holds that have run out and forget what ended long ago; how many ended. Any
        process may, any number at once."""
        ended = 0
        while due := await self._link.due(self._clock(), _SWEPT):
            done = [await self._end(id) for id in due]
            ended += done.count("moved")
            if not any(done):  # others were faster
                break
        return ended

    async def journal(self, after: int = 0, count: int = 1_000) -> list[Transition]:
        """Up to `count` transitions after number `after`, oldest first."""
        return await self._link.journal(after, count)

    async def close(self) -> None:
        await self._link.close()

    # ---- inside

    async def _run(
        self, script: str, given: dict[str, Any], scopes: tuple[str, ...] = ()
    ) -> list[Any]:
        given["retention"] = self._retention
        answer = await self._link.run(script, given, scopes, self._clock())
        if answer[0] == b"overflow":
            scope, unit = answer[1].decode(), answer[2].decode()
            raise LedgerError(
                f"{unit} of {scope}: expected a sum below 2^53, got one above; nothing moved; go "
                "on with a ledger of another name"
            )
        return answer

    async def _on(
        self, id: str, script: str, give: Callable[[Transition], Given]
    ) -> tuple[Transition, list[Any]]:
        """Run a script on a reservation: what opened it, and the answer. Raises LedgerError for an
        id that is not known."""
        opened = await self._known(id)
        while True:
            given, scopes = give(opened)
            given |= {"id": id, "opened": opened.seq}
            answer = await self._run(script, given, scopes)
            if answer[0] != b"other":
                return opened, answer
            opened = await self._read(id)  # the id was forgotten, and used again since

    async def _move(
        self, id: str, give: Callable[[Transition], Given]
    ) -> tuple[Transition, Reservation | None, int]:
        """Make a move that leaves the hold open. What opened it; what is known of it, if it cannot
        make the move; and when the hold ends, in ns."""
        opened, answer = await self._on(id, "move", give)
        if answer[0] == b"standing":
            return opened, self._standing(id, answer[1:]), 0
        return opened, None, int(answer[3]) * US_NS

    async def _settle(
        self, id: str, give: Callable[[Transition], Given]
    ) -> tuple[Transition, Reservation | None]:
        """End a reservation. What opened it; and what is known of it, if it cannot end so."""
        opened, answer = await self._on(id, "settle", give)
        held = self._standing(id, answer[1:]) if answer[0] == b"standing" else None
        return opened, held

    async def _release(
        self, id: str, reason: str, states: tuple[State, ...] = ()
    ) -> Reservation | None:
        def ends(opened: Transition) -> Given:
            return moves.settling(opened, "release", moves.releasing(opened, reason), states)

        _, held = await self._settle(id, ends)
        return held

    async def _end(self, id: str) -> str:
        """End a hold or forget an end, if its time has come; "" when it has not."""
        opened = self._opened.get(id)
        if opened is None:
            held = await self._look(id)
            opened = Transition(0, 0, "deny", id, "denied", "gone") if held is None else held.opened
        given, scopes = moves.settling(opened, "expire", moves.expiring(opened))
        answer = await self._run("settle", {**given, "id": id, "opened": opened.seq}, scopes)
        if answer[0] == b"other":  # the id was used again since: next time
            await self._look(id)
        return "" if answer[0] in (b"later", b"other") else str(answer[0].decode())

    async def _known(self, id: str) -> Transition:
        """What opened an id. Raises LedgerError when nothing is known of it."""
        return self._opened.get(id) or await self._read(id)

    async def _read(self, id: str) -> Transition:
        held = await self._look(id)
        if held is None:
            raise LedgerError(self._unknown(id))
        return held.opened

    async def _look(self, id: str) -> Reservation | None:
        row = await self._link.read(id)
        return None if row[0] is None else self._standing(id, row)

    def _standing(self, id: str, row: list[Any]) -> Reservation:
        """What is known of an id, as the server told it."""
        state, opened, last, expires = row
        if state is None:
            raise LedgerError(self._unknown(id))
        first = _decode(opened)
        self._opened.put(id, first)
        latest = first if last is None else _decode(last)
        ends = int(expires) * US_NS
        return Reservation(state.decode(), first, latest, moves.held_by(first), NO_LANE, ends)

    def _unknown(self, id: str) -> str:
        return (
            f"reservation {id!r}: expected an id that was reserved in {self._link.where}, got one "
            "that is unknown, ended too long ago, or was lost with the server's data; reserve "
            "first, under a new id"
        )

    def _clock(self) -> int | None:
        return None if self._now is None else self._now() // US_NS
