"""The shares of tenants, the turns of cases, and which cases a scenario means."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from pydantic import ValidationError

from proofrig.errors import UsageError
from proofrig.scenarios.launch import co_launch
from proofrig.scenarios.scenario import Casting, FactsOfCase, Scenario, draw, tenant_mix
from scenario_facts import CASES, TENANTS, facts, shares


class Any(Scenario):
    name = "any"


@pytest.mark.parametrize("cycles", [1, 2, 7])
@pytest.mark.parametrize("cases", [CASES, CASES[:2], CASES[:1]])
def test_over_whole_cycles_every_tenant_has_exactly_its_weight(
    cycles: int, cases: tuple[FactsOfCase, ...]
) -> None:
    casting = Casting("any", facts(cases=cases))
    found = casting.starts(cases, co_launch(cycles * 5))
    assert shares(list(found)) == {name: weight * cycles for name, weight in TENANTS.items()}


def test_a_few_agents_are_a_mix_already() -> None:
    assert set(tenant_mix(TENANTS, 1)[:3]) == set(TENANTS)
    assert Counter(tenant_mix(TENANTS, 1)) == TENANTS
    assert len({tuple(tenant_mix(TENANTS, seed)) for seed in range(20)}) > 1
    assert tenant_mix(TENANTS, 1) == tenant_mix(TENANTS, 1)


@pytest.mark.parametrize("tenants", [2, 3, 4, 6])
def test_every_tenant_meets_every_case(tenants: int) -> None:
    """Also where their numbers have a common factor: else no two tenants share a case."""
    names = {f"t{n}": 1 for n in range(tenants)}
    cases = tuple(FactsOfCase(f"c{n}") for n in range(4))
    met = defaultdict(set)
    for start in Casting("any", facts(cases=cases, tenants=names)).starts(cases, co_launch(48)):
        met[start.case].add(start.tenant)
    assert dict(met) == {case.id: set(names) for case in cases}


def test_trials_are_numbered_on_and_cases_take_turns() -> None:
    casting = Casting("any", facts())
    first, second = casting.starts(CASES, (0, 5)), casting.starts(CASES[1:], (9,))
    assert [(s.trial, s.case, s.at_ns) for s in (*first, *second)] == [
        ("pay@any:1", "pay", 0),
        ("ship@any:2", "ship", 5),
        ("ship@any:3", "ship", 9),
    ]
    assert {start.scenario for start in first} == {"any"}
    other = Casting("any", facts())
    other.go_on(casting)
    assert other.start(CASES[0]).trial == "pay@any:4"


def test_a_tenant_that_is_asked_for_comes_before_the_cases_and_that_before_the_mix() -> None:
    own = FactsOfCase("own", tenant="initech")
    casting = Casting("any", facts(cases=(own,)))
    assert {start.tenant for start in casting.starts([own], co_launch(10))} == {"initech"}
    assert casting.start(own, "acme").tenant == "acme"


def test_seeds_depend_on_the_runs_seed_the_scenario_the_case_and_the_number() -> None:
    def seeds(scenario: str, seed: int) -> list[int]:
        found = Casting(scenario, facts(seed=seed)).starts(CASES, co_launch(6))
        return [start.seed for start in found]

    assert len({*seeds("any", 7), *seeds("any", 8), *seeds("other", 7)}) == 18
    assert seeds("any", 7) == seeds("any", 7)
    assert all(0 <= seed < 2**53 for seed in seeds("any", 7))
    assert draw(1, "ab", "c") != draw(1, "a", "bc")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ((), ["pay", "ship", "shop/list"]),
        (("ship",), ["ship"]),
        (("sh*",), ["ship", "shop/list"]),
        (("tag:money", "shop/*"), ["pay", "shop/list"]),
    ],
)
def test_cases_are_chosen_by_id_glob_and_tag(wanted: tuple[str, ...], found: list[str]) -> None:
    assert [case.id for case in Any(cases=wanted).chosen(facts())] == found


def test_a_choice_of_nothing_says_what_to_correct() -> None:
    with pytest.raises(UsageError) as error:
        Any(cases=("tag:gold", "pays")).chosen(facts())
    assert str(error.value) == (
        "scenario any: expected a case for tag:gold, pays, there are pay, ship, shop/list; "
        "write `tags: [gold]` into those that are meant, or name some in `scenarios.any.cases`"
    )
    with pytest.raises(UsageError, match="there are none"):
        Any().chosen(facts(cases=()))


def test_parameters_are_checked_and_told() -> None:
    for wrong in ({"agent": 3}, {"agents": 0}, {"agents": 2.5}, {"spread_ms": 0}):
        with pytest.raises(ValidationError):
            Any.model_validate(wrong)
    assert Any(agents=3).with_agents(9).params() == Any(agents=9).params()
    assert Any().params()["tail_ratio"] == 10.0


def test_faults_of_a_scenario_strike_in_it_alone() -> None:
    given = [{"kind": "latency", "on": {"tool": "search"}}, "flaky-network"]
    first, *others = Any.model_validate({"faults": given}).all_faults()
    assert (first.kind, first.on.tool, first.on.scenario) == ("latency", "search", "any")
    assert others
    assert {(fault.pack, fault.on.scenario) for fault in others} == {("flaky-network", "any")}
    assert Any().all_faults() == ()
    assert "faults" not in Any().params()
