"""Suites: selection, plans, digests, prices."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from proofrig.errors import UsageError
from proofrig.scenarios.scenario import FactsOfCase, Start
from proofrig.suites.case import Case
from proofrig.suites.suite import Defaults, Planned, Suite, near

VERIFY = [{"type": "exact", "value": "4"}]


def case(id: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "task": f"do {id}", "verify": VERIFY, **more}


def suite(*cases: dict[str, Any], **more: Any) -> Suite:
    written = {"suite": "demo", "agent": {"type": "null"}, "cases": cases or (case("a"),), **more}
    return Suite.model_validate(written)


THREE = (case("a/one", tags=["x"]), case("a/two", tags=["x", "y"]), case("b", tags=["z"]))


def ids(suite: Suite) -> list[str]:
    return [case.id for case in suite.cases]


def test_a_selection_keeps_what_meets_every_condition() -> None:
    whole = suite(*THREE)
    assert ids(whole.select()) == ["a/one", "a/two", "b"]
    assert ids(whole.select(grep="^a/")) == ["a/one", "a/two"]
    assert ids(whole.select(tags=["y", "z"])) == ["a/two", "b"]
    assert ids(whole.select(cases=["a/*"], tags=["y"])) == ["a/two"]
    assert ids(whole.select(grep="nothing")) == []


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"grep": "("}, "expected a regular expression"),
        ({"tags": ["yy"]}, "did you mean 'y'"),
        ({"cases": ["a/on"]}, "did you mean 'a/one'"),
    ],
)
def test_a_selection_of_nothing_known_is_refused(chosen: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("(", r"\(")):
        suite(*THREE).select(**chosen)


def test_near_names_some_of_what_there_is() -> None:
    assert near("q", []) == "there are none"
    assert near("q", [f"case{n:02}" for n in range(20)]).endswith("case11 and 8 more")


def test_a_plan_launches_every_case_before_any_repeats() -> None:
    trials = [planned.trial for planned in suite(*THREE, repeats=2).plan()]
    assert trials == ["a/one:1", "a/two:1", "b:1", "a/one:2", "a/two:2", "b:2"]
    assert [planned.repeat for planned in suite(repeats=2).plan(repeats=3)] == [1, 2, 3]


def test_leaving_cases_out_moves_nothing_in_the_others() -> None:
    whole = suite(*THREE, repeats=3, tenants={"acme": 3, "globex": 1}, seed=7)
    plan = {planned.trial: planned for planned in whole.plan()}
    few = whole.select(cases=["a/two"])
    assert {p.trial: p for p in few.plan()} == {t: p for t, p in plan.items() if p.case == "a/two"}
    assert whole.plan() == whole.plan()


def test_seeds_come_from_the_suite_the_case_and_the_repeat() -> None:
    def seeds(plan: tuple[Planned, ...]) -> list[int]:
        return [planned.seed for planned in plan]

    whole = suite(*THREE, repeats=4)
    assert len(set(seeds(whole.plan()))) == 12
    assert all(0 <= seed < 2**53 for seed in seeds(whole.plan()))
    assert set(seeds(whole.plan(seed=1))).isdisjoint(seeds(whole.plan(seed=2)))
    assert seeds(whole.plan()) == seeds(whole.plan(seed=0))


@pytest.mark.parametrize("weights", [{"a": 3, "b": 1}, {"a": 1}, {"a": 5, "b": 2, "c": 3}])
def test_tenants_are_mixed_by_weight_in_every_case(weights: dict[str, int]) -> None:
    total = sum(weights.values())
    plan = suite(*THREE, tenants=weights).plan(repeats=total * 2)
    for name in ("a/one", "a/two", "b"):
        assert Counter(p.tenant for p in plan if p.case == name) == {
            tenant: 2 * weight for tenant, weight in weights.items()
        }


def test_a_case_may_belong_to_a_tenant() -> None:
    plan = suite(case("a", tenant="globex"), tenants={"acme": 9, "globex": 1}).plan(repeats=5)
    assert {planned.tenant for planned in plan} == {"globex"}


def test_a_case_may_have_its_own_time() -> None:
    whole = suite(case("a", timeout_s=5), case("b"), limits={"timeout_s": 30})
    assert [whole.timeout_of(case) for case in whole.cases] == [5, 30]


def test_defaults_are_put_into_cases() -> None:
    defaults = Defaults.model_validate(
        {
            "tags": ["all", "x"],
            "difficulty": "easy",
            "verify": [{"type": "contains", "all": ["ok"]}],
        }
    )
    plain = Case.model_validate(case("a", tags=["x", "y"]))
    hard = Case.model_validate(case("b", difficulty="hard"))
    assert defaults.applied(plain).tags == ("all", "x", "y")
    assert [type(v).__name__ for v in defaults.applied(plain).verify] == ["Exact", "Contains"]
    assert [defaults.applied(c).difficulty for c in (plain, hard)] == ["easy", "hard"]
    assert Defaults().applied(plain) is plain


def test_the_digest_covers_what_is_said_and_named(tmp_path: Path) -> None:
    def digest(**more: Any) -> str:
        return suite(*THREE, **more).at(tmp_path).digest()

    plain = digest()
    assert suite(*reversed(THREE)).at(tmp_path / "elsewhere").digest() == plain
    assert len({plain, digest(concurrency=2), digest(tenants={"acme": 1})}) == 3
    asked: dict[str, Any] = {"repeats": 2, "seed": 3, "fail_under": 90, "description": "?"}
    assert digest(**asked) == plain, "how often, and what is asked of the result"
    model = {"provider": "simulated", "script": "model.yaml"}
    without = digest(model=model)
    (tmp_path / "model.yaml").write_text("rules: [{say: hi}]")
    assert digest(model=model) != without


def test_the_agent_is_named_by_the_digest_but_its_code_is_not_read(tmp_path: Path) -> None:
    agent = {"type": "python", "target": "agent:solve"}
    before = suite(agent=agent).at(tmp_path).digest()
    (tmp_path / "agent.py").write_text("def solve(task): return task")
    assert suite(agent=agent).at(tmp_path).digest() == before
    assert suite(agent={**agent, "target": "agent:other"}).at(tmp_path).digest() != before


def test_prices_lie_over_the_bundled_ones(tmp_path: Path) -> None:
    rate = {"input": 2.5, "output": 10, "source": "here", "as_of": "2026-01-31"}
    inline = suite(prices={"prices": {"m": rate}}).price_table()
    assert (inline.price("m").input, inline.price("m").cache_read) == (2_500_000, 2_500_000)
    assert inline.price("sim-small").source.startswith("proofrig")
    (tmp_path / "p.yaml").write_text(
        "prices: {m: {input: 0.1, output: 1, source: there, as_of: 2026-01-31}}"
    )
    assert suite(prices="p.yaml").at(tmp_path).price_table().price("m").input == 100_000


def test_scenarios_know_of_a_suites_cases_tenants_and_seed() -> None:
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "help"}]
    talk = {"id": "talk", "messages": messages, "verify": VERIFY, "tenant": "acme"}
    whole = suite(case("a", tags=["x"]), talk, tenants={"acme": 2, "globex": 1}, seed=5)
    facts = whole.facts()
    assert facts.cases == (
        FactsOfCase("a", ("x",), "do a", ""),
        FactsOfCase("talk", (), "help", "acme"),
    )
    assert (facts.tenants, facts.seed, whole.facts(9).seed) == ({"acme": 2, "globex": 1}, 5, 9)


@pytest.mark.parametrize(
    ("given", "count", "found"),
    [
        ({"acme": 3, "globex": 1}, 1, {"acme": 3}),
        ({"acme": 3, "globex": 1}, 2, {"acme": 3, "globex": 1}),
        ({"acme": 3}, 3, {"acme": 3, "tenant-1": 1, "tenant-2": 1}),
        ({"tenant-2": 4, "tenant-1": 1}, 3, {"tenant-2": 4, "tenant-1": 1, "tenant-3": 1}),
    ],
)
def test_another_number_of_tenants(
    given: dict[str, int], count: int, found: dict[str, int]
) -> None:
    assert suite(tenants=given).with_tenants(count).tenants == found


def test_the_topology_is_what_services_and_the_suite_declare() -> None:
    services = [{"type": "kv", "name": "memory", "max_entries": 5}]
    pool = {"max_connections": 10}
    declared = suite(services=services, topology={"httpx:1": pool}).declared_topology()
    assert declared["httpx:1"] == pool
    assert (declared["memory"]["type"], declared["memory"]["max_entries"]) == ("kv", 5)


def test_a_trial_that_a_scenario_launches_is_planned_like_any_other() -> None:
    start = Start(trial="a/b@burst:12", case="a/b", tenant="acme", seed=4, scenario="burst")
    assert Planned.of(start) == Planned("a/b@burst:12", "a/b", 12, "acme", 4, start)


def test_what_a_case_expects_goes_over_the_defaults_key_by_key() -> None:
    defaults = Defaults.model_validate({"expect": {"outcome": "completes", "max_attempts": 3}})
    own = Case.model_validate({"id": "a", "task": "x", "expect": {"outcome": "either"}})
    plain = Case.model_validate({"id": "b", "task": "x"})
    expected = [defaults.applied(case).expect for case in (own, plain)]
    assert [(one.outcome, one.max_attempts) for one in expected if one is not None] == [
        ("either", 3),
        ("completes", 3),
    ]
