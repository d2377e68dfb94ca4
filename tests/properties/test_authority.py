"""The authority's invariants over random interleavings, crash points and replays, on every engine.

1 remaining = allocated - reserved - spent; 2 a hold fits every scope of its path or none is taken;
3 spent of a parent = its children + its own; 4 exactly one end; 5 a replay gives the same balances;
6 same id and payload, same answer; 7 an actual above the hold is booked in full; 8 nothing starts
before it is journalled; 10 an estimate is never below what a call within its bounds costs.
(9, shadow decides as enforcement would, is in `test_shadow.py`.)
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import random
import shutil
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

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

from authority_engines import Driver, InMemory, InRedis, Journalled
from authority_model import (
    NAMES,
    POLICY,
    RETENTION,
    SECOND,
    Expected,
    Known,
    Model,
)
from proofrig.authority.budget import Balance, opening, traffic
from proofrig.authority.decision import Decision
from proofrig.authority.ledger import Ledger
from proofrig.authority.prices import parse_prices
from proofrig.authority.transition import TRANSITIONS, ReserveRequest
from proofrig.errors import IdempotencyError, LedgerError
from proofrig.wire.turn import Usage
from redis_server import redis_server

T = TypeVar("T")

SCOPES = (
    *("a", "a/w", "a/w/b", "a/w/b/r1", "a/w/b/r2", "a/w/b/r1/c", "a//b", "a//b/r1", "ab"),
    *("p", "p/v", "p/w", "p/w/b", "p/w/b/r1", "p/w/b/r2", "p//b/r1"),
)
OWN = ("@suite", "@suite/x", "@writes")
HAND_LIMITED = ("a", "a/w", "a/w/b", "a/w/b/r1", "a//b", "@suite", "@suite/x")
UNITS = ("usd_micro", "tokens", "calls", "bytes")
LIMITED = (*UNITS, "tokens/minute", "calls/hour", "children")

vectors = st.dictionaries(st.sampled_from(UNITS), st.integers(0, 40), max_size=3)
picks = st.lists(st.integers(0, 11), min_size=1, max_size=3)  # of the ids known, or none of them
lives = st.integers(1, 30).map(lambda s: s * SECOND)
requests = st.builds(
    ReserveRequest,
    id=st.integers(0, 9).map(str),
    scope=st.sampled_from(SCOPES),
    name=st.sampled_from(NAMES).map("tool.{}".format),
    amounts=vectors,
    ttl_ns=lives,
    also=st.sampled_from([(), (), ("@suite",), ("@suite/x", "@writes")]),
    ahead=st.one_of(st.just({}), vectors),
    digest=st.sampled_from(["", "", "d"]),
)
people = st.sampled_from(["ann", "bob"])


class Interleavings(RuleBasedStateMachine):
    """Any calls in any order, checked against the model after each."""

    def driver_(self) -> Driver:
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.driver = self.driver_()
        self.model, self.ids = Model(), 0
        self.model.now = 1_000_000 * SECOND
        self.run(self.driver.begin(lambda: self.model.now, POLICY, RETENTION))
        self.then: dict[int, bytes] = {0: pickle.dumps(self.model)}  # the model at each number

    def teardown(self) -> None:
        if hasattr(self, "driver"):
            self.run(self.driver.end())
            self.loop.close()

    def run(self, call: Awaitable[T]) -> T:
        return self.loop.run_until_complete(call)  # type: ignore[arg-type]

    def refused(
        self, call: Callable[[], Awaitable[object]], error: type[LedgerError] = LedgerError
    ) -> None:
        """A call that the table does not allow moves nothing."""
        seq = self.run(self.driver.last())
        with pytest.raises(error) as found:
            self.run(call())
        assert found.type is error
        assert self.run(self.driver.last()) == seq

    def twice(self, call: Callable[[], Awaitable[T]], *, again: bool) -> T:
        """Invariant 6: the same call again gets the same answer, and moves nothing."""
        answer = self.run(call())
        if again:
            seq = self.run(self.driver.last())
            assert self.run(call()) == answer
            assert self.run(self.driver.last()) == seq
        return answer

    @property
    def engine(self) -> Any:
        return self.driver.engine

    def picked(self, picks: list[int], *states: str) -> list[str]:
        """Ids, most of them known, those in `states` first."""
        known = sorted(id for id in self.model.known if id.isdigit())
        first = [id for id in known if self.model.known[id].state in states]
        ids = first if first and picks[0] % 4 else known
        return [ids[n % len(ids)] if ids and n < 11 else "unknown" for n in picks]

    # ---- limits

    @rule(
        scope=st.sampled_from(HAND_LIMITED),
        amounts=st.dictionaries(st.sampled_from(LIMITED), st.integers(0, 90), max_size=4),
    )
    def set_budget(self, scope: str, amounts: dict[str, int]) -> None:
        if "children" in amounts:
            amounts["children"] %= 4
        self.run(self.engine.set_budget(scope, amounts))
        self.model.limit(scope, amounts)

    @rule(scope=st.sampled_from(("a/w/b/r1", "a//b", "@suite/x")), chance=st.integers(0, 5))
    def stop(self, scope: str, chance: int) -> None:
        if chance == 0:
            waiting = [
                known
                for known in self.model.known.values()
                if known.state == "pending" and scope in known.scopes
            ]
            self.run(self.engine.stop(scope, "it loops"))
            self.model.stopped[scope] = "it loops"
            for known in waiting if self.driver.stop_refuses else ():
                self.model.ends(known, "released", {})
                known.last, known.said = "release", "refused by the stop: it loops"

    # ---- what is asked

    @rule(asked=st.lists(requests, min_size=1, max_size=4), again=st.booleans())
    def reserve(self, asked: list[ReserveRequest], again: bool) -> None:
        """Invariants 2 and 6."""
        for request in asked:
            if int(request.id) < 8:  # the others come again, as another request most often
                self.ids += 1
                request = msgspec.structs.replace(request, id=str(100 + self.ids))
            self.reserve_one(request, again)

    def reserve_one(self, request: ReserveRequest, again: bool) -> None:
        known = self.model.known.get(request.id)
        self.model.see(self.model.lane(request))
        if known is not None:
            if not same(known, request):
                with pytest.raises(IdempotencyError):
                    self.run(self.engine.reserve(request))
            return
        expected = self.model.foresee(request)
        decision = self.twice(lambda: self.engine.reserve(request), again=again)
        assert told(decision) == foreseen(expected)
        self.model.opens(request, expected)
        self.model.known[request.id].answer = decision

    @rule(picks=picks)
    def again(self, picks: list[int]) -> None:
        """Invariant 6: the same request gets the same answer, whatever has happened since."""
        for id in self.picked(picks, "denied"):
            self.again_one(id)

    def again_one(self, id: str) -> None:
        known = self.model.known.get(id)
        if known is not None:
            self.model.see(self.model.lane(known.request))
            assert self.run(self.engine.reserve(known.request)) == known.answer

    @rule(
        number=st.integers(0, 3),
        scope=st.sampled_from(SCOPES),
        amounts=vectors,
        outcome=st.sampled_from(["ok", "fail"]),
        again=st.booleans(),
    )
    def event(
        self, number: int, scope: str, amounts: dict[str, int], outcome: Any, again: bool
    ) -> None:
        """Invariant 7: what has happened is booked, whether it fits or not."""
        request = ReserveRequest(f"e{number}", scope, "tool.x", amounts, SECOND, also=("@suite",))
        known = self.model.known.get(request.id)
        self.model.see(self.model.lane(request))

        def call() -> Awaitable[dict[str, int]]:
            return self.engine.event(request, "measured", outcome)

        if known is not None and known.request != request:
            with pytest.raises(IdempotencyError):
                self.run(call())
            return
        assert self.twice(call, again=again) == amounts
        if known is None:
            self.model.posts(request)

    # ---- approval

    @rule(picks=picks, by=people, again=st.booleans())
    def approve(self, picks: list[int], by: str, again: bool) -> None:
        for id in self.picked(picks, "pending"):
            self.approve_one(id, by, again)

    def approve_one(self, id: str, by: str, again: bool) -> None:
        known = self.model.known.get(id)
        if known is not None and known.last == "approve":
            if known.said != by:
                self.refused(lambda: self.engine.approve(id, by), IdempotencyError)
            return
        if known is None or known.state != "pending":
            self.refused(lambda: self.engine.approve(id, by))
            return
        answer = self.twice(lambda: self.engine.approve(id, by), again=again)
        assert answer == Decision("allow", id, rule="asks")
        known.state, known.last, known.said = "reserved", "approve", by
        known.expires = self.model.now + known.request.ttl_ns

    @rule(picks=picks, by=people, reason=st.sampled_from(["", "no: never"]), again=st.booleans())
    def refuse(self, picks: list[int], by: str, reason: str, again: bool) -> None:
        for id in self.picked(picks, "pending"):
            self.refuse_one(id, by, reason, again)

    def refuse_one(self, id: str, by: str, reason: str, again: bool) -> None:
        known = self.model.known.get(id)
        said = f"refused by {by}: {reason}" if reason else f"refused by {by}"
        if known is not None and known.state == "released":
            if known.said != said:
                self.refused(lambda: self.engine.refuse(id, by, reason), IdempotencyError)
            return
        if known is None or known.state != "pending":
            self.refused(lambda: self.engine.refuse(id, by, reason))
            return
        answer = self.twice(lambda: self.engine.refuse(id, by, reason), again=again)
        assert (answer.effect, answer.code) == ("deny", "approval_refused")
        self.model.ends(known, "released", {})
        known.last, known.said = "release", said

    @rule(picks=picks)
    def answer(self, picks: list[int]) -> None:
        for id in self.picked(picks, "released", "expired_released"):
            self.answer_one(id)

    def answer_one(self, id: str) -> None:
        known = self.model.known.get(id)
        if known is None or known.rule != "asks" or known.state == "denied":
            self.refused(lambda: self.engine.answer(id))
        elif known.state != "pending":
            answer = self.run(self.engine.answer(id))
            if known.state == "released" and known.last == "release":
                assert (answer.effect, answer.code) == ("deny", "approval_refused")
            elif known.state == "expired_released":
                assert (answer.effect, answer.code) == ("deny", "approval_timeout")
            else:
                assert answer == Decision("allow", id, rule="asks")

    # ---- what happens

    @rule(picks=picks, again=st.booleans())
    def start(self, picks: list[int], again: bool) -> None:
        """Invariant 8: once `start` is answered, it and its reservation are written down."""
        for id in self.picked(picks, "reserved"):
            self.start_one(id, again)

    def start_one(self, id: str, again: bool) -> None:
        known = self.model.known.get(id)
        if known is None or known.state not in ("reserved", "started"):
            self.refused(lambda: self.engine.start(id))
            return
        self.twice(lambda: self.engine.start(id), again=again)
        if known.state == "reserved":
            known.state, known.last = "started", "start"
        if self.driver.durable:
            written = [one.event for one in self.run(self.driver.transitions()) if one.id == id]
            begun = max(n for n, event in enumerate(written) if event in ("reserve", "ask"))
            assert "start" in written[begun:]

    @rule(
        picks=picks,
        actual=vectors,
        outcome=st.sampled_from(["ok", "ok", "fail", "unknown"]),
        again=st.booleans(),
    )
    def commit(self, picks: list[int], actual: dict[str, int], outcome: Any, again: bool) -> None:
        """Invariants 4, 6 and 7: the actual in full, once."""
        for id in self.picked(picks, "started"):
            self.commit_one(id, actual, outcome, again)

    def commit_one(self, id: str, actual: dict[str, int], outcome: Any, again: bool) -> None:
        known = self.model.known.get(id)

        def call() -> Awaitable[dict[str, int]]:
            return self.engine.commit(id, actual, "measured", outcome)

        if known is not None and known.state == "committed":
            if known.committed != (actual, outcome):
                self.other_commit(known, actual, outcome)
            return
        if known is None or known.state != "started":
            self.refused(call)
            return
        charged = known.held | actual | (known.earns if outcome == "ok" else {})
        assert self.twice(call, again=again) == charged
        self.model.ends(known, "committed", charged)
        known.committed, known.last = (actual, outcome), "commit"

    def other_commit(self, known: Known, actual: dict[str, int], outcome: Any) -> None:
        charged = known.held | actual | (known.earns if outcome == "ok" else {})
        if (charged, outcome) != (known.charged, known.committed[1]):
            id = known.request.id
            self.refused(
                lambda: self.engine.commit(id, actual, "measured", outcome), IdempotencyError
            )

    @rule(picks=picks, reason=st.sampled_from(["unreachable", "cancelled"]), again=st.booleans())
    def release(self, picks: list[int], reason: str, again: bool) -> None:
        for id in self.picked(picks, "pending"):
            self.release_one(id, reason, again)

    def release_one(self, id: str, reason: str, again: bool) -> None:
        known = self.model.known.get(id)
        if known is not None and known.state == "released":
            if known.said != reason:
                self.refused(lambda: self.engine.release(id, reason), IdempotencyError)
            return
        if known is None or not known.live:
            self.refused(lambda: self.engine.release(id, reason))
            return
        self.twice(lambda: self.engine.release(id, reason), again=again)
        self.model.ends(known, "released", {})
        known.last, known.said = "release", reason

    @rule(picks=picks, ttl=lives, again=st.booleans())
    def extend(self, picks: list[int], ttl: int, again: bool) -> None:
        for id in self.picked(picks, "reserved", "started"):
            self.extend_one(id, ttl, again)

    def extend_one(self, id: str, ttl: int, again: bool) -> None:
        known = self.model.known.get(id)
        if known is None or not known.live:
            self.refused(lambda: self.engine.extend(id, ttl))
            return
        if self.model.now + ttl > known.expires:
            known.expires, known.last = self.model.now + ttl, "extend"
        assert self.twice(lambda: self.engine.extend(id, ttl), again=again) == known.expires

    @rule(step=st.sampled_from([0, 1, SECOND // 2, SECOND, 5 * SECOND, 20 * SECOND, 60 * SECOND]))
    def sweep(self, step: int) -> None:
        """Invariant 4: orphans end once, charged when they had started."""
        self.model.now += step // 1000 * 1000
        due = self.model.due()
        assert self.run(self.engine.sweep()) == len(due)
        self.model.sweeps()
        for id in due:
            if id in self.model.known:
                assert self.run(self.driver.state(id)) == self.model.known[id].state

    # ---- what survives

    @precondition(lambda self: self.driver.durable)
    @rule()
    def restart(self) -> None:
        """Invariant 5, and life goes on. A replay knows forgotten ids until the next sweep."""
        self.run(self.driver.restart())
        self.sweep(0)

    @precondition(lambda self: self.driver.durable)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        """Invariant 5: what is written down, cut anywhere, gives the balances of that moment."""
        self.replay_to(lambda cuts: data.draw(st.sampled_from(cuts)))

    def replay_to(self, choose: Callable[[list[int]], int]) -> None:
        written = self.run(self.driver.transitions())
        cut = choose(sorted(self.then))
        replayed = Ledger(retention_ns=RETENTION)
        for made in written[:cut]:
            replayed.apply(made)
        then = pickle.loads(self.then[cut])
        for scope in (*SCOPES, *OWN):
            found = replayed.balances(scope, then.now)
            assert says_something(found) == then.figures(scope)

    @precondition(lambda self: isinstance(self.driver, Journalled))
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """Invariant 5: after a crash that lost the end of the journal, life goes on from there."""
        self.crash_to(lambda cuts: data.draw(st.sampled_from(cuts)))

    def crash_to(self, choose: Callable[[list[int]], int]) -> None:
        assert isinstance(self.driver, Journalled)
        cut = choose(sorted(self.then)[-6:])
        now = self.model.now
        self.run(self.driver.cut(cut))
        self.then = {seq: then for seq, then in self.then.items() if seq <= cut}
        self.model = pickle.loads(self.then[cut])
        self.model.now = now
        self.sweep(0)

    # ---- after every call

    @invariant()
    def balances_are_the_sums(self) -> None:
        """Invariants 1 and 3."""
        if not hasattr(self, "driver"):
            return
        found = self.run(self.driver.figures((*SCOPES, *OWN)))
        assert found == {scope: self.model.figures(scope) for scope in found}
        for balance in (balance for units in found.values() for balance in units.values()):
            if balance.allocated is not None:
                assert balance.remaining == balance.allocated - balance.reserved - balance.spent
        self.then[self.run(self.driver.last())] = pickle.dumps(self.model)

    @invariant()
    def what_has_ended_has_one_end(self) -> None:
        """Invariant 4."""
        if not hasattr(self, "driver"):
            return
        for id, known in self.model.known.items():
            state = self.run(self.driver.state(id))
            assert state == known.state
            assert bool(TRANSITIONS[state]) == known.live  # type: ignore[index]


def same(known: Known, request: ReserveRequest) -> bool:
    """Whether a request is the one that is known."""
    was, got = known.request, request
    return (was.scope, was.name, was.amounts, was.ttl_ns, was.digest) == (
        *(got.scope, got.name, got.amounts, got.ttl_ns, got.digest),
    ) and known.also[: len(got.also)] == got.also


def told(decision: Decision) -> tuple[object, ...]:
    left = decision.remaining or {}
    said = (decision.effect, decision.code, decision.rule, decision.scope, left)
    assert decision.fix or decision.effect != "deny"
    return (*said, decision.retry_ns)


def foreseen(expected: Expected) -> tuple[object, ...]:
    said = (expected.effect, expected.code, expected.rule, expected.at, expected.remaining)
    return (*said, expected.retry)


def says_something(balances: dict[str, Balance]) -> dict[str, Balance]:
    return {unit: one for unit, one in balances.items() if one != Balance(None, 0, 0)}


class MemoryInterleavings(Interleavings):
    def driver_(self) -> Driver:
        return InMemory()


class JournalInterleavings(Interleavings):
    def driver_(self) -> Driver:
        return Journalled()


class RedisInterleavings(Interleavings):
    def driver_(self) -> Driver:
        return InRedis(f"redis://127.0.0.1:{PORT[0]}/0")


PORT: list[int] = []


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        if shutil.which("redis-server"):
            PORT[:] = [stack.enter_context(redis_server(tmp_path_factory.mktemp("redis")))]
        yield


TestMemory = MemoryInterleavings.TestCase
TestJournal = JournalInterleavings.TestCase
TestRedis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="redis-server is not installed"
)(RedisInterleavings.TestCase)
TestMemory.settings = settings(
    max_examples=40, stateful_step_count=50, deadline=None, database=None
)
TestJournal.settings = settings(
    max_examples=30, stateful_step_count=50, deadline=None, database=None
)
TestRedis.settings = settings(max_examples=15, stateful_step_count=40, deadline=None, database=None)


def walk(machine: Interleavings, seed: int, steps: int) -> None:
    """A long way through one machine, with the odds of a busy ledger."""
    draw = random.Random(seed)
    pauses = [0, 1, 3, 9, 60, 61]  # seconds; a window counts at its end, and not after it

    def vector(most: int = 40) -> dict[str, int]:
        return {unit: draw.randrange(most) for unit in draw.sample(UNITS, draw.randrange(4))}

    def request() -> ReserveRequest:
        also = draw.choice([(), (), ("@suite",), ("@suite/x", "@writes")])
        ahead, ttl = draw.choice([{}, vector()]), draw.randint(1, 30) * SECOND
        name = f"tool.{draw.choice(NAMES)}"
        return ReserveRequest(
            str(draw.randrange(9)),
            draw.choice(SCOPES),
            name,
            vector(),
            ttl,
            also=also,
            ahead=ahead,
            digest=draw.choice(["", "d"]),
        )

    def some() -> list[int]:
        return [draw.randrange(12) for _ in range(draw.randint(1, 3))]

    def budget() -> dict[str, int]:
        return {unit: draw.randrange(200) for unit in draw.sample(LIMITED, draw.randrange(4))}

    def again() -> bool:
        return draw.random() < 0.3

    def by() -> str:
        return draw.choice(["ann", "bob"])

    def outcome() -> str:
        return draw.choice(["ok", "ok", "fail", "unknown"])

    calls: list[tuple[int, Callable[[], None]]] = [
        (3, lambda: machine.set_budget(draw.choice(HAND_LIMITED), budget())),
        (1, lambda: machine.stop(draw.choice(("a//b", "@suite/x")), draw.randrange(5))),
        (12, lambda: machine.reserve([request() for _ in range(draw.randint(1, 4))], again())),
        (2, lambda: machine.again(some())),
        (2, lambda: machine.event(draw.randrange(4), draw.choice(SCOPES), vector(), "ok", again())),
        (4, lambda: machine.approve(some(), by(), again())),
        (2, lambda: machine.refuse(some(), by(), draw.choice(["", "no: never"]), again())),
        (2, lambda: machine.answer(some())),
        (10, lambda: machine.start(some(), again())),
        (10, lambda: machine.commit(some(), vector(60), outcome(), again())),
        (3, lambda: machine.release(some(), draw.choice(["gone", "cancelled"]), again())),
        (4, lambda: machine.extend(some(), draw.randint(1, 60) * SECOND, again())),
        (6, lambda: machine.sweep(draw.choice(pauses) * SECOND)),
    ]
    if machine.driver.durable:
        calls += [(1, machine.restart), (1, lambda: machine.replay_to(draw.choice))]
    if isinstance(machine.driver, Journalled):
        calls.append((1, lambda: machine.crash_to(draw.choice)))
    weights = [weight for weight, _ in calls]
    for _ in range(steps):
        draw.choices([call for _, call in calls], weights)[0]()
        machine.balances_are_the_sums()
        machine.what_has_ended_has_one_end()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", [MemoryInterleavings, JournalInterleavings, RedisInterleavings])
def test_long_walks(kind: type[Interleavings], seed: int) -> None:
    if kind is RedisInterleavings and not PORT:
        pytest.skip("redis-server is not installed")
    machine = kind()
    machine.begin()
    try:
        walk(machine, seed, 150)
    finally:
        machine.teardown()


@given(
    limit=st.integers(0, 500),
    asks=st.lists(
        st.tuples(st.sampled_from(SCOPES), st.integers(0, 60), st.integers(0, 60)), max_size=40
    ),
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
