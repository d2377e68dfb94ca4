"""Versions where the order is certain, and the holders of locks."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.gateways.redis_commands import Scripts, operations
from proofrig.gateways.redis_keys import Keys, Passing
from proofrig.history.action import Outcome


class Clients:
    """Commands of connections `a`, `b`, ..., which leave and arrive when the test says so."""

    def __init__(self) -> None:
        self.keys = Keys()
        self.now = 0

    def leave(self, connection: str, command: str, trial: str = "") -> Passing:
        self.now += 10
        ((operation,), _) = operations([w.encode() for w in command.split()], Scripts())
        passing = Passing(operation, (0, operation.key), connection, trial or connection, self.now)
        self.keys.leave(passing)
        return passing

    def arrive(
        self, passing: Passing, outcome: Outcome = "ok", *, absent: bool = False
    ) -> dict[str, Any]:
        self.now += 10
        return self.keys.arrive(passing, outcome, self.now, absent=absent)

    def do(self, connection: str, command: str, outcome: Outcome = "ok") -> dict[str, Any]:
        return self.arrive(self.leave(connection, command), outcome)


@pytest.fixture
def clients() -> Clients:
    return Clients()


def test_writes_one_after_another_are_counted(clients: Clients) -> None:
    steps = [("a", "GET k"), ("a", "SET k 1"), ("b", "INCR k"), ("a", "DEL k"), ("b", "GET k")]
    assert [clients.do(*step)["version"] for step in steps] == [0, 1, 2, 3, 3]
    assert clients.do("a", "SET k 2", "fail") == {}
    assert clients.do("a", "GET k") == {"version": 3}


def test_writes_that_overlap_have_no_order_but_are_counted(clients: Clients) -> None:
    one, other = clients.leave("a", "SET k 1"), clients.leave("b", "SET k 2")
    read = clients.leave("c", "GET k")
    assert [clients.arrive(p) for p in (other, read, one)] == [{}, {}, {}]
    assert clients.do("c", "GET k") == {"version": 2}
    assert clients.do("a", "SET k 3") == {"version": 3}


def test_what_went_away_unseen_ends_the_counting(clients: Clients) -> None:
    never = clients.leave("a", "GET k")
    assert clients.arrive(never, absent=True) == {"version": 0}
    clients.do("a", "SET k 1")
    clients.do("a", "DEL k")
    deleted = clients.leave("b", "GET k")
    assert clients.arrive(deleted, absent=True) == {"version": 2}
    assert clients.do("a", "SET k 2") == {"version": 3}
    emptied = clients.leave("b", "GET k")
    assert clients.arrive(emptied, absent=True) == {}
    assert clients.do("a", "SET k 3") == {}


def test_one_connection_keeps_its_own_order(clients: Clients) -> None:
    first, second = clients.leave("a", "SET k 1"), clients.leave("a", "SET k 2")
    assert [clients.arrive(p) for p in (first, second)] == [{"version": 1}, {"version": 2}]


def test_a_read_that_a_write_overtakes_has_no_version(clients: Clients) -> None:
    read = clients.leave("a", "GET k")
    clients.do("b", "SET k 1")
    assert clients.arrive(read) == {}


@pytest.mark.parametrize("how", ["unknown", "touched", "flushed", "locked"])
def test_counting_ends_where_nobody_can_count(clients: Clients, how: str) -> None:
    clients.do("a", "SET k 1")
    if how == "unknown":
        clients.do("b", "SET k 2", "unknown")
    elif how == "touched":
        clients.keys.lose((0, b"k"))
    elif how == "flushed":
        clients.keys.lose_all()
    else:
        clients.do("b", "SET k token NX PX 100")
    assert [clients.do("a", "GET k"), clients.do("a", "SET k 3")] == [{}, {}]


def test_who_is_refused_is_told_the_holder_and_how_long_it_waited(clients: Clients) -> None:
    assert clients.do("a", "SET l ta NX PX 1000") == {"waited_ns": 10}
    assert clients.do("b", "SET l tb NX PX 1000", "fail") == {"waited_ns": 10, "holder": "a"}
    assert clients.do("b", "SET l tb NX PX 1000", "fail") == {"waited_ns": 30, "holder": "a"}
    assert clients.do("b", "SET l tb NX PX 1000") == {"waited_ns": 50}
    assert clients.do("b", "SET l tc NX PX 1000", "fail") == {"waited_ns": 10, "holder": "b"}


def test_deleting_a_lock_releases_it_when_it_is_the_holder_who_does(clients: Clients) -> None:
    clients.do("a", "SET l t NX EX 1")
    assert clients.leave("b", "DEL l").operation.action == "kv.delete"
    mine = clients.leave("a", "DEL l")
    assert (mine.operation.action, clients.arrive(mine)) == ("lock.release", {})
    assert clients.leave("a", "DEL l").operation.action == "kv.delete"
    clients.do("a", "SET l t NX EX 1")
    clients.now += 2_000_000_000
    assert clients.leave("a", "DEL l").operation.action == "kv.delete"  # its time had run out
