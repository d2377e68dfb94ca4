"""Holds, charges and refusals over the accounts, the windows and the children of a path."""

from __future__ import annotations

import pytest

from proofrig.authority.books import Books, Refusal, hold, settle
from proofrig.authority.budget import MAX_AMOUNT, WINDOWS, Balance
from proofrig.authority.transition import Transition
from proofrig.errors import UsageError

NOTHING: dict[str, int] = {}
OPENED = Transition(9, 0, "reserve", "r", "reserved", "a/b")


def test_a_hold_is_taken_everywhere_or_nowhere() -> None:
    books = Books()
    books.allocate("a", {"tokens": 100, "calls": 1}, 1)
    lane = books.lane("a/b", {"tokens": 0, "calls": 0})
    assert hold(lane, {"tokens": 60, "calls": 1})
    assert not hold(lane, {"tokens": 40, "calls": 1})  # tokens fit, calls do not
    assert not hold(lane, {"calls": 0, "tokens": 41})
    for scope, allocated in (("a", 100), ("a/b", None)):
        assert books.balances(scope, NOTHING, 0)["tokens"] == Balance(allocated, 0, 60)


def test_a_charge_takes_the_place_of_its_hold_even_above_the_limit() -> None:
    books = Books()
    books.allocate("a", {"tokens": 100}, 1)
    lane = books.lane("a/b", {"tokens": 0, "ms": 0})
    assert hold(lane, {"tokens": 100})
    settle(lane, {"tokens": 100}, {"tokens": 130, "ms": 7}, OPENED, 0)
    assert books.balances("a", NOTHING, 0) == {
        "tokens": Balance(100, 0, 130),
        "ms": Balance(None, 0, 7),
    }
    assert not hold(lane, {"tokens": 0})  # a scope in debt admits nothing in that unit


@pytest.mark.parametrize(
    ("asked", "code", "at", "remaining"),
    [
        (50, "budget_exceeded", "a/b", {"tokens": 10}),
        (500, "budget_exceeded", "a", {"tokens": 100, "calls": 5}),
    ],
)
def test_a_refusal_names_the_outermost_scope_and_what_remains_there(
    asked: int, code: str, at: str, remaining: dict[str, int]
) -> None:
    books = Books()
    books.allocate("a", {"tokens": 100, "calls": 5}, 1)
    books.allocate("a/b", {"tokens": 10}, 2)
    amounts = {"tokens": asked}
    refusal = books.refusal(books.lane("a/b", amounts), amounts, 0)
    assert refusal == Refusal(code, at, remaining)


def test_what_fits_is_not_refused_unless_what_comes_before_it_takes_the_rest() -> None:
    books = Books()
    books.allocate("a", {"calls:tool.x": 3}, 1)
    amounts = {"calls:tool.x": 1}
    lane = books.lane("a/b", amounts)
    assert books.refusal(lane, amounts, 0) is None
    assert books.refusal(lane, amounts, 0, {"calls:tool.x": 2}) is None
    refusal = books.refusal(lane, amounts, 0, {"calls:tool.x": 3})
    assert refusal is not None and refusal.at == "a"


def test_a_parent_has_as_many_children_as_were_let_in() -> None:
    books = Books()
    books.allocate("a/w", {"children": 2}, 1)
    for child in ("a/w/x/r1", "a/w/y/r1", "a/w/x/r2"):
        lane = books.lane(child, {"calls": 1})
        assert books.crowded(lane) is None
        books.enter(lane)
    assert books.balances("a/w", NOTHING, 0)["children"] == Balance(2, 0, 2)
    late = books.lane("a/w/z/r1", {"calls": 1})
    assert books.crowded(late) == Refusal("fan_out_exceeded", "a/w", {"children": 0})
    assert books.crowded(books.lane("a/w/x/r3", {"calls": 1})) is None


def test_a_scope_of_the_users_own_is_booked_besides_the_path() -> None:
    books = Books()
    books.allocate("@writes", {"calls": 1}, 1)
    one = books.lane("a/b", {"calls": 1}, ("@writes",))
    other = books.lane("z/b", {"calls": 1}, ("@writes",))
    assert hold(one, {"calls": 1})
    assert not hold(other, {"calls": 1})
    assert books.balances("z", NOTHING, 0)["calls"] == Balance(None, 0, 0)


@pytest.mark.parametrize(("scope", "also"), [("a", "writes"), ("a", "b/@c"), ("@x", "@y")])
def test_only_scopes_of_the_users_own_stand_besides(scope: str, also: str) -> None:
    with pytest.raises(UsageError, match="begin with @"):
        Books().lane(scope, {}, (also,))


MINUTE = WINDOWS["minute"]


@pytest.mark.parametrize(
    ("then", "fits"),
    [(0, False), (MINUTE - 1, False), (MINUTE, False), (MINUTE + MINUTE // 60, True)],
)
def test_a_window_slides(then: int, fits: bool) -> None:
    books = Books()
    books.allocate("a", {"calls/minute": 2}, 1)
    lane = books.lane("a/b", {"calls": 1})
    assert hold(lane, {"calls": 1}, 0) and hold(lane, {"calls": 1}, 0)
    assert hold(lane, {"calls": 1}, then) is fits
    if not fits:
        refusal = books.refusal(lane, {"calls": 1}, then)
        assert refusal is not None and refusal.code == "rate_exceeded"
        assert hold(lane, {"calls": 1}, then + refusal.retry_ns)


def test_what_a_window_refuses_is_booked_nowhere() -> None:
    books = Books()
    books.allocate("a", {"calls/minute": 1, "tokens": 10}, 1)
    lane = books.lane("a/b", {"calls": 1, "tokens": 1})
    assert hold(lane, {"calls": 1, "tokens": 5}, 0)
    assert not hold(lane, {"calls": 1, "tokens": 5}, 0)
    assert not hold(lane, {"calls": 0, "tokens": 6}, 0)
    assert books.balances("a", NOTHING, 0) == {
        "calls": Balance(None, 0, 1),
        "tokens": Balance(10, 0, 5),
        "calls/minute": Balance(1, 0, 1),
    }


@pytest.mark.parametrize("amount", [-1, 1.0, True, MAX_AMOUNT + 1, "1", None])
def test_an_amount_is_a_whole_number_within_bounds(amount: object) -> None:
    with pytest.raises(UsageError, match="expected integers"):
        Books().lane("a", {"tokens": amount})  # type: ignore[dict-item]


@pytest.mark.parametrize("unit", ["usd", "call", "calls:", "calls:a b", "Tokens", ""])
def test_a_unit_is_one_of_the_known(unit: str) -> None:
    with pytest.raises(UsageError, match="expected the units"):
        Books().lane("a", {unit: 1})
