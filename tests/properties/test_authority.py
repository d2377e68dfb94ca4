"""The authority's invariants over random interleavings, crash points and replays.

1 remaining = allocated - reserved - spent; 2 a hold fits every scope of its path or none is taken;
3 spent of a parent = its children + its own; 4 exactly one end; 5 a replay gives the same balances;
6 same id and payload, same answer; 7 an actual above the hold is booked in full; 8 nothing starts
before it is journalled; 10 an estimate is never below what a call within its bounds costs.
"""

from __future__ import annotations

import sqlite3
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from proofrig.authority.budget import Balance, ancestors, opening, traffic
from proofrig.authority.journal import Journal
from proofrig.authority.ledger import (
    TRANSITIONS,
    Ledger,
    ReserveRequest,
    Transition,
)
from proofrig.authority.prices import parse_prices
from proofrig.errors import IdempotencyError, LedgerError
from proofrig.wire.turn import Usage

SCOPES = ("a", "a/w", "a/w/b", "a/w/b/r1", "a/w/b/r2", "a//b", "a//b/r1", "z", "z/w/b/r1", "ab")
UNITS = ("usd_micro", "tokens", "calls", "calls:llm")

scopes = st.sampled_from(SCOPES)
vectors = st.dictionaries(st.sampled_from(UNITS), st.integers(0, 40), max_size=4)
ids = st.integers(0, 9).map(str)
Figures = dict[str, dict[str, Balance]]


def figures(ledger: Ledger) -> Figures:
    return {scope: ledger.balances(scope) for scope in ledger.scopes()}


@dataclass
class Known:
    """What the model knows of one id."""

    request: ReserveRequest
    allowed: bool
    expires: int
    started: bool = False
    ended: bool = False
    charged: dict[str, int] = field(default_factory=dict)


@dataclass
class Model:
    """The invariants written down naively: sums over everything that ever happened."""

    allocated: dict[tuple[str, str], int] = field(default_factory=dict)
    known: dict[str, Known] = field(default_factory=dict)

    def sums(self, scope: str, unit: str) -> tuple[int, int]:
        """(reserved, spent) of one scope and unit."""
        reserved = spent = 0
        for known in self.known.values():
            if known.allowed and scope in ancestors(known.request.scope):
                if known.ended:
                    spent += known.charged.get(unit, 0)
                else:
                    reserved += known.request.amounts.get(unit, 0)
        return reserved, spent

    def fits(self, request: ReserveRequest) -> bool:
        for scope in ancestors(request.scope):
            for unit, amount in request.amounts.items():
                limit = self.allocated.get((scope, unit))
                if limit is not None and sum(self.sums(scope, unit)) + amount > limit:
                    return False
        return True


