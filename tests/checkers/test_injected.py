"""Declared faults and entries in, what struck out."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.checkers.injected import Injected, Struck, declared_of
from proofrig.history.action import Entry


def begin(trial: str, role: str = "subject", tenant: str = "acme", **attrs: Any) -> Entry:
    told = {"case": trial.partition("@")[0].partition(":")[0], "role": role} | attrs
    return Entry(0, 0, "trial", "begin", trial, tenant, "", "", told)


def fault(trial: str, number: int, title: str, at: str = "llm") -> Entry:
    attrs = {"fault": title, "number": number, "at": at, "nth": 1}
    return Entry(0, 1, "fault", title, trial, "acme", "", "a", attrs)


def counted(written: list[dict[str, Any]], *entries: Entry) -> list[Struck]:
    injected = Injected(declared_of(written))
    for entry in entries:
        injected.step(entry)
    return injected.result()


def test_strikes_are_counted_by_trial_and_by_surface() -> None:
    [one, other] = counted(
        [{"kind": "latency"}, {"kind": "reset", "name": "cut"}],
        *(begin("a:1"), begin("b:1"), fault("a:1", 1, "cut"), fault("a:1", 1, "cut", "tool")),
    )
    assert (other.count, other.trials, other.at) == (2, {"a:1": 2}, {"llm": 1, "tool": 1})
    assert (other.spared, other.missed) == (["b:1"], False)
    assert (one.count, one.spared, one.missed) == (0, ["a:1", "b:1"], True)


def test_faults_of_one_name_are_told_apart_by_their_number() -> None:
    found = counted([{"kind": "rate_limit"}, {"kind": "rate_limit"}], fault("a:1", 1, "rate_limit"))
    assert [(one.fault.label, one.count) for one in found] == [
        ("rate_limit #1", 0),
        ("rate_limit #2", 1),
    ]


@pytest.mark.parametrize(
    ("on", "missed"),
    [
        ({}, True),
        ({"case": "a"}, True),
        ({"case": ["x", "a*"]}, True),
        ({"case": "b"}, False),
        ({"scenario": "burst"}, False),
        ({"tenant": "globex"}, False),
        ({"tenant": "ac*"}, True),
    ],
)
def test_a_fault_that_is_aimed_elsewhere_has_not_failed_to_fire(
    on: dict[str, Any], missed: bool
) -> None:
    [found] = counted([{"kind": "reset", "on": on}], begin("a:1"))
    assert found.missed is missed


def test_baselines_meet_no_faults() -> None:
    [found] = counted([{"kind": "reset"}], begin("a:null", "null"), begin("a:ref", "reference"))
    assert (found.spared, found.missed) == ([], False)


def test_what_struck_without_being_declared_is_shown_too() -> None:
    [declared, other] = counted([{"kind": "reset"}], fault("a:1", 7, "pause"))
    assert (declared.count, other.fault.title, other.fault.number) == (0, "pause", -1)


def test_of_a_pack_that_struck_no_fault_has_failed_to() -> None:
    pack = [{"kind": "reset", "pack": "flaky"}, {"kind": "stall", "pack": "flaky"}]
    written = [{"kind": "latency"}, *pack, *pack]
    found = counted(written, begin("a:1"), fault("a:1", 1, "reset"))
    assert [(one.fault.unit, one.missed) for one in found] == [
        (0, True),
        (1, False),
        (1, False),
        (3, True),
        (3, True),
    ]


def test_faults_of_scenarios_are_told_apart_by_the_scenario() -> None:
    on = {"on": {"scenario": "burst"}}, {"on": {"scenario": "ramp"}}
    declared = declared_of(
        [{"kind": "latency"}],
        {
            "burst": [{"kind": "reset", "number": 1} | on[0]],
            "ramp": [{"kind": "reset", "number": 1} | on[1]],
        },
    )
    injected = Injected(declared)
    for entry in (
        begin("a@burst:1", scenario="burst"),
        begin("a@ramp:1", scenario="ramp"),
        fault("a@ramp:1", 1, "reset"),
    ):
        injected.step(entry)
    found = [(one.fault.label, one.count, one.missed) for one in injected.result()]
    assert found == [
        ("latency", 0, True),
        ("reset #2 of burst", 0, True),
        ("reset #2 of ramp", 1, False),
    ]
    assert "number" not in declared[1].written
