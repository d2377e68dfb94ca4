"""A suite under a policy, enforced and in shadow mode; and the policy run over what it recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from end_to_end.suites import case, options, run_suite, write_suite
from proofrig.authority.policy import Policy
from proofrig.authority.replay import Comparison, Recorded, compare
from proofrig.cli.conclusion import report_of
from proofrig.history.history import History
from proofrig.history.payloads import PayloadReader
from proofrig.reports.html import render
from proofrig.rulings import Rulings
from proofrig.suites import Suite

POLICY = {
    "taint": {"tool.add": "sums"},
    "scopes": {"@sums": ["tool.add"]},
    "limits": {"@sums": {"calls": 5}, "acme": {"calls:tool.add": 2}},
    "rules": [
        {"name": "short", "allow": "llm.*", "max_tokens": 300},
        {"name": "adds-ask", "ask": "tool.add", "tenants": "blue", "wait_s": 20},
        {"name": "never", "deny": "tool.subtract"},
    ],
}
CHANGES: dict[str, Any] = {
    "model": {"provider": "simulated", "function": "e2e_model:adds"},
    "tools": [{"type": "python", "target": "e2e_tools:add"}],
    "tenants": {"acme": 1, "blue": 1},
    "policy": POLICY,
    "budgets": {"tenant": {"usd": 5}},
}


def replayed(suite: Suite, run_dir: Path) -> Comparison:
    policy = suite.whole_policy()
    assert policy is not None
    recorded = Recorded(History(run_dir).entries, PayloadReader(run_dir).get, run_dir)
    return compare(recorded.under(Policy.of(policy)))


async def done(tmp_path: Path, **authority: Any) -> tuple[Suite, Path, Rulings, str]:
    cases = [case(f"c{n}") for n in range(6)]
    suite = write_suite(tmp_path / "suite", cases, authority=authority, **CHANGES)
    run_dir, conclusion = await run_suite(suite, tmp_path, baselines=False)
    rulings = conclusion.summary.authority
    assert rulings is not None
    report = report_of(suite, run_dir, conclusion, options(tmp_path))
    return suite, run_dir, rulings, render(report).decode()


async def test_a_shadow_run_and_its_policy_run_over_it_decide_the_same(tmp_path: Path) -> None:
    suite, run_dir, rulings, page = await done(tmp_path, mode="shadow")
    blocked = sum(one.count for one in rulings.would if one.effect == "deny")
    assert rulings.mode == "shadow"
    assert rulings.decisions == {"allow": 18}  # two turns and a call of six trials
    assert rulings.decided == [] and blocked > 0
    assert rulings.coverage.share == 1.0
    found = replayed(suite, run_dir)
    assert (found.actions, found.then["deny"], found.changes) == (18, blocked, [])
    assert found.then == found.now
    assert "would have been blocked" in page and "shadow mode: nothing was refused" in page


async def test_an_enforced_run_and_its_policy_run_over_it_decide_the_same(tmp_path: Path) -> None:
    answers = [{"rule": "adds-*", "answer": "refuse", "reason": "not today"}]
    suite, run_dir, rulings, page = await done(tmp_path, approvals=answers)
    by = {(one.effect, one.rule or one.code): one for one in rulings.decided}
    refused, over = by["ask", "adds-ask"], by["deny", "budget_exceeded"]
    assert refused.answers == {"refuse": refused.count}
    assert (over.at, over.names) == ("acme", {"tool.add": over.count})
    ledger = {row.scope: row for row in rulings.ledger}
    assert (ledger["@sums"].actual["calls"], ledger["@sums"].limits["calls"]) == (2, 5)
    assert ledger["acme"].limits == {"usd_micro": 5_000_000, "calls:tool.add": 2}
    assert ledger["acme"].actual["calls:tool.add"] == 2
    spent = sum(
        row.actual["usd_micro"] for scope, row in ledger.items() if scope in ("acme", "blue")
    )
    assert spent == rulings.charges["measured"].usd_micro
    found = replayed(suite, run_dir)
    assert found.then == found.now and found.changes == []
    assert "rule adds-ask" in page and "budget of acme" in page
