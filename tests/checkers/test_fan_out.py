"""Child scopes, and how many of them a parent opens."""

from __future__ import annotations

import pytest

from proofrig.checkers.checker import Checked
from specimens.plain_runs import Trial, judged


def check(*trials: Trial) -> Checked:
    return judged(trials)["fan_out"]


def opened(number: int, children: int) -> Trial:
    trial = Trial(1, number)
    trial.model()
    for child in range(children):
        for _ in range(2):
            trial.model(scope=f"{trial.scope}/child{child}")
    return trial


def test_one_that_opens_far_more_than_the_others_is_an_explosion() -> None:
    trials = [opened(number, 3) for number in range(5)] + [opened(9, 40)]
    found = check(*trials)
    assert (found.verdict, found.kinds) == ("invalid", {"fan_out_explosion": 1})
    [finding] = found.findings
    assert "(case:9) opened 40 child scopes, where 6 parents opened 3" in finding.says
    assert finding.trials == ("case:9",)
    assert [one.says.partition(", ")[2] for one in finding.witness] == [
        *(f"child {n}" for n in range(1, 6)),
        "child 40",
    ]
    assert found.exposure == {"parents": 6, "children": 55, "scopes": 61}
    assert found.measures == {"fan_out_max": 40.0}


@pytest.mark.parametrize(
    "children",
    [
        [40, 41, 44, 40, 39],  # they all do
        [1, 1, 1, 1, 20],  # far more, and yet few
        [8, 9, 8, 9, 40],  # many, and yet not far more
        [2, 500],  # nobody knows what is usual
    ],
)
def test_what_all_do_or_few_or_nobody_can_compare_is_none(children: list[int]) -> None:
    trials = [opened(number, count) for number, count in enumerate(children)]
    assert check(*trials).verdict == "valid"


def test_more_than_a_thousand_are_too_many_for_any() -> None:
    assert check(opened(0, 1001)).kinds == {"fan_out_explosion": 1}


def nested(number: int, depth: int) -> Trial:
    trial = Trial(1, number)
    for level in range(depth):
        trial.model(scope=trial.scope + "/child" * (level + 1))
    return trial


def test_a_chain_without_end_is_found() -> None:
    found = check(*(nested(number, 2) for number in range(4)), nested(9, 9))
    assert found.kinds == {"deep_nesting": 1}
    assert "nested child scopes 9 levels deep" in found.findings[0].says
    assert check(*(nested(number, 9) for number in range(5))).verdict == "valid"
    assert check(nested(0, 7)).verdict == "valid"


def test_without_child_scopes_nothing_can_be_said() -> None:
    assert check(opened(0, 0)).verdict == "unknown"
