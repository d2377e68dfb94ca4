"""Loops in a history; what a loop is, is told in tests/anomalies/test_loops.py."""

from __future__ import annotations

from proofrig.checkers.checker import Checked, Setting
from proofrig.checkers.runaway_loop import RunawayLoop
from proofrig.history.history import pair
from specimens.plain_runs import RIGHT, Trial, judged, mixed


def check(*trials: Trial) -> Checked:
    return judged(trials)["runaway_loop"]


def again(trial: Trial, times: int, *, turns: bool = True) -> list[str]:
    ids = []
    for _ in range(times):
        if turns:
            trial.model()
        ids.append(trial.tool("search", "q", "a page"))
    return ids


def test_a_loop_is_one_finding_with_its_last_calls() -> None:
    trial = Trial(1)
    ids = again(trial, 30)
    mixed(trial, 3)
    found = check(trial)
    assert (found.verdict, found.kinds) == ("invalid", {"repeat": 1})
    [finding] = found.findings
    assert finding.says == (
        "case:0 called tool.search 30 times in a row with one and the same result"
    )
    assert [one.id for one in finding.witness] == ids[-8:]
    assert found.measures == {"loops": 1.0, "loop_longest": 30.0}


def test_what_would_only_be_warned_of_or_denied_is_counted() -> None:
    warned, denied = Trial(1, 0), Trial(1, 1)
    again(warned, 4)
    again(denied, 7)
    found = check(warned, denied)
    assert (found.verdict, found.exposure["warned"], found.exposure["denied"]) == ("valid", 2, 1)
    assert found.measures["loop_longest"] == 7.0


def test_two_loops_of_a_trial_are_two_and_a_third_trial_is_its_own() -> None:
    one, other = Trial(1, 0), Trial(1, 1)
    again(one, 10)
    mixed(one, 2)
    again(one, 12)
    again(other, 9)
    found = check(one, other)
    assert found.kinds == {"repeat": 3}
    assert sorted(finding.says.split(" times")[0][-2:].strip() for finding in found.findings) == [
        *("10", "12", "9")
    ]


def test_two_trials_that_ask_the_same_are_no_loop() -> None:
    trials = [Trial(1, number) for number in range(12)]
    for trial in trials:
        again(trial, 2)
    assert check(*trials).verdict == "valid"


def test_a_loop_of_a_child_scope_is_found_while_its_parent_works() -> None:
    trial = Trial(1)
    for step in range(9):
        trial.model(scope=f"{trial.scope}/child")
        trial.tool("search", "q", "a page", scope=f"{trial.scope}/child")
        trial.tool("note", step, f"{step}")
    found = check(trial)
    assert found.kinds == {"repeat": 1}


def test_calls_asked_for_in_one_turn_are_one() -> None:
    trial = Trial(1)
    for _ in range(4):
        asked_by = trial.model()
        for _ in range(5):
            trial.tool("roll", "d6", "4", asked_by=asked_by)
    found = check(trial)
    assert (found.verdict, found.measures["loop_longest"]) == ("valid", 4.0)


def test_a_loop_that_the_trial_ends_in_is_found() -> None:
    trial = Trial(1)
    again(trial, 10)
    trial.end()
    assert check(trial).kinds == {"repeat": 1}


def test_without_calls_nothing_can_be_said() -> None:
    trial = Trial(1)
    trial.end()
    assert check(trial).verdict == "unknown"


def test_a_scenario_can_set_its_own_thresholds() -> None:
    trial = Trial(1)
    again(trial, 5)
    params = {"anomalies": {"repeat": {"warn": 2, "deny": 3, "stop": 5}}}
    checker = RunawayLoop(Setting(params=params))
    for action in pair(trial.entries):
        checker.action(action)
    assert checker.result().kinds == {"repeat": 1}


def test_what_is_kept_of_a_trial_goes_when_it_ends() -> None:
    checker = RunawayLoop(Setting())
    for number in range(20):
        trial = Trial(1, number)
        RIGHT["mixed"](trial)
        trial.end()
        for action in pair(trial.entries):
            checker.action(action)
        checker.note(trial.entries[-1])
    assert not checker._runs
    assert checker.result().exposure["runs"] == 20
