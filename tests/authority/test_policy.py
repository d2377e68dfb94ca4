"""Decisions: deny, ask, allow, default; what is held, earned and booked besides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proofrig.authority.policy import Policy, load_policy, parse_policy
from proofrig.authority.rules import PolicySettings, RuleSettings
from proofrig.authority.ruling import Act, Ruling
from proofrig.errors import SuiteError

RUN = "acme/desk/bot/r1"


def policy(*rules: dict[str, Any], **top: Any) -> Policy:
    named = [{"name": f"r{n}", **rule} for n, rule in enumerate(rules)]
    return parse_policy({**top, "rules": named})


def used(**units: int) -> Callable[[str], int]:
    return lambda unit: units.get(unit.replace(":", "_"), 0)


def decided(
    policy: Policy, name: str = "tool.x", scope: str = RUN, also: tuple[str, ...] = (), **args: Any
) -> Ruling:
    return policy.decide(Act(scope, name, args), used(), also)


DENY, ASK, ALLOW = {"deny": "tool.x"}, {"ask": "tool.*"}, {"allow": "*"}


@pytest.mark.parametrize(
    ("rules", "default", "effect", "rule"),
    [
        ([], "allow", "allow", ""),
        ([], "deny", "deny", ""),
        ([ALLOW], "deny", "allow", "r0"),
        ([ASK], "allow", "ask", "r0"),
        ([ALLOW, ASK], "allow", "ask", "r1"),
        ([ALLOW, ASK, DENY], "allow", "deny", "r2"),
        ([DENY, ASK, ALLOW], "allow", "deny", "r0"),
        ([{"deny": "tool.y"}], "allow", "allow", ""),
    ],
)
def test_deny_wins_over_ask_over_allow(
    rules: list[dict[str, Any]], default: str, effect: str, rule: str
) -> None:
    ruling = decided(policy(*rules, default=default))
    assert (ruling.effect, ruling.rule) == (effect, rule)


@pytest.mark.parametrize(
    ("name", "effect"),
    [
        ("llm.chat_completions", "allow"),
        ("tool.read_file", "allow"),
        ("tool.read_secrets", "deny"),  # the glob that says more of the name
        ("tool.note", "allow"),
        ("tool.send", "deny"),
        ("kv.get", "deny"),
        ("db.a_x", "deny"),  # of two that say as much, the riskier
        ("tool.permitted", "allow"),
    ],
)
def test_strict_denies_what_may_have_a_side_effect(name: str, effect: str) -> None:
    risk = {
        "tool.*": "external_side_effect",
        "tool.read_*": "read_only",
        "tool.read_secrets": "high_risk",
        "tool.note": "local_mutation",
        "db.a_*": "side_effect",
        "db.*_x": "read_only",
    }
    made = policy({"allow": "tool.permitted"}, default="strict", risk=risk)
    ruling = decided(made, name)
    assert ruling.effect == effect
    assert ruling.code == ("not_allowed" if effect == "deny" else "")


def test_a_denial_says_why_and_what_to_do() -> None:
    rule = {"deny": "tool.refund", "below": "manager", "when": {"amount": {">": 100}}}
    made = policy(rule, tiers={"manager": ["lead*"]}, default="allow")
    assert decided(made, "tool.refund", amount=150) == Ruling(
        "deny", "forbidden", "r0", "amount must not be above 100 below tier manager"
    )
    assert decided(made, "tool.refund", "acme/desk/lead1/r1", amount=150).effect == "allow"
    assert decided(made, "tool.refund", amount=50).effect == "allow"


EFFECTS = ("deny", "ask", "allow")
READS: list[dict[str, Any]] = [
    {"when": {"x": {">": 100}}},
    {"when": {"x": 5}},
    {"when": {"x": [5, 6]}},
    {"when": {"x": {"not_in": [5]}}},
    {"cel": "args.x > 100"},
]
# The arguments of an action under a rule that reads the number x -> the code of its denial.
CORPUS: list[tuple[Any, str]] = [
    ({}, "argument_missing"),
    ({"y": 5}, "argument_missing"),
    ({"X": 5}, "argument_missing"),
    ({"x ": 5}, "argument_missing"),
    ({"x": "500"}, "argument_unreadable"),
    ({"x": True}, "argument_unreadable"),
    ({"x": float("nan")}, "argument_unreadable"),
    ({"x": float("inf")}, "argument_unreadable"),
    ({"x": {"x": 5}}, "argument_unreadable"),
    ({"x": b"5"}, "argument_unreadable"),
    ([], "argument_unreadable"),
    ([{"x": 5}], "argument_unreadable"),
    ("x=5", "argument_unreadable"),
    (None, "argument_unreadable"),
    (5, "argument_unreadable"),
]


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("reads", READS, ids=str)
@pytest.mark.parametrize(("arguments", "code"), CORPUS, ids=repr)
def test_an_argument_that_cannot_be_read_denies(
    effect: str, reads: dict[str, Any], arguments: Any, code: str
) -> None:
    if "==" in str(reads) or ("cel" in reads and arguments == {"x": {"x": 5}}):
        code = "argument_unreadable"
    ruling = policy({effect: "tool.x", **reads}).decide(Act(RUN, "tool.x", arguments), used())
    assert (ruling.effect, ruling.code, ruling.rule) == ("deny", code, "r0")
    assert ruling.fix


@pytest.mark.parametrize("effect", EFFECTS)
def test_null_denies(effect: str) -> None:
    for reads in READS:
        ruling = policy({effect: "tool.x", **reads}).decide(Act(RUN, "tool.x", {"x": None}), used())
        assert ruling.effect == "deny"
        assert ruling.code.startswith("argument_")


def test_every_rule_reads_whatever_the_others_say() -> None:
    reads = {"allow": "tool.x", "when": {"amount": {"<": 5}}}
    assert decided(policy({"allow": "tool.x"}, reads)).code == "argument_missing"
    assert decided(policy(reads, {"allow": "tool.x"})).code == "argument_missing"
    both = {"deny": "tool.x", "when": {"kind": "pay", "amount": {">": 5}}}
    assert decided(policy(both), kind="look").code == "argument_missing"


def test_a_rule_for_others_reads_nothing() -> None:
    made = policy({"deny": "tool.x", "agents": "other", "when": {"amount": {">": 5}}})
    assert decided(made).effect == "allow"


def test_paths_start_at_the_root(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "link").symlink_to("tests")
    made = policy({"deny": "tool.write", "paths": {"path": "tests/**"}})
    written = [
        made.decide(Act(RUN, "tool.write", {"path": path}, str(tmp_path)), used()).code
        for path in ("src/a", "link/a", "../x/tests/a", "~/a")
    ]
    assert written == ["", "forbidden", "", "argument_unreadable"]


def test_taints_are_held_and_asked_for() -> None:
    made = policy({"deny": "tool.send", "tainted": "web"}, taint={"tool.fetch_*": "web"})
    assert decided(made, "tool.fetch_page").units == {"taint:web": 1}
    assert decided(made, "tool.FETCH_page").units == {"taint:web": 1}
    act = Act(RUN, "tool.send")
    assert made.decide(act, used()).effect == "allow"
    assert made.decide(act, used(taint_web=1)).rule == "r0"


def test_steps_are_earned_and_asked_for() -> None:
    made = policy(
        {"deny": "tool.write", "step": "gather"},
        steps=[{"name": "gather"}, {"name": "act", "after": "tool.approve"}],
    )
    assert decided(made, "tool.approve").earns == {"step:act": 1}
    act = Act(RUN, "tool.write")
    assert made.decide(act, used()).rule == "r0"
    assert made.decide(act, used(step_act=1)).effect == "allow"


def test_what_some_limit_counts_is_held() -> None:
    budget = {"calls:tool.search": 1, "calls:tool.look/hour": 2, "calls:tool": 3}
    made = policy(limits={"*/*/*/*": budget})
    assert made.counts == {"calls:tool.search", "calls:tool.look"}
    assert decided(made, "tool.search").units == {"calls:tool.search": 1}
    assert decided(made, "tool.look").units == {"calls:tool.look": 1}
    assert decided(made, "tool.other").units == {}


def test_scopes_of_ones_own() -> None:
    made = policy(scopes={"@writes": "tool.write_*", "@all": "*"})
    assert decided(made, "tool.write_file").also == ("@writes", "@all")
    assert decided(made, "tool.write_file", also=("@suite", "@all")).also == (
        "@suite",
        "@all",
        "@writes",
    )
    assert decided(policy(), also=("@suite",)).also == ("@suite",)


def test_a_cap_is_a_unit_of_the_ledger() -> None:
    made = policy(
        {"allow": "tool.x", "cap": {"calls": 5}},
        {"allow": "tool.*", "cap": {"calls": 9, "per": "@x", "every": "minute"}},
        limits={RUN: {"calls": 3}},
    )
    ruling = decided(made)
    assert ruling.units == {"calls:rule.r0": 1, "calls:rule.r1": 1}
    assert (ruling.rule, ruling.also) == ("r0", ("@x",))
    assert made.limits(RUN) == {"calls": 3, "calls:rule.r0": 5}
    assert made.limits("@x") == {"calls:rule.r1/minute": 9}
    assert made.limits("acme") == {}


def test_a_cap_needs_its_level() -> None:
    made = policy({"allow": "tool.x", "cap": {"calls": 5, "per": "workflow"}})
    assert decided(made, scope="acme/desk").effect == "allow"
    for scope in ("acme", "acme//bot/r1"):
        ruling = decided(made, scope=scope)
        assert (ruling.code, ruling.rule) == ("not_allowed", "r0")
        assert "per workflow" in ruling.fix


def test_the_least_of_all_caps_counts() -> None:
    made = policy(
        {"allow": "llm.*", "max_tokens": 500},
        {"allow": "llm.chat", "max_tokens": 200},
        {"ask": "llm.chat", "wait_s": 9},
    )
    ruling = decided(made, "llm.chat")
    assert (ruling.effect, ruling.rule, ruling.max_tokens, ruling.wait_s) == ("ask", "r2", 200, 9)
    assert decided(made, "llm.other").max_tokens == 500


@pytest.mark.parametrize(
    ("rules", "default", "rule"),
    [
        ([], "allow", ""),
        ([], "deny", "default"),
        ([], "strict", "default"),
        ([DENY], "allow", "r0"),
        ([{**DENY, "agents": "other"}], "allow", ""),
        ([{**DENY, "when": {"a": 1}}], "allow", ""),
        ([{**DENY, "cel": "args.a > 1"}], "allow", ""),
        ([{**DENY, "paths": {"a": "b"}}], "allow", ""),
        ([{**DENY, "tainted": "web"}], "allow", ""),
        ([{**DENY, "step": "one"}], "allow", ""),
        ([{**ALLOW, "when": {"a": 1}}], "deny", ""),
        ([ASK], "deny", ""),
        ([{**DENY, "below": "boss"}], "allow", "r0"),
    ],
)
def test_what_can_never_be_allowed(rules: list[dict[str, Any]], default: str, rule: str) -> None:
    top = {"taint": {"y": "web"}, "steps": [{"name": "one"}], "tiers": {"boss": "lead"}}
    assert policy(*rules, default=default, **top).cannot(RUN, "tool.x") == rule


def test_endless_names_are_not_kept() -> None:
    made = policy({"deny": "tool.x"})
    for n in range(20_000):
        decided(made, f"tool.{n}", f"t{n}/w/a/r{n}")
    decided(made, "tool." + "x" * 100_000)
    assert len(made._found) <= 2 * made._found.size
    assert all(len(key[3]) < 2_000 for key in (*made._found._young, *made._found._old))


def test_a_policy_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("rules:\n  - {name: a, deny: tool.x}\n")
    assert [rule.name for rule in load_policy(path).rules] == ["a"]
    path.write_text("rules:\n  - {name: a}\n")
    with pytest.raises(SuiteError, match=r"policy.yaml:2:5: rule a: expected one of"):
        load_policy(path)


def test_a_policy_from_text_or_from_python() -> None:
    assert parse_policy("rules: [{name: a, deny: tool.x}]").cannot(RUN, "tool.x") == "a"
    with pytest.raises(SuiteError, match=r"suite\.yaml: rule a"):
        parse_policy({"rules": [{"name": "a"}]}, "suite.yaml")
    with pytest.raises(SuiteError, match="rule a"):
        Policy.of(PolicySettings(rules=(RuleSettings(name="a"),)))
