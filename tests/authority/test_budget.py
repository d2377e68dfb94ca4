"""Budget vectors, scopes as paths, and the accounts they are booked on."""

from __future__ import annotations

import pytest

from proofrig.authority.budget import Balance, ancestors, one_call, opening, run_of, traffic
from proofrig.errors import UsageError


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


@pytest.mark.parametrize(
    ("scope", "run"),
    [
        ("acme/w/b/r", "acme/w/b/r"),
        ("acme/w/b/r/child/deeper", "acme/w/b/r"),
        ("acme/w", "acme/w"),
        ("acme//b/r/c", "acme//b/r"),
        ("acme/w/b//c", "acme/w/b"),
        ("acme////c", "acme"),
    ],
)
def test_a_child_scope_belongs_to_its_run(scope: str, run: str) -> None:
    assert run_of(scope) == run


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