class Interleavings(RuleBasedStateMachine):
    """Any calls in any order, checked against the model after each."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "journal"
        self.journal = Journal(self.path)
        self.ledger = Ledger()
        self.model = Model()
        self.now = 0
        self.after: list[Figures] = [{}]  # the balances after each transition

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.journal.close()
            self.folder.cleanup()

    def wrote(self, made: Transition) -> None:
        if made.seq > len(self.after) - 1:
            assert made.seq == len(self.after)
            self.after.append(figures(self.ledger))
        self.journal.append(made)

    def refused(self, call: Any) -> None:
        """A call the table does not allow moves nothing."""
        before, seq = figures(self.ledger), self.ledger.seq
        with pytest.raises(LedgerError):
            call()
        assert (figures(self.ledger), self.ledger.seq) == (before, seq)

    @rule(scope=scopes, amounts=vectors)
    def set_budget(self, scope: str, amounts: dict[str, int]) -> None:
        limits = {unit: 3 * amount for unit, amount in amounts.items()}
        self.wrote(self.ledger.set_budget(scope, limits, self.now))
        self.model.allocated |= {(scope, unit): limit for unit, limit in limits.items()}

    @rule(id=ids, scope=scopes, amounts=vectors, ttl=st.integers(1, 20))
    def reserve(self, id: str, scope: str, amounts: dict[str, int], ttl: int) -> None:
        """Invariants 2 and 6."""
        request = ReserveRequest(id, scope, "tool.x", amounts, ttl)
        known = self.model.known.get(id)
        if known is not None and known.request != request:
            with pytest.raises(IdempotencyError):
                self.ledger.reserve(request, self.now)
            return
        fits = self.model.fits(request) if known is None else known.allowed
        made = self.ledger.reserve(request, self.now)
        assert made.event == ("reserve" if fits else "deny")
        if known is None:
            self.model.known[id] = Known(request, fits, self.now + ttl, ended=not fits)
        self.wrote(made)

    @rule(id=ids)
    def again(self, id: str) -> None:
        """Invariant 6: the same payload gets the same answer, whatever has happened since."""
        known = self.model.known.get(id)
        if known is not None:
            seq = self.ledger.seq
            made = self.ledger.reserve(known.request, self.now)
            assert (made.event == "reserve", self.ledger.seq) == (known.allowed, seq)

    @rule(id=ids)
    def start(self, id: str) -> None:
        """Invariant 8: once `start` is written, its reservation is."""
        known = self.model.known.get(id)
        if known is None or known.ended:
            self.refused(lambda: self.ledger.start(id, self.now))
            return
        self.wrote(self.ledger.start(id, self.now))
        self.journal.flush()
        known.started = True
        assert self.kinds_on_disk(id)[:1] == ["reserve"]
        assert "start" in self.kinds_on_disk(id)

    def kinds_on_disk(self, id: str) -> list[str]:
        other = sqlite3.connect(self.path)
        try:
            rows = other.execute(
                "select json_extract(body, '$.event') from transitions"
                " where json_extract(body, '$.id') = ? order by seq",
                (id,),
            ).fetchall()
        finally:
            other.close()
        return [kind for (kind,) in rows]

    @rule(id=ids, actual=vectors, twice=st.booleans())
    def commit(self, id: str, actual: dict[str, int], twice: bool) -> None:
        """Invariants 4, 6 and 7: the actual in full, once."""
        known = self.model.known.get(id)
        if known is None or known.ended or not known.started:
            if self.ledger.state(id) != "committed":
                self.refused(lambda: self.ledger.commit(id, actual, "measured", "ok", self.now))
            return
        made = self.ledger.commit(id, actual, "measured", "ok", self.now)
        self.wrote(made)
        known.ended, known.charged = True, {**known.request.amounts, **actual}
        assert made.amounts == known.charged
        if twice:
            assert self.ledger.commit(id, actual, "measured", "ok", self.now + 1) is made
            with pytest.raises(IdempotencyError):
                self.ledger.commit(id, actual, "estimated", "ok", self.now)

    @rule(id=ids)
    def release(self, id: str) -> None:
        known = self.model.known.get(id)
        if known is None or known.ended:
            if self.ledger.state(id) != "released":
                self.refused(lambda: self.ledger.release(id, "unreachable", self.now))
            return
        self.wrote(self.ledger.release(id, "unreachable", self.now))
        known.ended = True

    @rule(id=ids, ttl=st.integers(1, 20))
    def extend(self, id: str, ttl: int) -> None:
        known = self.model.known.get(id)
        if known is None or known.ended:
            self.refused(lambda: self.ledger.extend(id, ttl, self.now))
            return
        self.wrote(self.ledger.extend(id, ttl, self.now))
        known.expires = max(known.expires, self.now + ttl)

    @rule(step=st.integers(0, 15))
    def sweep(self, step: int) -> None:
        """Invariant 4: orphans end once, charged when they had started."""
        self.now += step
        due = {
            id
            for id, known in self.model.known.items()
            if not known.ended and known.expires <= self.now
        }
        made = self.ledger.expire(self.now)
        assert {one.id for one in made} == due
        for one in made:
            known = self.model.known[one.id]
            known.ended = True
            if known.started:
                known.charged = dict(known.request.amounts)
            assert one.state == ("expired_charged" if known.started else "expired_released")
            self.journal.append(one)
        # one sweep is one call: only the balances after its last transition can be seen
        self.after += [{}] * (len(made) - 1) + [figures(self.ledger)] * bool(made)

    @precondition(lambda self: len(self.after) > 1)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """Invariant 5: the journal cut at any transition replays to the balances of that moment."""
        cut = data.draw(st.integers(0, len(self.after) - 1))
        other = sqlite3.connect(self.path)
        try:
            query = "select body from transitions where seq <= ? order by seq"
            bodies = other.execute(query, (cut,)).fetchall()
        finally:
            other.close()
        assert len(bodies) == cut
        replayed = Ledger()
        for (body,) in bodies:
            replayed.apply(msgspec.json.decode(body, type=Transition))
        if self.after[cut] or cut == 0:
            assert figures(replayed) == self.after[cut]

    @rule()
    def restart(self) -> None:
        """Invariant 5, and life goes on with the replayed ledger."""
        self.journal.close()
        self.journal = Journal(self.path)
        before, states = self.ledger, {id: self.ledger.state(id) for id in self.model.known}
        self.ledger = Ledger()
        self.journal.replay(self.ledger)
        assert figures(self.ledger) == figures(before)
        assert {id: self.ledger.state(id) for id in self.model.known} == states

    @invariant()
    def balances_are_the_sums(self) -> None:
        """Invariants 1 and 3."""
        if not hasattr(self, "ledger"):
            return
        for scope, units in figures(self.ledger).items():
            for unit, balance in units.items():
                limit = self.model.allocated.get((scope, unit))
                reserved, spent = self.model.sums(scope, unit)
                assert balance == Balance(limit, reserved, spent)
                left = None if limit is None else limit - reserved - spent
                assert balance.remaining == left

    @invariant()
    def what_has_ended_has_one_end(self) -> None:
        """Invariant 4."""
        if not hasattr(self, "ledger"):
            return
        live = {id for id, known in self.model.known.items() if not known.ended}
        assert set(self.ledger.open()) == live
        assert all(TRANSITIONS[self.ledger.state(id)] for id in live)


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(
    max_examples=60, stateful_step_count=50, deadline=None, database=None
)


@given(
    limit=st.integers(0, 500),
    asks=st.lists(st.tuples(scopes, st.integers(0, 60), st.integers(0, 60)), max_size=40),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None, database=None)
def test_no_interleaving_spends_more_than_the_limit(
    limit: int, asks: list[tuple[str, int, int]], order: Any
) -> None:
    """Invariant 2: while no actual exceeds its hold, no scope is ever over its limit."""
    ledger = Ledger()
    for scope in SCOPES:
        ledger.set_budget(scope, {"tokens": limit}, 0)
    todo = [
        (str(n), step, scope, held, min(held, actual))
        for n, (scope, held, actual) in enumerate(asks)
        for step in range(2)
    ]
    order.shuffle(todo)
    for id, _, scope, held, actual in todo:
        if ledger.state(id) == "new":
            ledger.reserve(ReserveRequest(id, scope, "tool.x", {"tokens": held}), 0)
        elif ledger.state(id) == "reserved":
            ledger.start(id, 0)
            ledger.commit(id, {"tokens": actual}, "measured", "ok", 0)
        for balance in (ledger.balances(above)["tokens"] for above in SCOPES):
            assert balance.remaining is not None and balance.remaining >= 0
            assert balance.debt == 0


rates = st.decimals(0, 100, places=4, allow_nan=False, allow_infinity=False)


@given(
    four=st.tuples(rates, rates, rates, rates),
    bounds=st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
    data=st.data(),
)
@settings(max_examples=200, deadline=None, database=None)
def test_an_estimate_is_never_below_the_cost(
    four: tuple[Any, ...], bounds: tuple[int, int], data: st.DataObject
) -> None:
    """Invariant 10."""
    names = ("input", "output", "cache_read", "cache_write")
    entry = dict(zip(names, four, strict=True)) | {"source": "here", "as_of": "2026-01-01"}
    table = parse_prices({"prices": {"m*": entry}})
    used = data.draw(st.integers(0, bounds[0]))
    read = data.draw(st.integers(0, used))
    usage = Usage(
        input=used,
        output=data.draw(st.integers(0, bounds[1])),
        cache_read=read,
        cache_write=data.draw(st.integers(0, used - read)),
    )
    cost = table.cost("mini", usage)
    assert table.estimate("mini", *bounds) >= cost
    exact = (
        (used - usage.cache_read - usage.cache_write) * four[0]
        + usage.output * four[1]
        + usage.cache_read * four[2]
        + usage.cache_write * four[3]
    )
    assert 0 <= cost - exact < 1


@given(
    limit=st.integers(0, 60),
    unit=st.sampled_from(["ms", "bytes"]),
    calls=st.lists(
        st.tuples(
            st.sampled_from([scope for scope in SCOPES if scope.split("/")[0] == "a"]),
            st.integers(0, 30),
            st.integers(1, 30_000_000),
        ),
        max_size=30,
    ),
)
@settings(max_examples=60, deadline=None, database=None)
def test_time_and_bytes_once_used_up_let_nothing_in(
    limit: int, unit: str, calls: list[tuple[str, int, int]]
) -> None:
    """Invariants 2 and 7 for what has no bound: one call at a time goes over by itself alone."""
    ledger = Ledger()
    ledger.set_budget("a", {unit: limit}, 0)
    for n, (scope, sent, ns) in enumerate(calls):
        spent = ledger.balances("a")[unit].spent
        held, took = opening(sent), traffic(ns, max(1, sent) * 2)
        made = ledger.reserve(ReserveRequest(str(n), scope, "tool.x", held), 0)
        assert made.event == ("reserve" if spent + held[unit] <= limit else "deny")
        if made.event == "reserve":
            ledger.start(str(n), 0)
            ledger.commit(str(n), took, "measured", "ok", 0)
            spent += took[unit]
        assert ledger.balances("a")[unit].spent == spent
