"""Gate results in, rows of a table out."""

from __future__ import annotations

import math
from typing import Any

import pytest

from proofrig.comparisons.gate import GateResult, State
from proofrig.reports import gates


def gate(rule: str, state: State = "pass", **more: Any) -> GateResult:
    return GateResult(rule, state, "because", **more)


ACCURACY = gate(
    "accuracy >= 70 %", figure="accuracy", value=0.729, bound=0.7, low=0.545, high=0.858
)
WAIT = gate("p99(pool_wait)<250ms", figure="p99(pool_wait)", value=3e8, bound=2.5e8)
FELL = gate("regression: accuracy", figure="accuracy", low=-0.2, high=-0.1, baseline=0.85)
OPEN = gate("cost_per_trial <= $0.01", figure="cost_per_trial", bound=0.01)
WORDS = gate("as recorded")


def test_failed_gates_come_first_then_what_could_not_be_told() -> None:
    states: list[State] = ["pass", "inconclusive", "fail", "pass", "fail"]
    found = gates.ordered(gate(str(n), state) for n, state in enumerate(states))
    assert [one.rule for one in found] == ["2", "4", "1", "0", "3"]


@pytest.mark.parametrize(
    ("one", "value", "bound", "interval"),
    [
        (ACCURACY, "72.9 %", "70.0 %", "54.5 to 85.8 %"),
        (WAIT, "300 ms", "250 ms", ""),
        (FELL, "", "", ""),
        (OPEN, "not measured", "$0.0100", ""),
        (WORDS, "", "", ""),
    ],
    ids=["accuracy", "wait", "regression", "open", "words"],
)
def test_values_and_bounds_are_in_the_unit_of_the_figure(
    one: GateResult, value: str, bound: str, interval: str
) -> None:
    assert (gates.value(one), gates.bound(one), gates.interval(one)) == (value, bound, interval)


def test_a_value_is_drawn_beside_its_bound_and_the_failing_side_is_shaded() -> None:
    drawn = gates.drawn(ACCURACY)
    assert drawn is not None and drawn.low is not None and drawn.high is not None
    assert 0 < drawn.low < drawn.bound < drawn.at < drawn.high < 100
    assert drawn.shade == (0.0, drawn.bound)
    drawn = gates.drawn(WAIT)
    assert drawn is not None
    assert drawn.bound < drawn.at and drawn.shade == (drawn.bound, 100.0)
    assert (drawn.low, drawn.high) == (None, None)


def test_equality_has_no_side_and_zero_is_not_gone_below() -> None:
    none = gate("leak_rate == 0", figure="leak_rate", value=0.0, bound=0.0, low=0.0, high=0.01)
    drawn = gates.drawn(none)
    assert drawn is not None
    assert (drawn.at, drawn.bound, drawn.low, drawn.shade) == (0.0, 0.0, 0.0, (0.0, 0.0))


@pytest.mark.parametrize(
    "one",
    [
        *(FELL, OPEN, WORDS),
        gate("x == 0", figure="x", value=0.0, bound=0.0),
        gate("x < 1", figure="x", value=math.inf, bound=1.0),
    ],
    ids=["regression", "open", "words", "no span", "infinite"],
)
def test_what_cannot_be_drawn_is_not(one: GateResult) -> None:
    assert gates.drawn(one) is None


def test_a_rule_names_the_scenario_that_it_looks_at_once() -> None:
    assert gates.rule(gate("leak_rate == 0", scenario="burst")) == "leak_rate == 0 (burst)"
    assert gates.rule(gate("burst:leak_rate == 0", scenario="burst")) == "burst:leak_rate == 0"
    assert [gates.op_of(one) for one in (ACCURACY, WAIT, FELL)] == [">=", "<", None]
