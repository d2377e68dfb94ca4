"""Used environment: clean trials in boxes of their own, then all in the same one."""

from __future__ import annotations

from proofrig.scenarios.used_environment import UsedEnvironment
from scenario_facts import facts, parts, shape

CASES = ["pay", "ship", "shop/list"]


def test_each_case_is_run_clean_and_used() -> None:
    phases = UsedEnvironment(repeats=1, rounds=2).phases(facts())
    assert shape(phases) == [("clean", 3, 1, None), ("used", 9, 1, None)]
    assert [(phase.fresh, phase.boxes) for phase in phases] == [(True, "fresh"), (False, "reused")]
    assert [parts(phase) for phase in phases] == [{"clean": 3}, {"fill": 3, "used": 6}]


def test_every_case_was_there_before_it_counts() -> None:
    used = UsedEnvironment(rounds=2).phases(facts())[1].starts
    assert [start.role for start in used] == ["helper"] * 3 + ["subject"] * 6
    rounds = [[start.case for start in used[at : at + 3]] for at in (0, 3, 6)]
    assert [sorted(cases) for cases in rounds] == [CASES] * 3


def test_the_order_is_drawn_and_the_same_for_the_same_seed() -> None:
    def orders(seed: int) -> list[str]:
        phases = UsedEnvironment(rounds=5).phases(facts(seed=seed))
        return [start.case for phase in phases for start in phase.starts]

    assert orders(1) == orders(1)
    assert len({tuple(orders(seed)) for seed in range(5)}) > 1


def test_no_two_trials_are_the_same() -> None:
    phases = UsedEnvironment().phases(facts())
    trials = [start.trial for phase in phases for start in phase.starts]
    assert len(set(trials)) == len(trials)
