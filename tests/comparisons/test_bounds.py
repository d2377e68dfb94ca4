"""A reading against a bound: met, not met, or not to be said."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from proofrig.comparisons.bounds import Held, hold, interval_of, is_open, meets
from proofrig.comparisons.readings import Reading
from proofrig.figures import find
from proofrig.stats.intervals import Interval
from proofrig.thresholds import Op, parse


def reading(name: str = "timeout_rate", value: float | None = 0.8, **more: Any) -> Reading:
    bare = name.partition("(")[2].rstrip(")") or name
    return Reading(name=name, figure=find(bare), value=value, **more)


def counted(hits: int, n: int, **more: Any) -> Reading:
    return reading(value=hits / n, hits=hits, n=n, of="trials", **more)


def held(text: str, one: Reading, *, sure: bool = False, base: float | None = None) -> Held:
    baseline = {} if base is None else {one.scenario: {one.name: base}}
    return hold(parse(text), one, baseline, sure=sure)


@pytest.mark.parametrize(
    ("value", "met"),
    [
        (1.0, {"<", "<=", "!="}),
        (2.0, {"<=", ">=", "=="}),
        (2.0 + 1e-12, {"<=", ">=", "=="}),  # rounding is no difference
        (3.0, {">", ">=", "!="}),
    ],
)
def test_what_meets_a_bound(value: float, met: set[str]) -> None:
    assert {op for op in get_args(Op) if meets(op, value, 2.0)} == met


@pytest.mark.parametrize(
    ("low", "high", "is_opened"),
    [
        (1.0, 3.0, {"<", "<=", ">", ">=", "==", "!="}),
        (1.0, 1.5, set()),
        (2.0, 2.0, set()),
        (1.0, 2.0, {"<", ">=", "==", "!="}),
        (2.0, 3.0, {"<=", ">", "==", "!="}),
    ],
)
def test_what_is_open(low: float, high: float, is_opened: set[str]) -> None:
    assert {op for op in get_args(Op) if is_open(op, low, high, 2.0)} == is_opened


@pytest.mark.parametrize(
    ("text", "one", "met"),
    [
        ("x >= 80 %", counted(8, 10), True),
        ("x >= 81 %", counted(8, 10), False),
        ("x >= 80 %", counted(8, 9, missing=1), True),
        ("x >= 85 %", counted(8, 9, missing=1), None),
        ("x >= 95 %", counted(8, 9, missing=1), False),
        ("x == 0", counted(0, 9), True),
        ("x == 0", counted(0, 9, missing=1), None),
        ("x == 0", counted(1, 9, missing=1), False),
        ("x >= 80 %", reading(value=None, why="nobody looked"), None),
        ("x >= 80 %", counted(8, 10, doubt="nothing was there"), None),
        ("x >= 90 %", counted(8, 10, doubt="nothing was there"), False),
        ("x >= 80 %", counted(8, 10, void="it was cut off"), None),
        ("x >= 90 %", counted(8, 10, void="it was cut off"), None),
        ("x == 0", reading("lost_updates", 2.0, void="it was cut off"), False),
        ("x == 2", reading("lost_updates", 2.0, void="it was cut off"), None),
        ("x == 0", reading("lost_writes", 2.0, void="it was cut off"), None),
    ],
)
def test_what_is_not_known_decides_nothing(text: str, one: Reading, met: bool | None) -> None:
    assert held(text, one).met is met


@pytest.mark.parametrize(
    ("text", "hits", "met"),
    [
        ("x >= 50 %", 95, True),
        ("x >= 90 %", 95, None),  # 88.8 % to 97.8 %
        ("x >= 99 %", 95, False),
        ("x <= 5 %", 0, True),
        ("x <= 2 %", 0, None),  # at most 2.95 %
        ("x <= 1 %", 5, False),
    ],
)
def test_who_must_be_sure_goes_by_the_interval(text: str, hits: int, met: bool | None) -> None:
    assert held(text, counted(hits, 100), sure=True).met is met


def test_to_be_sure_of_what_has_no_interval_is_not_possible() -> None:
    found = held("x < 3", reading("cost", 2.0), sure=True)
    assert found.met is None
    assert found.says.endswith("and its interval is not known")


@pytest.mark.parametrize(
    ("text", "base", "met", "bound"),
    [
        ("x <= 2 * baseline", 0.5, True, 1.0),
        ("x <= baseline + 10 %", 0.5, False, 0.6),
        ("x <= 2 * baseline", 0.0, False, 0.0),
        ("x <= 2 * baseline", None, None, None),
        ("x <= 90 %", None, True, 0.9),
    ],
)
def test_a_bound_may_rest_on_a_baseline(
    text: str, base: float | None, met: bool | None, bound: float | None
) -> None:
    found = held(text, counted(8, 10), base=base)
    assert (found.met, found.bound, found.base) == (met, bound, base)


def test_a_baseline_of_nothing_is_told() -> None:
    found = held("x <= 2 * baseline", counted(8, 10), base=0.0)
    assert found.evidence == ["the baseline is 0, and so is every multiple of it"]


def test_a_baseline_of_another_scenario_is_none() -> None:
    one = counted(8, 10, scenario="burst")
    found = hold(parse("x <= baseline"), one, {"": {"timeout_rate": 0.9}}, sure=False)
    assert found.met is None
    assert found.says == (
        "80 % (8 of 10 trials; 95 %: 49 % to 94.3 %) in burst, but the baseline has no "
        "timeout_rate in burst"
    )
    found = hold(parse("x <= baseline"), one, {}, sure=False, lack="nobody kept one")
    assert found.says.endswith("in burst, but nobody kept one")


@pytest.mark.parametrize(
    ("text", "one", "says"),
    [
        (
            "x >= 90 %",
            counted(184, 200),
            "92 % (184 of 200 trials; 95 %: 87.4 % to 95 %) against 90 %",
        ),
        (
            "x >= 0.9",
            counted(184, 200),
            "0.92 (184 of 200 trials; 95 %: 0.874 to 0.95) against 0.9",
        ),
        ("x == 0", counted(0, 40), "0 % (0 of 40 trials; at most 7.22 % at 95 %) against 0 %"),
        (
            "x > 0.5",
            reading("pass_hat_k", 0.64, hits=1.92, n=3, of="cases"),
            "0.64 (over 3 cases) against 0.5",
        ),
        (
            "x < 250ms",
            reading("p99(pool_wait)", 180.4e6, n=20, of="short requests", scenario="burst"),
            "180 ms (of 20 short requests) in burst against 250 ms",
        ),
        (
            "x >= 90 %",
            counted(8_996, 10_000),
            "89.96 % (8,996 of 10,000 trials; 95 %: 89.4 % to 90.5 %) against 90 %",
        ),
        ("x <= $1.5", reading("cost", 2.0, n=12, of="trials"), "$2 (over 12 trials) against $1.5"),
        ("x <= 3", reading("lost_updates", 2.0), "2 against 3"),
        (
            "x >= 85 %",
            counted(8, 9, missing=1),
            "88.9 % (8 of 9 trials; 95 %: 56.5 % to 98 %) against 85 %, but 1 of 10 were not "
            "measured, enough to decide it",
        ),
    ],
)
def test_a_message_has_value_interval_and_bound(text: str, one: Reading, says: str) -> None:
    assert held(text, one).says == says


def test_a_message_has_the_baselines_figure() -> None:
    found = held("x <= 1.5 * baseline + 1 %", counted(8, 10), base=0.5)
    assert found.says == (
        "80 % (8 of 10 trials; 95 %: 49 % to 94.3 %) against 76 %, 1.5 * baseline + 1 % of 50 %"
    )


def test_who_must_be_sure_is_told_what_it_would_take() -> None:
    found = held("x >= 90 %", counted(95, 100), sure=True)
    assert found.says.endswith("and the interval does not clear the bound")
    assert found.evidence == ["about 1.5 times as many trials would clear it, if the rate stays"]
    assert held("x >= 90 %", counted(90, 100), sure=True).evidence == []


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ((counted(8, 10), "x >= 50 %"), (counted(6, 10), "x >= 50 %")),
        ((counted(8, 10), "x >= 50 %"), (reading(value=None), "x >= 50 %")),
        ((reading(value=None), "x >= 50 %"), (counted(4, 10), "x >= 50 %")),
        ((counted(1, 10), "x <= 50 %"), (counted(2, 10), "x <= 50 %")),
        ((counted(1, 10), "x == 0"), (counted(2, 10), "x == 0")),
    ],
)
def test_the_worse_of_two(better: tuple[Reading, str], worse: tuple[Reading, str]) -> None:
    one, other = (held(text, reading).badness for reading, text in (better, worse))
    assert one < other


@pytest.mark.parametrize(
    ("one", "ends"),
    [
        (counted(0, 40), (0.0, 0.0722)),
        (counted(20, 40), (0.3520, 0.6480)),
        (reading("leak_rate", 0.5, hits=20, n=40), (0.3380, 0.6620)),  # exact, and wider
        (reading("accuracy", 0.5, interval=Interval(0.5, 0.1, 0.9)), (0.1, 0.9)),
    ],
)
def test_the_interval_of_a_share(one: Reading, ends: tuple[float, float]) -> None:
    found = interval_of(one)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(ends, abs=1e-4)


@pytest.mark.parametrize(
    "one", [reading("cost", 2.0), reading("tool_429_rate", 0.1, n=30), reading(value=None)]
)
def test_what_has_no_interval(one: Reading) -> None:
    assert interval_of(one) is None
