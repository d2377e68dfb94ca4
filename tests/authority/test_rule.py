"""One compiled rule: where it fits, when it applies, what its cap counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from proofrig.authority.rule import Rule, States, Where
from proofrig.authority.rules import PolicySettings
from proofrig.authority.ruling import Act

SETTINGS: dict[str, Any] = {
    "tiers": {"clerk": ["support*"], "manager": ["lead*", "support-lead"]},
    "steps": [{"name": "one"}, {"name": "two", "after": "tool.a"}, {"name": "three", "after": "b"}],
    "taint": {"tool.fetch": "web", "tool.mail": "mail"},
}


def made(**written: Any) -> Rule:
    settings = PolicySettings.model_validate({**SETTINGS, "rules": [{"name": "r", **written}]})
    return Rule(settings.rules[0], States(settings))


def used(**units: int) -> Callable[[str], int]:
    return lambda unit: units.get(unit.replace(":", "_"), 0)


@pytest.mark.parametrize(
    ("written", "where", "fits"),
    [
        ({"deny": "tool.*"}, Where("t", "w", "a", "tool.x"), True),
        ({"deny": "tool.*"}, Where("t", "w", "a", "llm.x"), False),
        ({"deny": "tool.*", "agents": "a*"}, Where("t", "w", "b", "tool.x"), False),
        ({"deny": "tool.*", "agents": "a*"}, Where("t", "w", "A1", "tool.X"), True),
        ({"allow": "tool.*", "agents": "a*"}, Where("t", "w", "A1", "tool.x"), False),
        ({"deny": "x", "tenants": "t", "workflows": "w"}, Where("t", "v", "a", "x"), False),
        ({"deny": "x", "below": "manager"}, Where("t", "w", "support1", "x"), True),
        ({"deny": "x", "below": "manager"}, Where("t", "w", "lead", "x"), False),
        ({"deny": "x", "below": "manager"}, Where("t", "w", "LEAD", "x"), True),
        ({"deny": "x", "below": "manager"}, Where("t", "w", "support-lead", "x"), False),
        ({"deny": "x", "below": "manager"}, Where("t", "w", "", "x"), True),
        ({"deny": "x", "below": "clerk"}, Where("t", "w", "support1", "x"), False),
    ],
)
def test_where_a_rule_fits(written: dict[str, Any], where: Where, fits: bool) -> None:
    assert made(**written).fits(where) is fits


@pytest.mark.parametrize(
    ("written", "state", "applies"),
    [
        ({"tainted": "web"}, {}, False),
        ({"tainted": "web"}, {"taint_mail": 1}, False),
        ({"tainted": "web"}, {"taint_web": 2}, True),
        ({"tainted": True}, {"taint_mail": 1}, True),
        ({"tainted": True}, {}, False),
        ({"tainted": False}, {}, True),
        ({"tainted": False}, {"taint_mail": 1}, False),
        ({"step": "one"}, {}, True),
        ({"step": "one"}, {"step_two": 1}, False),
        ({"step": ["one", "two"]}, {"step_two": 3}, True),
        ({"step": "two"}, {"step_two": 1, "step_three": 1}, False),
    ],
)
def test_the_state_of_the_run(
    written: dict[str, Any], state: dict[str, int], applies: bool
) -> None:
    rule = made(deny="x", **written)
    assert not rule.always
    assert rule.applies(Act("t/w/a/r", "x"), used(**state), {}) is applies


def test_a_rule_that_does_not_fit_the_state_reads_nothing() -> None:
    rule = made(deny="x", tainted="web", when={"amount": {">": 1}}, paths={"path": "a"})
    assert rule.applies(Act("t/w/a/r", "x", {}), used(), {}) is False


def test_cel_is_read_when_the_rest_holds() -> None:
    rule = made(deny="x", when={"kind": "pay"}, cel="args.amount > 5 && scope.agent == 'a'")
    assert rule.applies(Act("t/w/a/r", "x", {"kind": "look"}), used(), {}) is False
    assert rule.applies(Act("t/w/a/r", "x", {"kind": "pay", "amount": 6}), used(), {}) is True
    assert rule.applies(Act("t/w/b/r", "x", {"kind": "pay", "amount": 6}), used(), {}) is False


def test_what_expressions_see_of_a_run() -> None:
    settings = PolicySettings.model_validate(SETTINGS)
    seen = States(settings).facts(used(taint_web=1, step_two=1), "lead1")
    assert seen == {"tainted": True, "taints": ["web"], "step": "two", "tier": "manager"}
    assert States(PolicySettings()).facts(used(), "lead1") == {
        "tainted": False,
        "taints": [],
        "step": "",
        "tier": "",
    }


def test_no_step_is_jumped_over() -> None:
    states = States(PolicySettings.model_validate(SETTINGS))
    assert states.earned(states.leading("tool.a"), used()) == {"step:two": 1}
    assert states.earned(states.leading("b"), used()) == {}
    assert states.earned(states.leading("b"), used(step_two=1)) == {"step:three": 1}
    assert states.earned(states.leading("tool.a"), used(step_two=1)) == {}


@pytest.mark.parametrize(
    ("per", "scope", "capped"),
    [
        ("run", "t/w/a/r", True),
        ("run", "t//a/r", True),
        ("run", "t/w/a/r/child", False),
        ("run", "t/w/b/r", False),
        ("agent", "t/w/a", True),
        ("workflow", "t/w", True),
        ("tenant", "t", True),
        ("tenant", "u", False),
        ("tenant", "@all", False),
        ("@all", "@all", True),
        ("@all", "t", False),
    ],
)
def test_the_scopes_a_cap_limits(per: str, scope: str, capped: bool) -> None:
    rule = made(allow="x", agents="a", tenants="t", cap={"calls": 5, "per": per, "every": "hour"})
    assert rule.caps(scope) is capped
    assert rule.cap_amounts == {"calls:rule.r/hour": 5}
