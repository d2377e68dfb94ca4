"""Which trials a stage kills in a write, and how its faults are kept."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.faults._kill_points import KillPoint
from proofrig.faults.duplicate_delivery import DuplicateDelivery
from proofrig.faults.fault import Fault
from proofrig.faults.kill import Kill
from proofrig.faults.late_result import LateResult
from proofrig.faults.latency import Latency
from proofrig.faults.written import packs_of, unfolded
from proofrig.scenarios.scenario import Start
from proofrig.suites import Planned, Suite
from proofrig.trials.faulted import disorder, kill_of, scenario_faults, written_faults

SCOPE = "acme/desk/clerk/a"


def planned(**given: Any) -> Planned:
    known = {"trial": "a@burst:1", "case": "a", "tenant": "acme", "seed": 1, "scenario": "burst"}
    return Planned.of(Start(**known | given))


@pytest.mark.parametrize(
    ("on", "killed"),
    [
        ({}, True),
        ({"case": "a", "scenario": "burst", "tenant": "acme", "agent": "clerk"}, True),
        ({"scenario": "ramp"}, False),
        ({"agent": "subject"}, False),
    ],
)
def test_a_fault_kills_whom_it_names(on: dict[str, Any], killed: bool) -> None:
    found = kill_of([Latency(), Kill(point="after_ack", on=on)], 1, planned(), SCOPE)
    assert found == (KillPoint("after_ack", fault="kill", number=1) if killed else None)


def test_a_scenarios_own_kill_comes_first() -> None:
    own = KillPoint("mid_bytes")
    assert kill_of([Kill(point="after_ack")], 1, planned(kill=own), SCOPE) == own
    assert kill_of([], 1, planned(kill=own), SCOPE) == own
    assert kill_of([], 1, planned(), SCOPE) is None


@pytest.mark.parametrize("role", ["null", "reference"])
def test_a_baseline_is_never_killed(role: str) -> None:
    baseline = Planned(f"a:{role}", "a", 0, "acme", 1)
    assert kill_of([Kill(point="after_ack")], 1, baseline, SCOPE) is None


@pytest.mark.parametrize(
    ("faults", "expected"),
    [((), False), ((Latency(),), False), ((Latency(), LateResult()), True)],
)
def test_what_disorders_results(faults: tuple[Fault, ...], expected: bool) -> None:
    assert disorder(faults) is expected


def test_faults_are_kept_as_they_were_written() -> None:
    given = [Latency(ms=5, on={"nth": {"from": 2}}), DuplicateDelivery()]
    assert written_faults(given) == [
        {"kind": "latency", "ms": 5.0, "on": {"nth": {"from": 2}}},
        {"kind": "duplicate_delivery"},
    ]


def test_faults_of_packs_keep_the_pack() -> None:
    kept = written_faults(unfolded(packs_of(["auth-expiry"])))
    assert {one["pack"] for one in kept} == {"auth-expiry"}


def test_faults_of_scenarios_keep_their_numbers_and_not_what_a_scenario_is_made_of() -> None:
    suite = Suite.model_validate(
        {
            "suite": "s",
            "agent": {"type": "command", "argv": ["x"]},
            "faults": [{"kind": "latency"}],
            "cases": [{"id": "a", "task": "x"}],
            "scenarios": {"out_of_order": {"faults": [{"kind": "reset"}]}},
        }
    )
    mixed = suite.scenarios.of("out_of_order")
    assert [one.kind for one in mixed.all_faults()][-1] == "reset"
    (kept,) = scenario_faults(suite)["out_of_order"]
    number = 1 + len(mixed.disturbances())
    assert kept == {"kind": "reset", "on": {"scenario": "out_of_order"}, "number": number}
