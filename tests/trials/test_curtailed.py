"""What was cut, and where a run was settled, come back from its notes as they were written."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from proofrig.history.action import Entry
from proofrig.scenarios.scenario import Start
from proofrig.suites import Planned
from proofrig.trials.allowance import Why
from proofrig.trials.curtailed import CUT, SETTLED, Curtailed, Cut, Settled, curtailed

BY_MONEY = Why("usd", "the money budget of 0.50 USD was reached")


def planned(*trials: str) -> list[Planned]:
    return [Planned(trial, trial.partition(":")[0], 1, "t", 0) for trial in trials]


def staged(trial: str, role: Any) -> Planned:
    start = Start(trial=trial, case="a", tenant="t", seed=0, scenario="burst", role=role)
    return Planned.of(start)


def note(name: str, attrs: dict[str, Any]) -> Entry:
    return Entry(0, 0, "note", name, attrs=attrs)


def test_a_cut_counts_the_agents_own_trials_and_names_all() -> None:
    plan = planned("a:null", "b:null", "a:1", "b:1", "a:2", "b:2")
    cut = Cut.of(BY_MONEY, [plan[1], *plan[4:]], plan)
    assert cut.says == "2 of 4 trials, the money budget of 0.50 USD was reached"
    assert cut.trials == ("b:null", "a:2", "b:2")


@pytest.mark.parametrize(
    ("scenarios", "named"),
    [(["burst"], " (scenario burst)"), (["burst", "ramp"], " (scenarios burst, ramp)")],
)
def test_a_cut_names_the_scenarios_that_did_not_come_to_their_end(
    scenarios: list[str], named: str
) -> None:
    left = [staged("a@burst:1", "helper"), staged("a@burst:2", "subject")]
    cut = Cut.of(BY_MONEY, left, left, scenarios)
    assert cut.says == f"1 of 1 trials{named}, {BY_MONEY.says}"


def test_both_come_back_from_the_history() -> None:
    plan = planned("a:1", "a:2", "a:3")
    first = Cut.of(BY_MONEY, plan[1:2], plan)
    second = Cut.of(Why("minutes", "late"), [staged("a@burst:1", "subject")], plan, ["burst"])
    settled = Settled(look=2, repeats=2, why="regressed")
    found = curtailed(
        [
            note(CUT, first.attrs()),
            note("anomaly", {"kind": "flood"}),
            note(CUT, second.attrs()),
            note(SETTLED, msgspec.to_builtins(settled)),
        ]
    )
    assert found == Curtailed((first, second), settled)
    assert found.trials == {"a:2", "a@burst:1"}
    assert found.scenarios == {"burst"}
    assert curtailed([]) == Curtailed()
