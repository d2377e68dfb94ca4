"""The examples, run as a user runs them: real SDKs, real servers, a simulated model.

Each test makes its own runs, so that the tests can be shared out between processes.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from proofrig.evaluation import Conclusion, Options, run
from proofrig.history.action import Action
from proofrig.history.history import History
from proofrig.history.payloads import PayloadReader
from proofrig.results import Row, RowsFold
from proofrig.suites import load_suite
from proofrig.trials.evidence import trajectory
from proofrig.wire.trajectory import Call

EXAMPLES = Path(__file__).parents[2] / "examples"
DECLARED_NULL = {"thanks/nothing-to-do"}


class Ran(NamedTuple):
    """A run that is over."""

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


def put_through(suite_dir: Path, root: Path, **options: Any) -> Ran:
    path = suite_dir / "suite.yaml"
    given = Options(root=root, **options)
    run_dir, conclusion = asyncio.run(run(load_suite(path), path, given))
    fold = RowsFold()
    History(run_dir).fold(fold)
    return Ran(run_dir, conclusion, fold.result())


@pytest.mark.parametrize(
    ("example", "cases", "repeats"), [("support_desk", 20, 4), ("coding_fix", 8, 3)]
)
def test_a_run(example: str, cases: int, repeats: int, tmp_path: Path) -> None:
    ran = put_through(EXAMPLES / example, tmp_path, repeats=repeats)
    whole = ran.conclusion.summary.overall

    assert (ran.conclusion.exit_code, ran.conclusion.problems) == (0, [])
    assert (whole.cases, whole.measured) == (cases, cases * repeats)
    assert ran.conclusion.summary.unattributed == 0
    assert set(whole.failures) == {"agent"}

    assert [row.trial for row in ran.of("reference") if not row.passed] == []
    assert len(ran.of("reference")) == cases
    assert {row.case for row in ran.of("null") if row.passed} <= DECLARED_NULL

    assert whole.pass_at["1"] - whole.pass_hat[str(repeats)] > 0.1
    assert {row.case for row in ran.of("subject") if row.passed} == {row.case for row in ran.rows}

    assert [(trial, call.name) for trial, call in ran.calls() if call.turn < 0] == []


def test_tool_calls_carry_what_the_server_answered(tmp_path: Path) -> None:
    only = ("refund/two-orders",)
    ran = put_through(EXAMPLES / "support_desk", tmp_path, only=only, repeats=4, baselines=False)
    tapped = [call for _, call in ran.calls() if call.source == "tool"]
    assert {"find_customer", "get_order", "refund_order"} <= {call.name for call in tapped}
    assert all(call.state == "answered" and call.call_id for call in tapped)
    totals = ['"total_cents": 4900' in str(c.result) for c in tapped if '"1001' in str(c.result)]
    assert all(totals)
    assert all(row.tool_calls >= 2 for row in ran.rows)


@pytest.mark.parametrize(
    ("example", "only"),
    [
        ("support_desk", ("refund/two-of-three", "refund/two-orders", "status/paid")),
        ("coding_fix", ("accounts", "cache", "rows")),
    ],
)
def test_the_same_seed_gives_the_same_trials(
    example: str, only: tuple[str, ...], tmp_path: Path
) -> None:
    first, second = (
        put_through(
            EXAMPLES / example,
            tmp_path,
            only=only,
            repeats=3,
            baselines=False,
            concurrency=concurrency,
        ).outcomes()
        for concurrency in (3, 8)
    )
    assert first == second
    assert {passed for passed, _ in first.values()} == {True, False}


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
