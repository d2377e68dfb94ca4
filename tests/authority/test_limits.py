"""Budgets: human units become the authority's integers; scope patterns become amounts."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from proofrig.authority.limits import Budget, Limits, scope_problem


def amounts(**written: Any) -> dict[str, int]:
    return Budget.model_validate(written).amounts()


def test_units_become_integers_of_the_authority() -> None:
    written = {"usd": 0.1, "tokens": 5, "calls": 3, "calls:llm": 2, "seconds": 1.5, "bytes": 9}
    assert Budget.model_validate(written).amounts() == {
        "usd_micro": 100_000,
        "tokens": 5,
        "calls": 3,
        "calls:llm": 2,
        "ms": 1_500,
        "bytes": 9,
    }


def test_windows_and_children() -> None:
    written = {
        "usd/day": 10,
        "tokens/minute": 7,
        "calls:tool.x/hour": 2,
        "seconds/hour": 0.5,
        "calls/minute": 3,
        "bytes/day": 4,
        "children": 5,
    }
    assert Budget.model_validate(written).amounts() == {
        "usd_micro/day": 10_000_000,
        "tokens/minute": 7,
        "calls:tool.x/hour": 2,
        "ms/hour": 500,
        "calls/minute": 3,
        "bytes/day": 4,
        "children": 5,
    }


def test_what_is_not_written_is_not_limited() -> None:
    assert Budget().amounts() == {}
    assert amounts(usd=0) == {"usd_micro": 0}


@pytest.mark.parametrize(("usd", "micro"), [(0.29, 290_000), (1.000001, 1_000_001)])
def test_the_decimal_that_was_written_counts(usd: float, micro: int) -> None:
    assert amounts(usd=usd) == {"usd_micro": micro}
    assert amounts(**{"usd/day": usd}) == {"usd_micro/day": micro}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"usd": 0.0000001}, "at most a whole number of 1/1,000,000"),
        ({"seconds/hour": 0.0001}, "at most a whole number of 1/1,000"),
        ({"dollars": 1}, "got 'dollars'"),
        ({"calls:": 1}, "got 'calls:'"),
        ({"calls:llm": -1}, "calls:llm: expected a whole number"),
        ({"calls:llm": True}, "calls:llm: expected a whole number"),
        ({"calls:llm": 1.5}, "calls:llm: expected a whole number"),
        ({"calls:tool.*": 1}, "declare a scope for the names"),
        ({"tokens/week": 1}, "got 'tokens/week'"),
        ({"tokens/minute": "5"}, "tokens/minute: expected a whole number"),
        ({"usd/day": -1}, "usd/day: expected a number from 0"),
        ({"usd/day": float("nan")}, "usd/day: expected a number from 0"),
        ({"usd/day": True}, "usd/day: expected a number from 0"),
        ({"children/hour": 1}, "counts for good"),
        ({"usd": -1}, "greater than or equal to 0"),
        ({"tokens": "5"}, "valid integer"),
    ],
)
def test_what_is_no_budget_is_refused(written: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Budget.model_validate(written)


def test_whole_amounts_stay_whole() -> None:
    assert [type(n) for n in amounts(**{"calls:llm": 2, "usd/day": 1}).values()] == [int, int]


def limits(**written: dict[str, Any]) -> Limits:
    return Limits({scope: Budget.model_validate(budget) for scope, budget in written.items()})


LIMITS = limits(
    **{
        "acme": {"calls": 9},
        "*/*/*/*": {"calls": 5, "children": 2},
        "acme/*/bot*/*": {"calls": 7, "tokens": 3},
        "@writes": {"calls/minute": 1},
    }
)


@pytest.mark.parametrize(
    ("scope", "wanted"),
    [
        ("acme", {"calls": 9}),
        ("Acme", {}),
        ("acme/flow", {}),
        ("globex/f/a/r", {"calls": 5, "children": 2}),
        ("acme/f/bot/r", {"calls": 5, "children": 2, "tokens": 3}),  # the least of each unit
        ("acme//bot/r", {"calls": 5, "children": 2, "tokens": 3}),  # a level left empty
        ("acme/f/bot/r/child", {}),
        ("@writes", {"calls/minute": 1}),
        ("@other", {}),
    ],
)
def test_a_scope_has_what_its_patterns_say(scope: str, wanted: dict[str, int]) -> None:
    assert LIMITS.amounts_of(scope) == wanted
    assert LIMITS.amounts_of(scope) == wanted  # from memory


def test_a_star_takes_in_no_scope_that_begins_with_an_at() -> None:
    assert limits(**{"*": {"calls": 1}}).amounts_of("@writes") == {}


def test_endless_scopes_are_not_kept() -> None:
    for n in range(20_000):
        LIMITS.amounts_of(f"made/up/scope/{n}")
    assert len(LIMITS._found) <= 2 * LIMITS._found.size


def test_patterns_that_match_nothing() -> None:
    assert LIMITS.unused(["acme", "a/b/c/d", "@writes"]) == ("acme/*/bot*/*",)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("", "begins and ends with a name"),
        ("acme/", "begins and ends with a name"),
        ("/acme", "begins and ends with a name"),
        ("acme/**", "one glob for each level"),
        ("acme/{a,b}", "one glob per alternative"),
        ("@a/b", "a name without levels"),
        ("@", "empty text"),
        ("acme//bot", ""),
    ],
)
def test_scope_patterns_are_checked(pattern: str, said: str) -> None:
    assert said in scope_problem(pattern)
    assert bool(said) is bool(scope_problem(pattern))
