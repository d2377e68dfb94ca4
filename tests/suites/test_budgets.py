"""Budgets and prices of a suite; what one budget may say is shown with `authority.limits`."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from proofrig.suites.budgets import Budgets, Prices


def test_what_is_not_written_is_not_limited() -> None:
    budgets = Budgets()
    assert [one.amounts() for one in (budgets.run, budgets.tenant, budgets.suite)] == [{}, {}, {}]


def test_each_has_its_own_limits() -> None:
    budgets = Budgets.model_validate(
        {"run": {"usd": 0.1, "children": 2}, "tenant": {"tokens/minute": 5}, "suite": {"calls": 9}}
    )
    assert budgets.run.amounts() == {"usd_micro": 100_000, "children": 2}
    assert budgets.tenant.amounts() == {"tokens/minute": 5}
    assert budgets.suite.amounts() == {"calls": 9}


def test_what_is_no_budget_is_refused() -> None:
    with pytest.raises(ValidationError, match="got 'dollars'"):
        Budgets.model_validate({"run": {"dollars": 1}})


def test_a_price_says_where_it_comes_from() -> None:
    with pytest.raises(ValidationError, match="source"):
        Prices.model_validate({"prices": {"m": {"input": 1, "output": 2, "as_of": "2026-01-01"}}})
