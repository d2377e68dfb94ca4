"""The examples, run as a user runs them: real SDKs, real servers, a simulated model.

Each test makes its own runs, so that the tests can be shared out between processes.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from proofrig.conclusion import Conclusion, Options
from proofrig.evaluation import run
from proofrig.history.action import Action
from proofrig.history.history import History
from proofrig.history.payloads import PayloadReader
from proofrig.results import Row, RowsFold
from proofrig.suites import load_suite
from proofrig.trials.evidence import trajectory
from proofrig.wire.trajectory import Call

EXAMPLES = Path(__file__).parents[2] / "examples"


class Ran(NamedTuple):
    """A run that is over."""

    suite_dir: Path
    dir: Path
    conclusion: Conclusion
    rows: list[Row]

    def of(self, role: str) -> list[Row]:
        return [row for row in self.rows if row.role == role]

    def outcomes(self) -> dict[str, tuple[bool | None, str]]:
        """Trial -> whether it passed, and the digest of its answer."""
        return {row.trial: (row.passed, row.answer) for row in self.of("subject")}

    def calls(self) -> list[tuple[str, Call]]:
        """(trial, call) of every tool call that the agent under test made."""
        by_trial: dict[str, list[Action]] = defaultdict(list)
        for action in History(self.dir).actions():
            by_trial[action.trial].append(action)
        payloads = PayloadReader(self.dir)
        return [
            (row.trial, call)
            for row in self.of("subject")
            for call in trajectory(by_trial[row.trial], payloads.get).calls
        ]


def put_through(
    suite_dir: Path, root: Path, file: str = "suite.yaml", mode: str = "", **options: Any
) -> Ran:
    path = suite_dir / file
    given, suite = Options(root=root, **options), load_suite(path)
    if mode:
        agent = suite.agent.model_copy(update={"mode": mode})
        suite = suite.model_copy(update={"agent": agent})
    run_dir, conclusion = asyncio.run(run(suite, path, given))
    fold = RowsFold()
    History(run_dir).fold(fold)
    return Ran(suite_dir, run_dir, conclusion, fold.result())


def check(ran: Ran, cases: int, repeats: int) -> None:
    """What holds for a run of any example."""
    whole = ran.conclusion.summary.overall
    assert (ran.conclusion.exit_code, ran.conclusion.problems) == (0, [])
    assert (whole.cases, whole.measured) == (cases, cases * repeats)
    assert ran.conclusion.summary.unattributed == 0
    assert set(whole.failures) == {"agent"}

    references = {row.case: row.passed for row in ran.of("reference")}
    assert references == dict.fromkeys({row.case for row in ran.rows}, True)
    assert len(references) == cases

    assert whole.pass_at["1"] - whole.pass_hat[str(repeats)] > 0.1
    assert [(trial, call.name) for trial, call in ran.calls() if call.turn < 0] == []


def test_support_desk(tmp_path: Path) -> None:
    ran = put_through(EXAMPLES / "support_desk", tmp_path, repeats=3)
    check(ran, cases=20, repeats=3)
    assert {row.case for row in ran.of("null") if row.passed} == {"thanks/nothing-to-do"}

    tapped = [call for _, call in ran.calls() if call.source == "tool"]
    assert {call.name for call in tapped} >= {"find_customer", "get_order", "refund_order"}
    asked = sum(row.tool_calls for row in ran.of("subject"))
    assert len(list(ran.calls())) == asked
    assert 0.9 * asked < len(tapped) <= asked  # what is no JSON is asked for and never made
    lamps = [
        call.result or "" for call in tapped if json.loads(call.arguments) == {"order_id": 1001}
    ]
    assert lamps and all("desk lamp" in result for result in lamps)
    check_again(ran, tmp_path, only=("refund/two-of-three", "refund/two-orders", "status/paid"))


def test_support_desk_when_others_fail(tmp_path: Path) -> None:
    ran = put_through(EXAMPLES / "support_desk", tmp_path, "faults.yaml", repeats=1)
    assert (ran.conclusion.exit_code, ran.conclusion.problems) == (0, [])
    assert {row.case: row.passed for row in ran.of("subject")} == {
        "model/busy": True,
        "model/unreachable-once": True,
        "model/down": False,
        "model/cut-short": False,
        "orders/down": True,
        "orders/answer-lost": False,
    }
    assert all(row.passed for row in ran.of("reference"))
    assert not any(row.passed for row in ran.of("null"))
    assert {one.fault.title: one.trials for one in ran.conclusion.summary.faults} == dict.fromkeys(
        ("busy", "reset-once", "down", "cut-short", "orders-down", "answer-lost"), 1
    )


def test_coding_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All trials in one process, and each in a box, as it comes: the same answers and outcomes."""
    ran = put_through(EXAMPLES / "coding_fix", tmp_path, mode="shared", repeats=3)
    check(ran, cases=8, repeats=3)
    assert [row.case for row in ran.of("null") if row.passed] == []
    assert {call.name for _, call in ran.calls()} == {
        *("list_files", "read_file", "write_file", "run_tests")
    }
    monkeypatch.delenv("PROOFRIG_ISOLATION")
    boxed = put_through(EXAMPLES / "coding_fix", tmp_path, repeats=1, baselines=False)
    assert len(boxed.outcomes()) == 8
    assert boxed.outcomes().items() <= ran.outcomes().items()
    levels = {(box["level"], box["held"]) for box in boxes_of(boxed)}
    expected = ("namespace", "enforced") if shutil.which("bwrap") else ("process", "advisory")
    assert levels == {expected}


