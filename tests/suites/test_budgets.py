"""Budgets: human units become the authority's integers, exactly or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from proofrig.suites.budgets import Budget, Budgets, Prices


def test_units_become_integers_of_the_authority() -> None:
    written = {"usd": 0.1, "tokens": 5, "calls": 3, "calls:llm": 2, "seconds": 1.5, "bytes": 9}
    amounts = Budget.model_validate(written).amounts()
    assert amounts == {
        "usd_micro": 100_000,
        "tokens": 5,
        "calls": 3,
        "calls:llm": 2,
        "ms": 1_500,
        "bytes": 9,
    }


def test_what_is_not_written_is_not_limited() -> None:
    assert Budgets().run.amounts() == {}
    assert Budget(usd=0).amounts() == {"usd_micro": 0}


def test_the_decimal_that_was_written_counts() -> None:
    assert Budget(usd=0.29).amounts() == {"usd_micro": 290_000}
    assert Budget(usd=1.000001).amounts() == {"usd_micro": 1_000_001}
    with pytest.raises(ValidationError, match="at most a whole number of 1/1,000,000"):
        Budget(usd=0.0000001)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"dollars": 1}, "got 'dollars'"),
        ({"calls:": 1}, "got 'calls:'"),
        ({"calls:llm": -1}, "calls:llm: expected a whole number"),
        ({"calls:llm": True}, "calls:llm: expected a whole number"),
        ({"usd": -1}, "greater than or equal to 0"),
        ({"tokens": "5"}, "valid integer"),
    ],
)
def test_what_is_no_budget_is_refused(written: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Budget.model_validate(written)


def test_a_price_says_where_it_comes_from() -> None:
    with pytest.raises(ValidationError, match="source"):
        Prices.model_validate({"prices": {"m": {"input": 1, "output": 2, "as_of": "2026-01-01"}}})
