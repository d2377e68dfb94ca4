"""Faults that aim at nothing of the suite are told where they stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofrig.errors import SuiteError
from proofrig.suites import load_suite

SUITE = """\
suite: shop
agent: {{type: python, target: agent:run}}
tenants: {{acme: 1, globex: 2}}
services: [{{type: lock, name: ledger}}]
tools: [{{type: python, target: "tools:refund"}}]
faults: [{faults}]
cases:
  - id: refund
    task: hi
    faults: [{own}]
    verify: [{{type: contains, all: [hi]}}]
"""


def load(path: Path, faults: str = "", own: str = "") -> list[str]:
    for name in ("agent", "tools"):
        (path / f"{name}.py").write_text("def run(task): ...\ndef refund(): ...\n")
    (path / "suite.yaml").write_text(SUITE.format(faults=faults, own=own))
    try:
        load_suite(path / "suite.yaml")
    except SuiteError as error:
        return [str(problem) for problem in error.problems]
    return []


@pytest.mark.parametrize(
    "on",
    [
        *("{}", "{case: ref*}", "{tenant: [acme, glob*]}", "{service: ledger, at: service}"),
        *("{tool: refund}", "{nth: {from: 2}}", "{model: anything}", "{server: tools}"),
    ],
)
def test_what_is_meant_by_something_is_right(tmp_path: Path, on: str) -> None:
    assert load(tmp_path, f"{{kind: latency, on: {on}}}") == []


@pytest.mark.parametrize(
    ("on", "said"),
    [
        ("{case: refnd}", "faults[0].on.case: nothing of the suite is meant by 'refnd'"),
        ("{tenant: [acme, glbex]}", "faults[0].on.tenant: nothing"),
        ("{service: ledgr}", "faults[0].on.service: nothing"),
        ("{tool: refnd}", "faults[0].on.tool: nothing"),
        ("{scenario: burts}", "faults[0].on.scenario: nothing"),
        ("{server: tolls}", "faults[0].on.server: nothing"),
    ],
)
def test_what_means_nothing_is_a_slip(tmp_path: Path, on: str, said: str) -> None:
    (problem,) = load(tmp_path, f"{{kind: latency, on: {on}}}")
    assert said in problem
    assert "suite.yaml:6:" in problem
    assert "did you mean" in problem


def test_a_case_may_not_aim_at_cases(tmp_path: Path) -> None:
    (problem,) = load(tmp_path, own="{kind: latency, on: {case: refund}}")
    assert "a case's faults strike its own trials" in problem
    assert "suite.yaml:10:" in problem


def test_a_case_is_checked_as_the_suite_is(tmp_path: Path) -> None:
    (problem,) = load(tmp_path, own="flaky-network, {kind: latency, on: {tenant: x}}")
    assert "case refund: faults[1].on.tenant" in problem


@pytest.mark.parametrize("kind", ["cache_flush", "lock_expiry"])
def test_a_fault_of_a_service_that_is_not_there_is_a_slip(tmp_path: Path, kind: str) -> None:
    (problem,) = load(tmp_path, f"{{kind: {kind}, service: ledgr}}")
    assert "faults[0].service: the suite has no service 'ledgr'" in problem
    assert "did you mean 'ledger'" in problem


def test_a_packs_aim_is_looked_at_too(tmp_path: Path) -> None:
    (problem,) = load(tmp_path, "{pack: flaky-network, on: {tool: refnd}}")
    assert "faults[0].on.tool: nothing" in problem
