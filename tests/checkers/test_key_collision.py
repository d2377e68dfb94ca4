"""Key collisions: histories in, verdicts out."""

from __future__ import annotations

from typing import Any

import pytest

from checkers.shared_things import check, get, put
from proofrig.checkers.key_collision import KeyCollision

TWO = [
    put("a", 0, 1, "k", "x", tenant="acme", id="w1"),
    put("b", 2, 3, "k", "y", tenant="bolt", id="w2"),
]


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ({"partition": "tenant"}, "invalid"),
        ({"partition": "trial"}, "invalid"),
        ({"partition": "none", "shared": False}, "invalid"),
        ({"partition": "none"}, "unknown"),
        ({"partition": "tenant", "public": ["k*"]}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_two_tenants_write_one_key(said: dict[str, Any], verdict: str) -> None:
    checked = check(KeyCollision, *TWO, topology={"memory": said})
    assert checked.verdict == verdict
    if verdict == "invalid":
        [finding] = checked.findings
        assert finding.tenants == ("acme", "bolt")
        assert [one.id for one in finding.witness] == ["w1", "w2"]


def test_one_tenant_may_have_two_trials() -> None:
    told = [put("a", 0, 1, "k", "x"), put("b", 2, 3, "k", "y")]
    assert check(KeyCollision, *told, topology={"memory": {"partition": "tenant"}}).found == 0
    assert check(KeyCollision, *told, topology={"memory": {"partition": "trial"}}).found == 1


def test_keys_that_are_stored_apart_do_not_collide() -> None:
    told = [
        put("a", 0, 1, "k", "x", tenant="acme", physical="acme/k"),
        put("b", 2, 3, "k", "y", tenant="bolt", physical="bolt/k"),
    ]
    checked = check(KeyCollision, *told, topology={"memory": {"partition": "tenant"}})
    assert (checked.verdict, checked.exposure["partitioned_writes"]) == ("valid", 2)


def test_two_keys_under_one_physical_key() -> None:
    told = [
        put("a", 0, 1, "customer-1", "x", physical="cust"),
        get("a", 2, 3, "customer-2", "x", physical="cust"),
        get("a", 4, 5, "customer-2", "x", physical="cust"),
    ]
    checked = check(KeyCollision, *told)
    assert (checked.verdict, checked.found) == ("invalid", 1)
    assert "'customer-1' and 'customer-2'" in checked.findings[0].says


def test_two_keys_that_are_only_read_harm_nobody() -> None:
    told = [
        get("a", 0, 1, "customer-1", "x", physical="cust"),
        get("a", 2, 3, "customer-2", "x", physical="cust"),
    ]
    assert check(KeyCollision, *told).verdict == "valid"


def test_a_write_that_failed_collides_with_nothing() -> None:
    told = [TWO[0], put("b", 2, 3, "k", "y", tenant="bolt", outcome="fail")]
    assert check(KeyCollision, *told, topology={"memory": {"partition": "tenant"}}).found == 0
