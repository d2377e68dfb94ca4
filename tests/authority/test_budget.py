"""Budget vectors, scopes as paths, and the accounts they are booked on."""

from __future__ import annotations

import pytest

from proofrig.authority.budget import (
    MAX_AMOUNT,
    Balance,
    Books,
    ancestors,
    hold,
    one_call,
    opening,
    settle,
    traffic,
)
from proofrig.errors import UsageError

NOTHING: dict[str, int] = {}


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ("acme", ("acme",)),
        ("acme/wf/bot/r1", ("acme", "acme/wf", "acme/wf/bot", "acme/wf/bot/r1")),
        ("acme//bot/r1", ("acme", "acme//bot", "acme//bot/r1")),
        ("acme///r1", ("acme", "acme///r1")),
        ("a/b/c/d/e", ("a", "a/b", "a/b/c", "a/b/c/d", "a/b/c/d/e")),
    ],
)
def test_a_path_lies_in_every_named_level_above_it(scope: str, path: tuple[str, ...]) -> None:
    assert ancestors(scope) == path


@pytest.mark.parametrize("scope", ["", "/", "acme/", "/wf/bot", "acme//"])
def test_a_path_begins_and_ends_with_a_name(scope: str) -> None:
    with pytest.raises(UsageError, match="begins and ends with a name"):
        ancestors(scope)


@pytest.mark.parametrize(
    ("balance", "remaining", "debt"),
    [
        (Balance(100, 30, 20), 50, 0),
        (Balance(100, 30, 120), -50, 20),
        (Balance(100, 0, 100), 0, 0),
        (Balance(None, 30, 20), None, 0),
    ],
)
def test_remaining_and_debt_follow_from_the_three_figures(
    balance: Balance, remaining: int | None, debt: int
) -> None:
    assert (balance.remaining, balance.debt) == (remaining, debt)


def test_one_call_is_counted_in_all_and_by_kind() -> None:
    assert one_call("llm", {"tokens": 9}) == {"calls": 1, "calls:llm": 1, "tokens": 9}


@pytest.mark.parametrize(
    ("ns", "size", "booked"),
    [
        (0, 0, {"ms": 0, "bytes": 0}),
        (1, 7, {"ms": 1, "bytes": 7}),
        (1_000_000, 7, {"ms": 1, "bytes": 7}),
        (1_000_001, 7, {"ms": 2, "bytes": 7}),
    ],
)
def test_time_is_booked_in_milliseconds_rounded_up(
    ns: int, size: int, booked: dict[str, int]
) -> None:
    assert traffic(ns, size) == booked


@pytest.mark.parametrize(("sent", "held"), [(0, 1), (1, 1), (9, 9)])
def test_a_call_opens_with_the_least_of_time_and_bytes(sent: int, held: int) -> None:
    assert opening(sent) == {"ms": 1, "bytes": held}


def test_a_hold_is_taken_everywhere_or_nowhere() -> None:
    books = Books()
    books.allocate("a", {"tokens": 100, "calls": 1})
    lane = books.lane("a/b", {"tokens": 0, "calls": 0})
    assert hold(lane, {"tokens": 60, "calls": 1})
    assert not hold(lane, {"tokens": 40, "calls": 1})  # tokens fit, calls do not
    assert not hold(lane, {"calls": 0, "tokens": 41})
    for scope, allocated in (("a", 100), ("a/b", None)):
        assert books.balances(scope, NOTHING)["tokens"] == Balance(allocated, 0, 60)


def test_a_charge_takes_the_place_of_its_hold_even_above_the_limit() -> None:
    books = Books()
    books.allocate("a", {"tokens": 100})
    lane = books.lane("a/b", {"tokens": 0, "ms": 0})
    assert hold(lane, {"tokens": 100})
    settle(lane, {"tokens": 100}, {"tokens": 130, "ms": 7})
    assert books.balances("a", NOTHING) == {
        "tokens": Balance(100, 0, 130),
        "ms": Balance(None, 0, 7),
    }
    assert not hold(lane, {"tokens": 0})  # a scope in debt admits nothing in that unit


def test_a_refusal_names_the_outermost_scope_and_what_remains_there() -> None:
    books = Books()
    books.allocate("a", {"tokens": 100, "calls": 5})
    books.allocate("a/b", {"tokens": 10})
    asked = {"tokens": 50}
    books.lane("a/b", asked)
    assert books.refusal("a/b", asked) == ("a/b", {"tokens": 10})
    assert books.refusal("a/b", {"tokens": 500}) == ("a", {"tokens": 100, "calls": 5})
    assert books.refusal("a/b", {"tokens": 10}) == ("", {})


@pytest.mark.parametrize("amount", [-1, 1.0, True, MAX_AMOUNT + 1, "1", None])
def test_an_amount_is_a_whole_number_within_bounds(amount: object) -> None:
    with pytest.raises(UsageError, match="expected integers"):
        Books().lane("a", {"tokens": amount})  # type: ignore[dict-item]


@pytest.mark.parametrize("unit", ["usd", "call", "calls:", "calls:a b", "Tokens", ""])
def test_a_unit_is_one_of_the_known(unit: str) -> None:
    with pytest.raises(UsageError, match="expected the units"):
        Books().lane("a", {unit: 1})
