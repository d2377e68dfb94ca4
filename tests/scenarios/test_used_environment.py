"""Used environment: clean trials on instances of their own, then all on the same ones."""

from __future__ import annotations

from proofrig.scenarios.used_environment import UsedEnvironment
from scenario_facts import facts, parts, shape


def test_each_case_is_run_clean_and_used() -> None:
    phases = UsedEnvironment(repeats=1, rounds=2).phases(facts())
    assert shape(phases) == [("clean", 3, 1, None), ("used", 6, 1, None)]
    assert [phase.fresh for phase in phases] == [True, False]
    assert [parts(phase) for phase in phases] == [{"clean": 3}, {"used": 6}]
    assert [start.case for start in phases[1].starts] == ["pay", "ship", "shop/list"] * 2
