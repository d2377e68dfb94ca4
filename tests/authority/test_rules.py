"""The policy file: every problem is found, placed, and says what was meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from proofrig.authority.rules import (
    PolicySettings,
    RuleSettings,
    check_policy,
    policy_schema,
    read_policy,
    settings_of,
)
from proofrig.authority.wording import fix_of
from proofrig.errors import SuiteError
from proofrig.problems import Origin
from proofrig.yaml12 import Document, parse

FULL = """
default: strict
risk: {"tool.read_*": read_only}
tiers: {clerk: ["support*"], manager: lead*}
steps: [{name: gather}, {name: act, after: tool.approve_plan}]
taint: {"tool.fetch_*": web}
scopes: {"@writes": ["tool.write_*"]}
limits:
  acme: {usd: 100, "usd/day": 10}
  "*/*/*/*": {calls: 50, "calls:tool.search": 10, children: 5}
rules:
  - name: refund-above-tier
    deny: tool.refund
    below: manager
    when: {amount: {">": 100}, currency: EUR, region: [eu, us]}
    paths: {path: tests/**}
    fix: ask a manager
  - name: some.asks_1
    ask: [tool.a, "tool.b*"]
    step: [gather, act]
    tainted: web
    cel: args.amount > 50
    wait_s: 5
    cap: {calls: 5, per: "@writes", every: hour}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(SuiteError) as raised:
        settings_of(parse(text, "policy.yaml"))
    return str(raised.value).splitlines()


def rule(**written: Any) -> str:
    return json.dumps({"rules": [{"name": "r", **written}]})


def test_everything_a_policy_may_say() -> None:
    policy = settings_of(parse(FULL))
    first, second = policy.rules
    assert (first.effect, first.names) == ("deny", ("tool.refund",))
    assert {name: said.operators() for name, said in (first.when or {}).items()} == {
        "amount": {">": 100},
        "currency": {"==": "EUR"},
        "region": {"in": ["eu", "us"]},
    }
    assert first.paths == {"path": ("tests/**",)}
    assert (second.effect, second.names) == ("ask", ("tool.a", "tool.b*"))
    assert policy.tiers["manager"] == ("lead*",)
    assert policy.limits["acme"].amounts() == {"usd_micro": 10**8, "usd_micro/day": 10**7}


def test_json_is_read_too() -> None:
    assert settings_of(parse(rule(deny="tool.*"))).rules[0].deny == ("tool.*",)


def test_an_empty_policy_allows_everything() -> None:
    assert settings_of(Document("", {}, line=0)) == PolicySettings()


def test_every_problem_is_placed() -> None:
    found = problems(
        "defualt: deny\n"  # 1
        "rules:\n"
        "  - name: a\n"
        "    deny: tool.x\n"
        "    wehn: {amount: 5}\n"  # 5
        "  - name: b\n"
        "    deny: tool.x\n"
        "    when: {amount: {'=>': 5}}\n"  # 8
        "  - deny: tool.x\n"  # 9
        "  - name: a\n"  # 10
        "    allow: tool.x\n"
    )
    assert found[0].startswith("policy.yaml:1:1: unknown key `defualt`")
    assert "did you mean `default`?" in found[1]
    assert found[2].startswith("policy.yaml:5:5: rule a: unknown key `wehn`")
    assert "did you mean `when`?" in found[3]
    assert found[4].startswith("policy.yaml:8:21: rule b: when.amount: unknown key `=>`")
    assert "known: ==, !=, <, <=, >, >=, in" in found[5]
    assert found[6].startswith("policy.yaml:9:5: rules[2]: `name` is missing")


def test_names_are_unique() -> None:
    text = "rules:\n  - {name: a, deny: x}\n  - {name: a, allow: y}\n"
    assert problems(text) == ["policy.yaml:3:12: rule a: expected a name of its own, got 'a' again"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (rule(), "expected one of deny, ask or allow; got none"),
        (rule(deny="a", allow="b"), "expected one of deny, ask or allow; got deny and allow"),
        (rule(deny=[]), "expected at least 1 of them"),
        (rule(deny="tool.{a,b}"), "one glob per alternative"),
        (rule(deny="a", agents=[]), "expected at least 1 of them"),
        (rule(deny="a", paths={"p": ["tests/"]}), "write tests/** for all"),
        (rule(deny="a", paths={}), "at least 1"),
        (rule(deny="a", when={}), "at least 1"),
        (rule(deny="a", when={"x": {}}), "expected an operator"),
        (rule(deny="a", when={"x": None}), "got null"),
        (rule(deny="a", when={"x": []}), "expected a list of values"),
        (rule(deny="a", when={"x": {"matches": "(a"}}), "expected a regex"),
        (rule(deny="a", when={"x": {"matches": "(?=a)"}}), "linear time"),
        (rule(deny="a", when={"x": {"<": True}}), "expected a number or text"),
        (rule(deny="a", cel="args.x >"), "Syntax error"),
        (rule(deny="a", cel="arg.x > 5"), "got arg"),
        (rule(deny="a", below="boss"), "expected a tier that is declared, got `boss`"),
        (rule(deny="a", step="late"), "expected a step that is declared, got `late`"),
        (rule(deny="a", tainted="web"), "expected a taint that is declared, got `web`"),
        (rule(deny="a", cap={"calls": 1}), "expected cap on ask or allow"),
        (rule(deny="a", max_tokens=5), "expected max_tokens on ask or allow"),
        (rule(allow="a", wait_s=5), "expected wait_s on ask"),
        (rule(allow="a", cap={"calls": -1}), "greater than or equal to 0"),
        (rule(allow="a", cap={"calls": 1, "per": "team"}), "expected text that matches"),
        (rule(allow="a", cap={"calls": 1, "every": "week"}), "expected 'minute', 'hour' or 'day'"),
        ('{"rules": [{"name": "A b", "deny": "x"}]}', "expected text that matches"),
        ('{"rules": [{"name": "default", "deny": "x"}]}', "which stands for no rule"),
        ('{"rules": {"a": 1}}', "expected a list of rules"),
        ('{"rules": ["x"]}', "rules[0]: expected a mapping"),
        ('{"default": "dney"}', "did you mean `deny`?"),
        ('{"risk": {"tool.x": "dangerous"}}', "expected 'read_only'"),
        ('{"limits": {"acme/": {"calls": 1}}}', "begins and ends with a name"),
        ('{"limits": {"acme": {"cals": 1}}}', "got 'cals'"),
        ('{"scopes": {"writes": "x"}}', "expected text that matches"),
        ('{"steps": [{"name": "a"}, {"name": "b"}]}', "expected `after`"),
        ('{"steps": [{"name": "a", "after": "x"}]}', "expected no `after`"),
        ('{"steps": [{"name": "a"}, {"name": "a", "after": "x"}]}', "a name of its own"),
        ("[]", "expected a policy"),
        ("default: deny\ndefault: allow", "a second time"),
    ],
)
def test_what_is_no_policy_is_refused(text: str, said: str) -> None:
    found = "\n".join(problems(text))
    assert said in found
    assert found.startswith("policy.yaml:")


def test_what_was_probably_meant() -> None:
    text = 'tiers: {manager: "lead*"}\n' + "rules: [{name: r, deny: a, below: manger}]"
    assert "did you mean `manager`?" in problems(text)[1]


def test_a_policy_built_in_python_is_checked_too() -> None:
    policy = PolicySettings(rules=(RuleSettings(name="r"),))
    found = check_policy(policy, Origin(Document("suite.yaml", None, line=0), ("policy",)))
    assert [str(problem) for problem in found] == [
        "suite.yaml: rule r: expected one of deny, ask or allow; got none"
    ]


def test_a_policy_can_be_written_down_again() -> None:
    policy = settings_of(parse(FULL))
    written = policy.model_dump(mode="json", by_alias=True, exclude_none=True)
    again = settings_of(Document("", written, line=0))
    assert again.model_dump(exclude_none=True) == policy.model_dump(exclude_none=True)
    assert [fix_of(rule) for rule in again.rules] == [fix_of(rule) for rule in policy.rules]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="expected a policy file"):
        read_policy(tmp_path / "none.yaml")


def test_the_schema_says_the_same() -> None:
    schema = policy_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert list(validator.iter_errors(parse(FULL).value)) == []
    wrong: list[dict[str, Any]] = [
        {"defualt": "deny"},
        {"rules": [{"name": "r", "wehn": {}}]},
        {"rules": [{"name": "r", "when": {"x": {"=>": 1}}}]},
        {"limits": {"acme": {"cals": 1}}},
    ]
    assert all(not validator.is_valid(policy) for policy in wrong)
