"""Hidden answers and later calls in, effects that were had twice out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from builders import entry, kept
from proofrig.checkers.checker import Checked, Setting
from proofrig.checkers.duplicate_effects import DuplicateEffects
from struck_trials import StruckTrial

ORDER = {"order": 7}


def checked(
    trial: StruckTrial, changes: bool | None = True, hints: dict[str, Any] | None = None
) -> Checked:
    setting = Setting(payload=trial.payloads.get, changes=lambda name: changes)
    checker = DuplicateEffects(setting)
    if hints is not None:
        listed = json.dumps([{"name": "refund", "annotations": hints}, {"name": "x"}]).encode()
        digest = kept(trial.payloads, listed)
        checker.note(entry("note", "tools_offered", server="shop", tools=["refund"], list=digest))
    for action in trial.actions:
        checker.action(action)
    return checker.result()


def refunded_twice(**commit: Any) -> StruckTrial:
    trial = StruckTrial()
    trial.tool("refund", ORDER, fault="reset", **({"undelivered": True} | commit))
    trial.tool("refund", ORDER)
    return trial


def test_the_two_calls_are_the_witness() -> None:
    found = checked(refunded_twice())
    assert (found.verdict, found.kinds) == ("invalid", {"duplicate_effect": 1})
    shown = [(one.id, one.says) for one in found.findings[0].witness]
    assert shown == [("a0", "carried out; reset hid the answer"), ("a1", "carried out again")]
    assert found.measures == {"duplicate_effects": 1.0}


@pytest.mark.parametrize(
    ("changes", "hints", "verdict"),
    [
        (True, {"readOnlyHint": True}, "invalid"),
        (False, {"destructiveHint": True}, "unknown"),
        (None, {"destructiveHint": True}, "invalid"),
        (None, {"readOnlyHint": False}, "invalid"),
        (None, {"readOnlyHint": True}, "unknown"),
        (None, {"idempotentHint": True, "destructiveHint": True}, "unknown"),
        (None, {"title": "Refund"}, "unknown"),
        (None, None, "unknown"),
    ],
)
def test_only_tools_that_are_known_to_change_something_count(
    changes: bool | None, hints: dict[str, Any] | None, verdict: str
) -> None:
    assert checked(refunded_twice(), changes, hints).verdict == verdict


def test_of_undeclared_tools_it_says_what_to_declare() -> None:
    found = checked(refunded_twice(), None)
    assert found.exposure["undeclared"] == 1
    assert "name them under `risk` of the policy, or under `acts_once`" in found.says


def test_where_nobody_knows_whether_it_was_done_nothing_is_said() -> None:
    found = checked(refunded_twice(outcome="unknown", undelivered=False))
    assert (found.verdict, found.exposure["unsure"]) == ("unknown", 1)


def test_a_third_call_is_one_more_effect() -> None:
    trial = StruckTrial()
    for _ in range(2):
        trial.tool("refund", ORDER, fault="reset", undelivered=True)
    trial.tool("refund", ORDER)
    assert checked(trial).kinds == {"duplicate_effect": 2}


def test_an_error_of_the_second_call_is_no_effect() -> None:
    trial = StruckTrial()
    trial.tool("refund", ORDER, fault="reset", undelivered=True)
    trial.tool("refund", ORDER, is_error=True)
    found = checked(trial)
    assert (found.verdict, found.exposure["asked_again"]) == ("valid", 1)
