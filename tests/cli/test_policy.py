"""`proofrig policy` on runs that were recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from authority_report_runs import a_ruled_run
from proofrig.cli.main import cli

POLICY = """
limits: {"nobody/*": {calls: 1}}
rules:
  - {name: no-search, deny: tool.search, fix: think}
  - {name: never, deny: tool.nothing}
"""
SUITE = """
suite: s
agent: {type: "null"}
budgets: {run: {calls: 3}}
cases: [{id: a, task: t, verify: [{type: exact, value: x}]}]
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run in which some calls were denied and some asked."""
    a_ruled_run(tmp_path / "r").report(0)
    return tmp_path / "r"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def typed(*words: Any) -> Result:
    return CliRunner().invoke(cli, ["policy", *map(str, words)], standalone_mode=False)


def test_test_prints_what_would_change_by_rule(policy: Path, run: Path) -> None:
    done = typed("test", policy, run)
    lines = [" ".join(line.split()) for line in done.output.splitlines()]
    assert lines[:3] == [
        "93 recorded actions of r",
        "then 81 allow, 3 ask, 9 deny",
        "now 57 allow, 36 deny",
    ]
    assert "30 newly denied by rule no-search: tool.search 30" in lines
    assert '+0.486 s research:1 tool.search {"q":"x"}' in lines
    assert "fix: think" in lines and "and 27 more" in lines
    assert "3 newly allowed (denied by rule tests-are-read-only): tool.write_file 3" in lines
    assert any(line.startswith("limit nobody/*: no recorded scope matches") for line in lines)
    assert any(line.startswith("rule never: matched none of 93 recorded") for line in lines)
    assert done.return_value == 0


def test_a_change_fails_only_when_that_is_asked_for(policy: Path, run: Path) -> None:
    assert typed("test", policy, run, "--fail-on-change").return_value == 1
    same = policy.with_name("same.yaml")
    same.write_text(
        """
rules:
  - {name: a, deny: tool.write_file, when: {path: {matches: "^tests/"}}}
  - {name: b, ask: tool.refund}
"""
    )
    found = json.loads(typed("test", same, run, "--json").output)
    assert [(one["kind"], one["code"]) for one in found["changes"]] == [
        ("allowed", "budget_exceeded")
    ]


def test_json_has_every_change_with_its_actions(policy: Path, run: Path) -> None:
    found = json.loads(typed("test", policy, run, "--json").output)
    assert (found["run"], found["actions"], found["now"]["deny"]) == ("r", 93, 36)
    first = found["changes"][0]
    assert (first["kind"], first["rule"], first["count"]) == ("denied", "no-search", 30)
    assert first["first"][0]["arguments"] == {"q": "x"}
    assert {one["about"]: one["name"] for one in found["remarks"]} == {
        "rule": "never",
        "limit": "nobody/*",
    }


def test_lint_checks_a_file_and_against_a_run_what_had_no_effect(policy: Path, run: Path) -> None:
    alone = typed("lint", policy)
    assert (alone.return_value, "2 rules, 1 limit, default allow. OK" in alone.output) == (0, True)
    seen = typed("lint", policy, run)
    assert seen.return_value == 1
    assert "rule never: matched none" in seen.output
    remarks = json.loads(typed("lint", policy, run, "--json").output)["remarks"]
    assert [one["name"] for one in remarks] == ["never", "nobody/*"]


def test_lint_says_what_is_forestalled_whatever_is_done(policy: Path) -> None:
    policy.write_text("rules: [{name: a, deny: 'tool.*'}, {name: b, allow: tool.x}]")
    done = typed("lint", policy)
    assert (done.return_value, "rule b: never decides" in done.output) == (1, True)


def test_a_suite_is_a_policy_with_its_budgets(tmp_path: Path, run: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(SUITE)
    shown = json.loads(typed("show", suite).output)
    assert shown == {"limits": {"*/*/*/*": {"calls": 3}}}
    assert json.loads(typed("test", suite, run, "--json").output)["now"]["deny"] > 0
    suite.write_text(SUITE.replace("budgets: {run: {calls: 3}}\n", ""))
    done = typed("show", suite)
    assert "which has neither a policy nor budgets" in str(done.exception)


def test_every_problem_of_a_policy_is_said_at_once(policy: Path) -> None:
    policy.write_text("rules: [{name: a, deni: tool.x}, {name: b}]\ndefalt: deny\n")
    done = typed("lint", policy)
    said = str(done.exception)
    assert "unknown key `deni`" in said and "unknown key `defalt`" in said


def test_a_policy_is_no_suite(policy: Path) -> None:
    done = CliRunner().invoke(cli, ["validate", str(policy)], standalone_mode=False)
    assert "looks like a policy" in str(done.exception)
    assert "proofrig policy lint" in str(done.exception)
