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


@pytest.mark.parametrize(
    ("own", "usd", "least"), [({}, 0.5, 0.5), ({"usd": 2.0}, 0.5, 0.5), ({"usd": 0.1}, 0.5, 0.1)]
)
def test_a_run_may_spend_the_lower_of_two_amounts(
    own: dict[str, float], usd: float, least: float
) -> None:
    budgets = Budgets.model_validate({"suite": own | {"calls": 9}, "run": {"usd": 1.0}})
    within = budgets.within(usd)
    assert (within.suite.usd, within.suite.calls, within.run.usd) == (least, 9, 1.0)
    assert budgets.within(None) == budgets


def test_what_is_no_budget_is_refused() -> None:
    with pytest.raises(ValidationError, match="got 'dollars'"):
        Budgets.model_validate({"run": {"dollars": 1}})


def test_a_price_says_where_it_comes_from() -> None:
    with pytest.raises(ValidationError, match="source"):
        Prices.model_validate({"prices": {"m": {"input": 1, "output": 2, "as_of": "2026-01-01"}}})
