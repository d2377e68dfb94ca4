"""Limits over real runs: what is denied, how the trial is classed, what reports and gates say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from end_to_end.suites import actions, case, failures, options, run_suite, write_suite
from proofrig.comparisons.gate import GateResult
from proofrig.rescore import rescore
from proofrig.suites import Suite, load_suite
from proofrig.trials import manifest as manifests

ADDS: dict[str, Any] = {
    "model": {"provider": "simulated", "function": "e2e_model:adds"},
    "tools": [{"type": "python", "target": "e2e_tools:add"}],
}
# Tries a tool that fails again and again, then answers.
STUBBORN = """
import json, os, urllib.error, urllib.request

def solve(task):
    url = os.environ["PROOFRIG_TOOLS_URL"] + "/add"
    for _ in range(int(task)):
        body = json.dumps({"a": 1, "b": "x"}).encode()
        try:
            urllib.request.urlopen(urllib.request.Request(url, body))
        except urllib.error.HTTPError as error:
            said = json.load(error)
    return "42" if "limit_retries" not in json.dumps(said) else "given up"
"""


def limited(folder: Path, **limits: Any) -> Suite:
    return write_suite(folder / "suite", [case("sum")], **ADDS, limits=limits)


def states(gates: list[GateResult]) -> list[str]:
    return [gate.state for gate in gates]


@pytest.mark.parametrize(
    ("limits", "failure", "met"),
    [
        ({}, "", {}),
        ({"allowed_tools": ["add"], "retries": 0, "context_tokens": 1000}, "", {}),
        ({"allowed_tools": ["subtract"]}, "limit", {"allowed_tools": 1}),
        ({"context_tokens": 5}, "limit", {"context_tokens": 1}),
    ],
)
async def test_a_trial_that_met_a_limit_and_failed_is_classed_so(
    tmp_path: Path, limits: dict[str, Any], failure: str, met: dict[str, int]
) -> None:
    run_dir, conclusion = await run_suite(limited(tmp_path, **limits), tmp_path, baselines=False)
    assert failures(run_dir) == {"sum": failure}
    resources = conclusion.summary.resources
    assert (resources.met, conclusion.summary.overall.denied) == (met, len(met))
    held = manifests.read(run_dir).what["limits"]
    assert {key: held[key] for key in limits if key != "allowed_tools"} == {
        key: limit for key, limit in limits.items() if key != "allowed_tools"
    }


async def test_retries_are_counted_and_the_next_one_is_denied(tmp_path: Path) -> None:
    cases = [case("twice", "2"), case("often", "5")]
    suite = write_suite(
        tmp_path / "suite",
        cases,
        **ADDS,
        agent={"type": "python", "target": "stubborn:solve"},
        limits={"retries": 2},
    )
    (suite.dir / "stubborn.py").write_text(STUBBORN)
    run_dir, conclusion = await run_suite(
        load_suite(suite.dir), tmp_path, baselines=False, gates=("p99(context_tokens) < 1",)
    )
    assert failures(run_dir) == {"twice": "", "often": "limit"}
    often = actions(run_dir, "often:1")
    assert [action.attr("retry") for action in often] == [None, 1, 2, 3, 3]
    assert [action.denied for action in often] == [False] * 3 + [True] * 2
    spread = conclusion.summary.resources.spreads["retries"]
    assert (spread.n, spread.most) == (2, 2.0)
    assert states(conclusion.gates) == ["inconclusive"]  # no model was called


async def test_a_file_beside_the_suite_holds_and_stays_with_the_run(tmp_path: Path) -> None:
    suite = limited(tmp_path)
    file = tmp_path / "prod.json"
    held = {"constraints": {"allowed_tools": ["subtract"]}, "scoring": {"penalty_oom": 0.5}}
    file.write_text(json.dumps({"evaluation_config": held}))
    gates = ("p95(context_tokens) < 100000", "limit_rate == 0")
    run_dir, conclusion = await run_suite(
        suite, tmp_path, baselines=False, constraints=file, gates=gates
    )
    assert failures(run_dir) == {"sum": "limit"}
    assert states(conclusion.gates) == ["pass", "fail"]
    manifest = manifests.read(run_dir)
    assert manifest.constraints["evaluation_config"]["scoring"] == {"penalty_oom": 0.5}
    assert manifest.constraints_from == str(file)
    file.unlink()
    again = rescore(suite, run_dir, options(tmp_path))
    assert again.summary.overall.failures == {"limit": 1}