def boxes_of(ran: Ran) -> list[dict[str, Any]]:
    """Those of the trials of the agent under test."""
    subjects = {row.trial for row in ran.of("subject")}
    ended = (entry for entry in History(ran.dir).entries() if entry.name == "end")
    return [entry.attrs["box"] for entry in ended if entry.trial in subjects]


def check_again(ran: Ran, root: Path, only: tuple[str, ...]) -> None:
    """The same trials alone, two at a time: the same answers and the same outcomes."""
    again = put_through(ran.suite_dir, root, only=only, repeats=2, baselines=False, concurrency=2)
    assert len(again.outcomes()) == 2 * len(only)
    assert again.outcomes().items() <= ran.outcomes().items()


def test_changed_tests_are_caught(tmp_path: Path) -> None:
    suite = tmp_path / "coding_fix"
    shutil.copytree(EXAMPLES / "coding_fix", suite)
    (suite / "cheat.py").write_text(
        "import model\n\nmodel.RATES.update(edits_tests=1.0, stops_early=0.0)\ncode = model.code\n"
    )
    text = (suite / "suite.yaml").read_text()
    (suite / "suite.yaml").write_text(text.replace('"model:code"', '"cheat:code"'))
    ran = put_through(suite, tmp_path, only=("pages", "cart"), repeats=1, baselines=False)
    caught = {
        row.case: verdict["got"]
        for row in ran.rows
        for verdict in row.verdicts
        if verdict["verifier"] == "protected_paths" and verdict["passed"] is False
    }
    assert caught == {
        "pages": "tests/test_pages.py was changed",
        "cart": "tests/test_cart.py was changed",
    }
    assert [row.passed for row in ran.rows] == [False, False]


LAB = ("burst", "tenant_probe", "long_stream")


def kinds_found(conclusion: Conclusion) -> dict[str, set[str]]:
    """Scenario -> the kinds of what was found in it."""
    return {
        scenario.name: {kind for checked in scenario.checked for kind in checked.kinds}
        for scenario in conclusion.summary.scenarios
    }


def test_contention_passes_alone(tmp_path: Path) -> None:
    ran = put_through(EXAMPLES / "contention", tmp_path)
    assert ran.conclusion.exit_code == 0
    assert {row.passed for row in ran.of("subject")} == {True}


def test_contention_shows_all_that_is_wrong_at_once(tmp_path: Path) -> None:
    ran = put_through(EXAMPLES / "contention", tmp_path, scenarios=LAB)
    found = kinds_found(ran.conclusion)
    assert ran.conclusion.exit_code == 1
    assert found["sequential"] == set()
    assert {"lost_update", "retry_storm"} <= found["burst"]
    assert {"cross_tenant_leak", "wrong_tenant_hit"} <= found["tenant_probe"]
    assert "pool_starvation" in found["long_stream"]
    assert all(
        finding.witness
        for scenario in ran.conclusion.summary.scenarios
        for checked in scenario.checked
        for finding in checked.findings
    )


def test_contention_mended_shows_nothing(tmp_path: Path) -> None:
    path = EXAMPLES / "contention" / "fixed.yaml"
    given = Options(root=tmp_path, scenarios=LAB)
    _, conclusion = asyncio.run(run(load_suite(path), path, given))
    assert kinds_found(conclusion) == {name: set() for name in ("sequential", *LAB)}
    verdicts = {one.name: one.verdict for one in conclusion.summary.scenarios}
    assert verdicts["tenant_probe"] == "valid"  # the others may find the machine too slow
