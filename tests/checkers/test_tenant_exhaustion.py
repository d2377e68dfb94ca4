"""A tenant that another starves, and tenants that only seem to be."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.checkers.checker import Checked
from specimens.simulated_load.judging import judged
from specimens.simulated_load.world import World


def take(world: World, tenant: str, status: int, **more: Any) -> None:
    trial = f"{tenant}@s:1"
    id = world.start("quota.take", trial, service="api", limit="bucket", amount=1, **more)
    world.now += 0.001
    attrs = {"status": status, "level": 0, "capacity": 10}
    world.commit(id, "quota.take", trial, outcome="ok" if status == 200 else "fail", **attrs)
    tool = world.reserve("tool.next", trial, arguments="")  # it goes on to something else
    world.commit(tool, "tool.next", trial)


def mixed(
    a: tuple[int, int],
    b: tuple[int, int],
    *,
    alone: bool = True,
    tenants: dict[str, int] | None = None,
    topology: dict[str, Any] | None = None,
    b_passes: bool = True,
) -> World:
    """Tenants `a` and `b` with so many admitted and refused takes, taking turns."""
    world = World(0)
    common = {"tenants": tenants or {"a": 1, "b": 1}, "topology": topology or {}}
    sides = {"a": a, "b": b}
    if alone:
        world.scenario("sequential", **common)
        for tenant in sides:
            world.begin(f"{tenant}@s:1", tenant)
            for _ in range(5):
                take(world, tenant, 200)
            world.end(f"{tenant}@s:1")
    world.scenario("interleaved", **common)
    for tenant in sides:
        world.begin(f"{tenant}@s:1", tenant)
    for place in range(max(*a, *b)):
        for tenant, (admitted, refused) in sides.items():
            if place < admitted:
                take(world, tenant, 200)
            if place < refused:
                take(world, tenant, 429)
    world.end("a@s:1")
    world.end("b@s:1", "" if b_passes else "agent")
    return world


def check(world: World) -> Checked:
    return judged("tenant_exhaustion", world.entries)


def test_the_finding_shows_the_refusals_and_who_was_admitted_instead() -> None:
    found = check(mixed((80, 0), (2, 8)))
    assert found.verdict == "invalid"
    finding = found.findings[0]
    assert (finding.kind, set(finding.tenants)) == ("tenant_exhaustion", {"a", "b"})
    assert {one.says for one in finding.witness} == {"admitted", "refused: 429"}
    assert "b asked for 10, within its share of 50%, and got 2 (20%; alone 100%)" in finding.says
    assert found.measures["tenant_goodput_ratio"] == pytest.approx(0.2)
    assert found.measures["fairness_jain"] == pytest.approx(82**2 / (2 * (80**2 + 2**2)))


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ((80, 0), (6, 4), "valid"),  # more than half of what it gets alone
        ((80, 40), (0, 2), "valid"),  # one or two are chance
        ((10, 80), (10, 80), "valid"),  # both ask for more than there is
        ((10, 2), (8, 80), "valid"),  # it asks for more than its share itself
        ((80, 0), (10, 0), "unknown"),  # nothing was refused
    ],
)
def test_who_is_not_exhausted(a: tuple[int, int], b: tuple[int, int], verdict: str) -> None:
    assert check(mixed(a, b)).verdict == verdict


def test_the_share_is_by_weight() -> None:
    assert check(mixed((40, 0), (4, 8), tenants={"a": 1, "b": 1})).verdict == "invalid"
    assert check(mixed((40, 0), (4, 8), tenants={"a": 9, "b": 1})).verdict == "valid"


def test_trials_that_no_longer_pass_count_where_requests_were_lost() -> None:
    assert check(mixed((80, 0), (7, 3), b_passes=False)).verdict == "invalid"
    assert check(mixed((80, 0), (7, 3))).verdict == "valid"


def test_without_a_baseline_only_a_declared_service_tells() -> None:
    unknown = check(mixed((80, 0), (2, 8), alone=False))
    assert unknown.verdict == "unknown"
    assert "not in the topology" in unknown.says
    topology = {"api": {"type": "quota", "capacity": 10}}
    found = check(mixed((80, 0), (2, 8), alone=False, topology=topology))
    assert found.verdict == "invalid"
    assert "by its share of the declared service" in found.findings[0].says


def test_a_quota_for_each_tenant_is_no_shared_thing() -> None:
    world = World(0)
    world.scenario("interleaved", topology={"api": {"partition": "tenant"}})
    for tenant, status in (("a", 200), ("b", 429)):
        world.begin(f"{tenant}@s:1", tenant)
        for _ in range(20):
            take(world, tenant, status, physical=tenant)
    assert check(world).found == 0


def test_what_each_could_expect_is_said_first() -> None:
    says = check(mixed((10, 80), (10, 80))).says
    assert says.startswith("api.bucket was asked for 180 and gave 20 (fair by weight: a 10, b 10)")


def test_one_tenant_alone_has_nobody_to_exhaust_it() -> None:
    world = World(0)
    world.scenario("burst", tenants={"a": 1})
    world.begin("a@s:1", "a")
    take(world, "a", 429)
    assert check(world).verdict == "unknown"
