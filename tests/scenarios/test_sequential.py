"""One after another: each case, as often as was asked, one at a time."""

from __future__ import annotations

from proofrig.scenarios.sequential import Sequential
from scenario_facts import facts, shape, starts


def test_cases_follow_one_another() -> None:
    phases = Sequential(repeats=2).phases(facts())
    assert shape(phases) == [("alone", 6, 1, None)]
    assert [start.case for start in starts(phases)] == ["pay", "ship", "shop/list"] * 2
    assert {(start.at_ns, start.role, start.kill) for start in starts(phases)} == {
        (0, "subject", None)
    }


def test_only_the_cases_that_are_named() -> None:
    assert [start.case for start in starts(Sequential(cases=("sh*",)).phases(facts()))] == [
        "ship",
        "shop/list",
    ]
