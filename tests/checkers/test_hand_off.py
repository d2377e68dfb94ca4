"""Work that is handed to child scopes, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proofrig.checkers.checker import Checked
from specimens.plain_runs import Trial, judged


def check(*trials: Trial) -> Checked:
    return judged(trials)["hand_off"]


class Handing:
    """A trial with one child scope."""

    def __init__(self) -> None:
        self.trial = Trial(1)
        self.child = f"{self.trial.scope}/helper"

    def works(self, turns: int = 4) -> Callable[[], None]:
        return lambda: [self.trial.model(scope=self.child) for _ in range(turns)] and None

    def hands(self, turns: int = 4, *, named: bool = True, **how: object) -> str:
        child = self.child if named else ""
        during = self.works(turns) if turns else None
        return self.trial.tool(
            "delegate",
            "ask helper",
            "done",
            child=child,
            during=during,
            **how,  # type: ignore[arg-type]
        )


@pytest.mark.parametrize("named", [True, False])
def test_a_child_that_works_while_it_was_handed_the_work_is_right(named: bool) -> None:
    it = Handing()
    for _ in range(3):
        it.hands(named=named)
        it.trial.model()
    found = check(it.trial)
    assert (found.verdict, found.exposure["hand_offs"]) == ("valid", 3)


def test_a_child_that_never_acted_is_lost() -> None:
    it = Handing()
    it.hands()
    lost = it.trial.tool("delegate", "x", "done", child=f"{it.trial.scope}/nobody")
    found = check(it.trial)
    assert found.kinds == {"hand_off_lost": 1}
    assert [one.id for one in found.findings[0].witness] == [lost]
    assert "/nobody and ended ok, but that never did anything" in found.findings[0].says


def test_where_no_child_is_ever_seen_none_is_lost() -> None:
    """Nobody writes down what children do."""
    trial = Trial(1)
    for number in range(5):
        trial.tool("delegate", "x", "done", child=f"{trial.scope}/child{number}")
    assert check(trial).verdict == "valid"


def test_a_hand_off_that_failed_has_lost_nothing() -> None:
    it = Handing()
    it.hands()
    gone = f"{it.trial.scope}/nobody"
    it.trial.tool("delegate", "x", "no room", child=gone, outcome="fail")
    assert check(it.trial).verdict == "valid"


def test_a_child_whose_last_call_never_ended() -> None:
    it = Handing()

    def works() -> None:
        it.trial.model(scope=it.child)
        it.trial.entry("start", "tool.dig", it.child, "dug")

    hand_off = it.trial.tool("delegate", "x", "done", child=it.child, during=works)
    found = check(it.trial)
    assert found.kinds == {"child_never_ended": 1}
    assert {one.id for one in found.findings[0].witness} == {"dug", hand_off}


@pytest.mark.parametrize("named", [True, False])
def test_a_child_that_acts_after_it_was_over_ran_on(named: bool) -> None:
    it = Handing()
    hand_off = it.hands(named=named)
    it.trial.wait(1)
    on = it.trial.model(scope=it.child)
    it.trial.model(scope=it.child)
    found = check(it.trial)
    assert found.kinds == {"child_ran_on": 1}
    assert [one.id for one in found.findings[0].witness] == [hand_off, on]


def test_a_hand_off_that_only_starts_its_child_is_over_before_that() -> None:
    it = Handing()
    it.hands(1)
    it.trial.wait(1)
    it.works(6)()
    assert check(it.trial).verdict == "valid"


def test_a_child_that_acts_after_its_trial_ran_on() -> None:
    it = Handing()
    it.hands()
    it.trial.end()
    it.trial.wait(1)
    late = it.trial.tool("search", "x", "y", scope=it.child)
    found = check(it.trial)
    assert found.kinds == {"child_ran_on": 1}
    assert [one.id for one in found.findings[0].witness] == [late]


def test_a_child_may_use_what_it_was_handed_with_its_own_children() -> None:
    def found(usd_micro: int) -> Checked:
        it = Handing()

        def works() -> None:
            for scope in (it.child, f"{it.child}/deeper"):
                it.trial.model(scope=scope, actual={"usd_micro": 500, "tokens": 100})

        handed = {"usd_micro": usd_micro, "calls": 9}
        it.trial.tool("delegate", "x", "y", child=it.child, during=works, handed=handed)
        return check(it.trial)

    assert found(1000).verdict == "valid"
    over = found(999)
    assert over.kinds == {"hand_off_overspent": 1}
    assert over.findings[0].says.endswith(
        "/helper used more than it was handed: 1,000 usd_micro of 999"
    )


def test_a_child_that_was_cut_off_at_its_second_work_did_not_run_on() -> None:
    """The run was killed while the second hand-off went on."""
    it = Handing()
    it.hands(named=False)
    arguments = it.trial.keep("ask helper")
    it.trial.entry("start", "tool.delegate", "", "cut", arguments=arguments)
    it.trial.wait(1)
    it.works(2)()
    assert check(it.trial).verdict == "valid"


def test_without_hand_offs_nothing_can_be_said() -> None:
    it = Handing()
    it.works()()
    assert check(it.trial).verdict == "unknown"
