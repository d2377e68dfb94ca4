"""What in a policy has no effect on recorded actions."""

from __future__ import annotations

from typing import Any

from proofrig.authority.lint import lint
from proofrig.authority.policy import parse_policy
from proofrig.authority.ruling import Act

RUN = "acme/desk/bot/r1"


def remarks(policy: dict[str, Any], *acts: Act) -> list[tuple[str, str]]:
    return [(remark.about, remark.name) for remark in lint(parse_policy(policy), acts)]


def rules(*written: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": f"r{n}", **rule} for n, rule in enumerate(written)]


def test_a_rule_that_never_matched() -> None:
    policy = {
        "rules": rules(
            {"deny": "tool.wirte"},
            {"deny": "tool.write", "when": {"size": {">": 5}}},
            {"deny": "tool.write", "when": {"size": {">": 500}}},
            {"deny": "tool.write", "when": {"sice": {">": 5}}},  # reads what is not there: it acts
        )
    }
    act = Act(RUN, "tool.write", {"size": 50})
    assert remarks(policy, act) == [("rule", "r0"), ("rule", "r2")]
    assert "1 recorded" in str(lint(parse_policy(policy), [act])[0])


def test_a_rule_whose_globs_name_no_kind() -> None:
    policy = {"rules": rules({"deny": ["search", "fetch"]}, {"deny": ["search", "*_mail"]})}
    said = {remark.name: remark.says for remark in lint(parse_policy(policy), [])}
    assert said["r0"].startswith("no action is called search or fetch: names are <kind>.<what>")
    assert "matched none" in said["r1"]


def test_a_rule_that_is_forestalled() -> None:
    policy = {
        "tiers": {"clerk": "c", "boss": "b"},
        "rules": rules(
            {"allow": "tool.write_*", "agents": "coder*"},
            {"ask": "tool.write_file"},
            {"deny": "tool.*", "agents": "c*"},
            {"deny": "tool.write_*", "agents": "coder", "when": {"a": 1}},
            {"deny": "tool.*", "agents": "c*"},
            {"deny": "kv.*", "below": "boss"},
            {"allow": "kv.get", "below": "clerk"},
            {"allow": "kv.put"},
        ),
    }
    found = lint(parse_policy(policy), [])
    forestalled = {remark.name: remark.says for remark in found if "never decides" in remark.says}
    assert sorted(forestalled) == ["r0", "r3", "r4", "r6"]
    assert "rule r2" in forestalled["r0"]
    assert "rule r5" in forestalled["r6"]


def test_what_never_came_about() -> None:
    policy = {
        "taint": {"tool.fetch": "web", "tool.mail": "mail"},
        "steps": [{"name": "one"}, {"name": "two", "after": "tool.plan"}],
        "tiers": {"clerk": "support*", "boss": "lead*"},
        "rules": rules(
            {"deny": "tool.*", "tainted": "web"},
            {"deny": "tool.*", "tainted": "mail"},
            {"deny": "tool.*", "step": "two"},
            {"ask": "tool.*", "below": "boss"},
        ),
    }
    acts = [Act(RUN, "tool.fetch"), Act(RUN, "tool.look")]
    assert remarks(policy, *acts) == [
        ("rule", "r1"),
        ("rule", "r2"),
        ("taint", "mail"),
        ("step", "two"),
        ("tier", "boss"),
    ]


def test_the_state_of_each_run_is_its_own() -> None:
    policy = {
        "taint": {"tool.fetch": "web"},
        "rules": rules({"deny": "tool.send", "tainted": "web"}),
    }
    fetch, send = Act(f"{RUN}/child", "tool.fetch"), Act(RUN, "tool.send")
    assert remarks(policy, fetch, send) == []
    assert remarks(policy, send, fetch) == [("rule", "r0")]
    assert remarks(policy, fetch, Act("acme/desk/bot/r2", "tool.send")) == [("rule", "r0")]


def test_a_limit_that_nothing_meets() -> None:
    policy = {
        "scopes": {"@writes": "tool.write", "@reads": "tool.read"},
        "limits": {
            scope: {"calls": 1}
            for scope in ("acme", "*/*/*", "*/*/*/*/*", "globex", "@writes", "@reads", "@suite")
        },
    }
    assert remarks(policy, Act(RUN, "tool.write")) == [
        ("limit", "*/*/*/*/*"),
        ("limit", "globex"),
        ("limit", "@reads"),
    ]
