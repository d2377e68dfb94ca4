"""Orders of locks: histories in, hazards out."""

from __future__ import annotations

from itertools import count

import pytest

from checkers.shared_things import check, give, note, take
from proofrig.checkers.lock_order import LockOrder
from proofrig.history.action import Entry


def taken(*orders: tuple[str, str]) -> list[list[Entry]]:
    """Trials one after another, each with the locks it takes, and gives back in the end."""
    found, t = [], count()
    for trial, keys in orders:
        for key in keys:
            found.append(take(trial, next(t), next(t), key, id=f"{trial}{key}"))
        for key in reversed(keys):
            found.append(give(trial, next(t), next(t), key))
    return found


def test_two_orders_can_deadlock_though_they_did_not() -> None:
    checked = check(LockOrder, *taken(("t", "ab"), ("u", "ba")))
    assert (checked.verdict, checked.found) == ("unknown", 1)
    [finding] = checked.findings
    assert finding.kind == "lock_order_hazard"
    assert [one.id for one in finding.witness] == ["ta", "tb", "ub", "ua"]


def test_a_ring() -> None:
    checked = check(LockOrder, *taken(("t", "ab"), ("u", "bc"), ("v", "ca")))
    assert checked.findings[0].trials == ("t", "u", "v")


def test_who_was_refused_asked_all_the_same() -> None:
    told = [*taken(("t", "ab")), take("u", 20, 21, "b"), take("u", 22, 23, "a", outcome="fail")]
    assert check(LockOrder, *told).found == 1


@pytest.mark.parametrize(
    "orders",
    [
        [("t", "ab"), ("u", "ab")],
        [("t", "gab"), ("u", "gba")],
        [("t", "ab"), ("t", "ba")],
        [("t", "ab"), ("u", "bc"), ("v", "ac")],
        [("t", "ab"), ("u", "bc"), ("t", "ca")],
    ],
)
def test_no_hazard(orders: list[tuple[str, str]]) -> None:
    assert check(LockOrder, *taken(*orders)).verdict == "valid"


def test_what_was_given_back_or_ran_out_is_not_held() -> None:
    apart = taken(("t", "ab"), ("u", "b"), ("u", "a"))
    assert check(LockOrder, *apart).found == 0
    lost = note("lock_expired", 21.5, service="locks", key="b", holder="u")
    told = [*taken(("t", "ab")), take("u", 20, 21, "b"), lost, take("u", 22, 23, "a")]
    assert check(LockOrder, *told).found == 0


def test_one_lock_at_a_time_says_nothing() -> None:
    assert check(LockOrder, *taken(("t", "a"), ("u", "b"))).verdict == "unknown"
