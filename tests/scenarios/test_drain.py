"""Drain: a load at once, and a trickle that measures how the system recovers."""

from __future__ import annotations

from proofrig.scenarios.drain import Drain
from proofrig.scenarios.launch import NS
from scenario_facts import facts, parts, shape


def test_the_trickle_begins_while_the_load_is_worked_off() -> None:
    phases = Drain(agents=3, trickle=4, rate=2.0).phases(facts())
    assert shape(phases) == [("drain", 7, 0, None)]
    assert parts(phases[0]) == {"load": 3, "drain": 4}
    assert [start.at_ns for start in phases[0].starts] == [
        *(0, 0, 0),
        *(NS // 2, NS, 3 * NS // 2, 2 * NS),
    ]
