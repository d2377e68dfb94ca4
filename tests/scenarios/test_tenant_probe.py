"""Tenant probe: the owner fills, the others ask in other words."""

from __future__ import annotations

import pytest

from proofrig.errors import UsageError
from proofrig.scenarios.mutations import CONTROLS, OPERATORS
from proofrig.scenarios.tenant_probe import TenantProbe
from scenario_facts import CASES, facts, parts, shape, shares

SMALL = TenantProbe(agents=3, probes=40, controls=4)


def test_the_owner_fills_first_and_then_all_others_ask() -> None:
    fill, probe = SMALL.phases(facts())
    assert shape([fill, probe]) == [("fill", 3, 3, None), ("probe", 44, 3, None)]
    assert parts(fill) == {"fill": 3}
    assert parts(probe) == {"probe": 40, "control": 4}
    assert [start.tenant for start in fill.starts] == ["acme"] * 3
    assert shares(list(probe.starts)) == {"globex": 22, "initech": 22}
    assert {start.role for start in fill.starts} == {"subject"}
    assert {start.role for start in probe.starts} == {"helper"}


def test_a_probe_says_what_it_imitates_and_how() -> None:
    _, probe = SMALL.phases(facts())
    asked = {case.id: case.prompt for case in CASES}
    for start in probe.starts:
        assert start.task
        if start.part == "control":
            assert (start.operator, start.imitates) == ("control", "")
            assert start.task in CONTROLS
        else:
            assert start.operator in OPERATORS
            assert start.imitates == start.case
    assert any(s.task not in asked.values() for s in probe.starts if s.part == "probe")
    once = TenantProbe(probes=30, controls=0, operators=("repeat",)).phases(facts())[1]
    assert {start.operator for start in once.starts} == {"repeat"}


def test_controls_are_scattered_among_the_probes_by_the_seed() -> None:
    def order(seed: int) -> list[str]:
        return [start.part for start in SMALL.phases(facts(seed=seed))[1].starts]

    assert order(1) == order(1) != order(2)
    assert order(1) != sorted(order(1), reverse=True)


def test_the_owner_may_be_named() -> None:
    fill, probe = TenantProbe(owner="globex", probes=5).phases(facts())
    assert {start.tenant for start in fill.starts} == {"globex"}
    assert "globex" not in shares(list(probe.starts))


@pytest.mark.parametrize(
    ("given", "tenants", "said"),
    [
        ({"owner": "acmee"}, {"acme": 1, "b": 1}, r"acme, b as owner, got 'acmee'; correct `scen"),
        ({}, {"acme": 1}, r"two or more tenants, got only acme; .* `--tenants 2`"),
        ({"operators": ("rot14",)}, {"acme": 1, "b": 1}, r"expected operators of .* got 'rot14'"),
    ],
)
def test_what_it_cannot_be_run_with_is_said(
    given: dict[str, object], tenants: dict[str, int], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        TenantProbe.model_validate(given).phases(facts(tenants=tenants))
