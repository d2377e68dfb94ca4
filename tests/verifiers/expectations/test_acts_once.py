"""Calls in, whether something was done twice out."""

from __future__ import annotations

import pytest

from proofrig.verifiers.expectations.acts_once import acts_once
from struck_trials import StruckTrial

ORDER = {"order": 7}


def after_a_hidden_refund(**commit: object) -> StruckTrial:
    trial = StruckTrial()
    trial.tool("refund", ORDER, fault="reset", **commit)
    return trial


def test_a_call_whose_answer_was_hidden_was_carried_out_all_the_same() -> None:
    trial = after_a_hidden_refund(undelivered=True)
    trial.tool("refund", ORDER)
    found = acts_once(["tool.refund"], trial.hits())
    assert found.passed is False
    assert 'tool.refund({"order":7}) was carried out 2 times' in found.got


@pytest.mark.parametrize("glob", ["refund", "tool.refund", "tool.*", "re*"])
def test_a_call_that_never_reached_the_tool_does_not_count(glob: str) -> None:
    trial = after_a_hidden_refund(outcome="fail", executed=False)
    trial.tool("refund", ORDER)
    assert acts_once([glob], trial.hits()).passed is True


def test_other_tools_other_arguments_and_errors_are_no_duplicates() -> None:
    trial = after_a_hidden_refund(undelivered=True)
    trial.tool("refund", {"order": 8})
    trial.tool("refund", ORDER, is_error=True)
    trial.tool("search", {})
    trial.tool("search", {})
    assert acts_once(["tool.refund"], trial.hits()).passed is True


@pytest.mark.parametrize(("key", "passed"), [("one", True), ("two", False)])
def test_calls_with_one_idempotency_key_are_one(key: str, passed: bool) -> None:
    trial = StruckTrial()
    trial.tool("refund", ORDER | {"idempotency_key": "one"}, fault="reset", undelivered=True)
    trial.tool("refund", ORDER | {"idempotency_key": key})
    assert acts_once(["refund"], trial.hits()).passed is passed


def test_where_nobody_knows_it_is_not_measured() -> None:
    trial = after_a_hidden_refund(outcome="unknown")
    trial.tool("refund", ORDER)
    found = acts_once(["refund"], trial.hits())
    assert found.passed is None
    assert "may have been carried out more than once" in found.message


def test_a_tool_that_was_called_twice_for_one_call_acted_twice() -> None:
    assert acts_once(["refund"], after_a_hidden_refund(executed=2).hits()).passed is False
