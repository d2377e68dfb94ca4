"""Crash mid write: at each point somebody is killed, and others come after."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from proofrig.faults._kill_points import POINTS, KillPoint
from proofrig.scenarios.crash_mid_write import CrashMidWrite
from scenario_facts import TENANTS, facts, parts, shape


def test_each_point_has_its_victims_and_then_those_who_come_later() -> None:
    given = CrashMidWrite(agents=2, victims=1, points=("mid_bytes", "after_ack"), nth=3, bytes=4)
    phases = given.phases(facts())
    assert shape(phases) == [
        ("crash mid_bytes", 1, 1, None),
        ("after mid_bytes", 2, 0, None),
        ("crash after_ack", 1, 1, None),
        ("after after_ack", 2, 0, None),
    ]
    assert [parts(phase) for phase in phases] == [{"victim": 1}, {"later": 2}] * 2
    [victim] = phases[0].starts
    assert (victim.kill, victim.role) == (KillPoint("mid_bytes", 3, "*", 4), "helper")
    assert {(start.kill, start.role) for start in phases[1].starts} == {(None, "subject")}


def test_those_who_come_later_belong_to_the_victims_tenant_and_points_to_all() -> None:
    phases = CrashMidWrite().phases(facts())
    tenants = [{start.tenant for start in phase.starts} for phase in phases]
    assert all(len(each) == 1 for each in tenants)
    assert tenants[::2] == tenants[1::2]
    assert set.union(*tenants) == set(TENANTS)
    assert [phase.name for phase in phases[::2]] == [f"crash {point}" for point in POINTS]


def test_a_point_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError):
        CrashMidWrite.model_validate({"points": ["mid_byte"]})
    with pytest.raises(ValidationError):
        CrashMidWrite(points=())
