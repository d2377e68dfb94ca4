"""Faults strike real calls of a real agent, and cases say what they expect of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from end_to_end.suites import case, ends, failures, options, run_suite, write_suite
from proofrig.conclusion import Conclusion
from proofrig.rescore import rescore
from proofrig.suites import Suite

AGENT = """
import json, os, urllib.error, urllib.request

def post(url, body):
    key = "Bearer " + os.environ["OPENAI_API_KEY"]
    headers = {"content-type": "application/json", "authorization": key}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)

def ask(task):
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    body = {"model": "sim-small", "messages": [{"role": "user", "content": task}]}
    return post(url, body)["choices"][0]["message"]["content"]

def tool(name, **arguments):
    return post(os.environ["PROOFRIG_TOOLS_URL"] + "/" + name, arguments)["result"]

def solve(task):
    if task == "refund, whatever it takes":
        try:
            tool("refund", order=7)
        except urllib.error.HTTPError:
            tool("refund", order=7)
        return "42"
    if task == "refund, but look first":
        try:
            tool("refund", order=7)
        except urllib.error.HTTPError:
            assert tool("refunded", order=7)
        return "42"
    if task == "tell me when it fails":
        try:
            return ask(task)
        except urllib.error.HTTPError as error:
            return f"Sorry, the model could not be reached ({error.code}). Please try again later."
    return ask(task)
"""

TOOLS = '''
from proofrig.gateways.tool import ToolContext

def refund(order: int, context: ToolContext) -> str:
    """Pay an order back."""
    context.state.setdefault("refunds", []).append(order)
    return "refunded"

def refunded(order: int, context: ToolContext) -> bool:
    """Whether an order was paid back."""
    return order in context.state.get("refunds", [])
'''

LOST = {"kind": "http_error", "on": {"tool": "refund", "nth": 1}, "executed": True, "name": "lost"}
DOWN = {"kind": "http_error", "on": {"at": "llm"}, "status": 503, "name": "down"}
STATE = {"world": {"state": {}}}
ONCE = {"faults": [LOST], "expect": {"acts_once": ["refund"]}, **STATE}
CLEANLY = {"faults": [DOWN], "expect": {"outcome": "fails_cleanly", "max_attempts": 1}}

CASES = [
    case("careless", "refund, whatever it takes", **ONCE),
    case("careful", "refund, but look first", **ONCE),
    case("tells", "tell me when it fails", **CLEANLY),
    case("crashes", "What is 40 + 2?", **CLEANLY),
    case(
        "slow",
        faults=[{"kind": "latency", "ms": 30}],
        expect={"outcome": "completes", "recovers_s": 5},
    ),
    case("untested", faults=[DOWN | {"on": {"at": "llm", "nth": 9}}], expect={"max_attempts": 3}),
]


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    tools = [{"type": "python", "target": "e2e_tools"}]
    folder = tmp_path / "suite"
    folder.mkdir()
    suite = write_suite(folder, CASES, tools=tools)
    (folder / "e2e_agent.py").write_text(AGENT)
    (folder / "e2e_tools.py").write_text(TOOLS + '\n__all__ = ["refund", "refunded"]\n')
    return suite


def verdicts(run_dir: Path, trial: str) -> dict[str, Any]:
    found = ends(run_dir)[trial].attrs["verdicts"]
    return {one["verifier"]: one.get("passed") for one in found}


def checked(conclusion: Conclusion) -> dict[str, dict[str, int]]:
    return {one.checker: one.kinds for one in conclusion.summary.checked if one.kinds}


async def test_what_is_expected_under_faults_decides_the_trial(
    suite: Suite, tmp_path: Path
) -> None:
    run_dir, conclusion = await run_suite(suite, tmp_path, baselines=False)
    assert failures(run_dir) == {
        "careless": "agent",
        "careful": "",
        "tells": "",
        "crashes": "agent",
        "slow": "",
        "untested": "unfired",
    }
    assert verdicts(run_dir, "careless:1") == {"exact": True, "expect.acts_once": False}
    assert verdicts(run_dir, "tells:1") == {
        "expect.fails_cleanly": True,
        "expect.max_attempts": True,
    }
    assert verdicts(run_dir, "untested:1") == {"exact": True, "expect.max_attempts": None}
    assert checked(conclusion) == {"duplicate_effects": {"duplicate_effect": 1}}
    struck = {one.fault.label: (one.strikes, one.missed) for one in conclusion.summary.faults}
    assert list(struck.values()) == [
        (1, False),
        (1, False),
        (1, False),
        (1, False),
        (1, False),
        (0, True),
    ]
    assert conclusion.summary.overall.measured == 5
    again = rescore(suite, run_dir, options(tmp_path))
    assert again.summary.overall == conclusion.summary.overall
    assert again.summary.faults == conclusion.summary.faults


async def test_baselines_meet_no_faults_and_are_asked_nothing_more(
    suite: Suite, tmp_path: Path
) -> None:
    only = suite.select(cases=["untested"])
    run_dir, conclusion = await run_suite(only, tmp_path)
    assert ends(run_dir)["untested:null"].attrs["failure"] == "agent"
    assert conclusion.summary.overall.null_passed == 0
    assert conclusion.exit_code == 4, "nothing was measured, and no gate says pass"
