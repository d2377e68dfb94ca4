"""Turns that cost nothing, and calls that were too fast to have happened."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.checkers.checker import Checked
from specimens.plain_runs import Trial, judged, mixed


def check(trial: Trial) -> Checked:
    return judged([trial])["free_commit"]


NONE: dict[str, Any] = {"usage": {}, "actual": {"usd_micro": 0, "tokens": 0}}


def test_a_turn_without_tokens_is_free() -> None:
    trial = Trial(1)
    mixed(trial, 5)
    id = trial.model(**NONE)
    found = check(trial)
    assert (found.verdict, found.kinds) == ("invalid", {"free_commit": 1})
    asked, ended = found.findings[0].witness
    assert (asked.id, ended.id) == (id, id)
    assert (asked.says, ended.says) == ("held $0.009000", "ended ok and used no tokens")


@pytest.mark.parametrize(
    "how",
    [
        {"outcome": "fail", "status": 500},
        {"source": "estimated"},
        {"usage": {"input": 900, "cache_read": 900}},
    ],
)
def test_what_failed_was_estimated_or_cached_is_not_free(how: dict[str, Any]) -> None:
    trial = Trial(1)
    mixed(trial, 5)
    trial.model(**(NONE | how))
    assert check(trial).verdict == "valid"


def test_a_model_that_is_free_is_not_free_by_mistake() -> None:
    trial = Trial(1)
    for turn in range(100):
        free = {"usd_micro": 0, "tokens": 100} if turn % 10 == 0 else {}
        trial.model(**({"actual": free} if free else {}))
    assert check(trial).verdict == "valid", "one in ten is how it is"
    trial = Trial(1)
    for turn in range(100):
        trial.model(**({"actual": {"usd_micro": 0, "tokens": 100}} if turn == 50 else {}))
    assert check(trial).kinds == {"free_commit": 1}


def usual(trial: Trial, calls: int = 100, around: float = 0.2) -> None:
    for call in range(calls):
        takes = around * trial.random.lognormvariate(0, 0.4)
        trial.tool("pay", f"{call}", f"paid {call}", takes=takes)


def test_a_call_that_was_too_fast() -> None:
    trial = Trial(1)
    usual(trial)
    id = trial.tool("pay", "this one", "paid", takes=0.0003)
    found = check(trial)
    assert found.kinds == {"too_fast": 1}
    [finding] = found.findings
    assert {one.id for one in finding.witness} == {id}
    assert "came back after 0.300 ms" in finding.says


@pytest.mark.parametrize(
    ("takes", "how"),
    [
        (0.005, {}),  # fast, but not so fast
        (0.0003, {"outcome": "fail"}),
        (0.0003, {"is_error": True}),
    ],
)
def test_what_is_a_little_fast_or_failed_is_none(takes: float, how: dict[str, Any]) -> None:
    trial = Trial(1)
    usual(trial)
    trial.tool("pay", "this one", "paid", takes=takes, **how)
    assert check(trial).verdict == "valid"


def test_the_same_arguments_again_may_come_from_a_cache() -> None:
    trial = Trial(1)
    usual(trial)
    trial.tool("pay", "7", "paid 7", takes=0.0003)
    assert check(trial).verdict == "valid"


def test_what_is_often_fast_has_two_ways() -> None:
    trial = Trial(1)
    usual(trial)
    for call in range(5):
        trial.tool("pay", f"more {call}", "paid", takes=0.0003)
    assert check(trial).verdict == "valid"


@pytest.mark.parametrize(("calls", "around"), [(30, 0.2), (100, 0.01)])
def test_few_calls_or_quick_ones_have_no_too_fast(calls: int, around: float) -> None:
    trial = Trial(1)
    usual(trial, calls, around)
    trial.tool("pay", "this one", "paid", takes=0.00001)
    assert check(trial).kinds == {}


def test_a_short_answer_of_a_model_may_be_fast() -> None:
    def run(output: int) -> Checked:
        trial = Trial(1)
        mixed(trial, 80)
        trial.model(usage={"input": 20, "output": output}, takes=0.002)
        return check(trial)

    assert run(30).verdict == "valid"
    assert run(300).kinds == {"too_fast": 1}


def test_without_holds_and_with_few_calls_nothing_can_be_said() -> None:
    trial = Trial(1)
    trial.tool("pay", "7", "paid")
    assert check(trial).verdict == "unknown"
