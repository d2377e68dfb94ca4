"""What a suite says of the authority, and the policy that its budgets become part of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from proofrig.anomalies.settings import Settings, Steps
from proofrig.authority.rules import PolicySettings
from proofrig.errors import SuiteError
from proofrig.suites.authority import AuthoritySettings, lower, policy_of
from proofrig.suites.budgets import Budget, Budgets


def limits(policy: PolicySettings | None) -> dict[str, dict[str, int]]:
    assert policy is not None
    return {scope: budget.amounts() for scope, budget in policy.limits.items()}


def test_without_rules_and_budgets_there_is_no_policy(tmp_path: Path) -> None:
    assert policy_of(None, Budgets(), ["a"], tmp_path) is None
    bare = PolicySettings()
    assert policy_of(bare, Budgets(), ["a"], tmp_path) is bare


def test_budgets_are_limits_of_the_policy(tmp_path: Path) -> None:
    budgets = Budgets.model_validate(
        {"run": {"usd": 0.5, "calls:llm": 3}, "tenant": {"tokens": 9}, "suite": {"calls": 100}}
    )
    policy = policy_of(None, budgets, ["a", "b"], tmp_path)
    assert limits(policy) == {
        "*/*/*/*": {"usd_micro": 500_000, "calls:llm": 3},
        "a": {"tokens": 9},
        "b": {"tokens": 9},
        "@suite": {"calls": 100},
    }
    assert policy is not None and policy.scopes == {"@suite": ("*",)}


def test_where_both_limit_a_scope_the_lower_amount_counts(tmp_path: Path) -> None:
    written = PolicySettings.model_validate(
        {"limits": {"a": {"usd": 5, "calls": 3}, "@mine": {"calls/minute": 2}}}
    )
    budgets = Budgets.model_validate({"tenant": {"usd": 2, "tokens": 7}})
    assert limits(policy_of(written, budgets, ["a"], tmp_path)) == {
        "a": {"usd_micro": 2_000_000, "calls": 3, "tokens": 7},
        "@mine": {"calls/minute": 2},
    }


@pytest.mark.parametrize("pattern", ["@suite", "@*"])
def test_a_policy_may_limit_the_suite_by_itself(tmp_path: Path, pattern: str) -> None:
    """Every action is booked there: a limit of the policy's own is no limit on nothing."""
    written = PolicySettings.model_validate({"limits": {pattern: {"calls": 1}}})
    policy = policy_of(written, Budgets(), ["acme"], tmp_path)
    assert policy is not None and policy.scopes == {"@suite": ("*",)}


def test_the_lower_of_two_budgets() -> None:
    one = Budget.model_validate({"usd": 1, "calls:llm": 5})
    other = Budget.model_validate({"usd": 2, "calls:llm": 4, "calls/hour": 6})
    assert lower(one, other).amounts() == {"usd_micro": 1_000_000, "calls:llm": 4, "calls/hour": 6}


def test_a_file_is_read_from_the_suites_folder(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("limits: {acme: {calls: 1}}")
    assert limits(policy_of("policy.yaml", Budgets(), [], tmp_path)) == {"acme": {"calls": 1}}
    with pytest.raises(SuiteError, match=r"gone\.yaml"):
        policy_of("gone.yaml", Budgets(), [], tmp_path)


@pytest.mark.parametrize(
    ("watch", "thresholds"),
    [
        (False, None),
        (True, Settings()),
        ({}, Settings()),
        ({"repeat": [2, 3, 4], "first": 2}, Settings(repeat=Steps(2, 3, 4), first=2)),
        ({"may_repeat": ["tool.scroll"]}, Settings(may_repeat=("tool.scroll",))),
    ],
)
def test_the_watch_is_as_preset_where_nothing_is_said(
    watch: Any, thresholds: Settings | None
) -> None:
    assert AuthoritySettings.model_validate({"watch": watch}).thresholds() == thresholds


def test_the_counts_of_the_watch_rise() -> None:
    with pytest.raises(ValidationError, match="warn, deny, stop; got \\[3, 2, 4\\]"):
        AuthoritySettings.model_validate({"watch": {"repeat": [3, 2, 4]}})
