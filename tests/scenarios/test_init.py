"""Which scenarios are run, in which order, and with whose parameters."""

from __future__ import annotations

import pytest

from proofrig.checkers import MODULES
from proofrig.errors import UsageError
from proofrig.scenarios import NAMES, Scenarios, chosen_scenarios
from scenario_facts import facts, starts

DECLARED = Scenarios.model_validate({"ramp": {"agents": 4}, "burst": {"agents": 6}})


def chosen(*names: str, **more: object) -> list[tuple[str, int]]:
    found = chosen_scenarios(DECLARED, names, **more)  # type: ignore[arg-type]
    return [(scenario.name, scenario.agents) for scenario in found]


def test_the_sequential_one_comes_first_as_the_baseline_of_the_others() -> None:
    assert [name for name, _ in chosen("ramp", "burst")] == ["sequential", "burst", "ramp"]
    assert chosen("ramp", "burst", alone=False) == [("burst", 6), ("ramp", 4)]
    assert chosen("ramp", "ramp", alone=False) == [("ramp", 4)]
    assert chosen() == []


def test_all_means_those_that_the_suite_declares() -> None:
    assert DECLARED.declared() == ["burst", "ramp"]
    assert chosen("all", alone=False) == [("burst", 6), ("ramp", 4)]
    with pytest.raises(UsageError, match="expected the suite to declare scenarios, it has none"):
        chosen_scenarios(Scenarios(), ["all"])


def test_agents_are_asked_for_everywhere_but_one_after_another() -> None:
    [sequential, burst] = chosen_scenarios(DECLARED, ["burst"], agents=9)
    assert (sequential.params(), burst.agents) == (Scenarios().of("sequential").params(), 9)


@pytest.mark.parametrize(
    ("name", "said"),
    [("brust", "no scenario 'brust'; did you mean 'burst'"), ("zzz", "there are: sequential,")],
)
def test_a_name_that_is_none_is_refused(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        chosen_scenarios(Scenarios(), [name])


@pytest.mark.parametrize("name", NAMES)
def test_every_scenario_makes_the_same_of_the_same_and_numbers_each_trial_once(name: str) -> None:
    scenario = Scenarios().of(name)
    phases = scenario.phases(facts())
    assert phases == scenario.phases(facts())
    found = starts(phases)
    assert len({start.trial for start in found}) == len(found) > 0
    assert {start.scenario for start in found} == {name}
    assert all(start.trial.startswith(f"{start.case}@{name}:") for start in found)
    assert [s.seed for s in found] != [s.seed for s in starts(scenario.phases(facts(seed=8)))]
    for phase in phases:
        released = [start.at_ns for start in phase.starts]
        assert phase.workers or released == sorted(released)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_scenario_is_about_is_a_checker(name: str) -> None:
    assert set(Scenarios().of(name).needs) <= set(MODULES)
