"""Whether what was to be launched was launched, in time."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from proofrig.checkers.checker import Checked
from specimens.simulated_load.judging import judged
from specimens.simulated_load.world import World


def check(
    starts: Iterable[float],
    *,
    target_ms: float = 0.0,
    arrivals: Iterable[float] = (),
    intended: float | None = None,
    lag_ms: Iterable[float] = (),
    seconds: float = 1.0,
    scenario: str = "burst",
) -> Checked:
    """Trials that started at `starts` seconds; their first requests arrived at `arrivals`."""
    world = World(0)
    world.scenario(scenario)
    target = {}
    if target_ms:
        target = dict.fromkeys(("target_ns", "arrival_target_ns"), round(target_ms * 1e6))
    world.note("phase", phase="p", state="begin", **target)
    begun = world.now
    for number, at in enumerate(starts):
        world.now = begun + at
        world.begin(f"c@burst:{number}")
        world.launched(f"c@burst:{number}", begun + (at if intended is None else intended), "p")
        world.now += seconds
        world.end(f"c@burst:{number}")
    for number, at in enumerate(arrivals):
        world.note("arrival", trial=f"c@burst:{number}", arrived_ns=round((begun + at) * 1e9))
    for ms in lag_ms:
        world.note("lag", p99_ns=round(ms * 1e6), max_ns=0)
    return judged("launch", world.entries)


def test_starts_within_the_target() -> None:
    found = check([0.0, 0.004, 0.09], target_ms=100)
    assert found.verdict == "valid"
    assert found.measures["start_spread_ms"] == pytest.approx(90)


@pytest.mark.parametrize(
    ("starts", "arrivals", "word"),
    [([0.0, 0.2], [], "starts were 200.0 ms"), ([0.0, 0.0], [0.0, 0.2], "requests arrived 200.0")],
)
def test_a_missed_spread(starts: list[float], arrivals: list[float], word: str) -> None:
    found = check(starts, target_ms=100, arrivals=arrivals)
    assert (found.verdict, found.found) == ("unknown", 0)
    assert word in found.says


def test_without_a_target_any_spread_will_do() -> None:
    assert check([0.0, 9.0]).verdict == "valid"


def test_a_target_with_nothing_launched_is_missed() -> None:
    assert check([], target_ms=100).verdict == "unknown"


def test_late_starts_make_the_harness_the_bottleneck() -> None:
    late = check([0.3] * 10, intended=0.0)
    assert late.verdict == "unknown"
    assert "the harness is the bottleneck" in late.says
    assert late.measures["start_delay_p99_ms"] == pytest.approx(300)
    assert check([0.3] * 10, intended=0.0, seconds=4.0).verdict == "valid"
    assert check([0.004] * 10, intended=0.0, seconds=0.01).verdict == "valid"  # 5 ms are allowed
    assert check([0.3] * 10, intended=0.0, scenario="sequential").verdict == "valid"


@pytest.mark.parametrize(("lag", "verdict"), [([1.0, 19.0], "valid"), ([1.0, 21.0], "unknown")])
def test_lag_of_the_rig(lag: list[float], verdict: str) -> None:
    found = check([0.0], lag_ms=lag)
    assert found.verdict == verdict
    assert found.measures["lag_p99_ms"] == lag[-1]


def test_one_bad_second_in_two_hundred_is_forgiven() -> None:
    assert check([0.0], lag_ms=[1.0] * 199 + [80.0]).verdict == "valid"


def test_a_first_action_stands_for_an_arrival_that_was_not_seen() -> None:
    world = World(0)
    world.scenario("burst")
    world.note("phase", phase="p", state="begin", target_ns=100_000_000)
    for number in range(2):
        world.begin(f"c@burst:{number}")
        world.launched(f"c@burst:{number}", 0.0, "p")
    for number, at in enumerate((0.0, 0.5)):
        world.now = at
        id = world.start("kv.get", f"c@burst:{number}", service="memory", key="k")
        world.commit(id, "kv.get", f"c@burst:{number}")
    assert judged("launch", world.entries).measures["arrival_spread_ms"] == pytest.approx(500)


def test_waves_of_one_name_are_told_apart() -> None:
    world = World(0)
    world.scenario("burst")
    for wave in range(3):
        world.now = float(wave)
        world.note("phase", phase="wave", state="begin", target_ns=10_000_000)
        for number in range(2):
            world.begin(f"c@burst:{wave}{number}")
            world.launched(f"c@burst:{wave}{number}", world.now, "wave")
        world.note("phase", phase="wave", state="end")
    found = judged("launch", world.entries)
    assert (found.verdict, found.exposure["targets"]) == ("valid", 3)
