"""Who fails under load but not alone, and how long the slowest take."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.checkers.checker import Checked
from specimens.simulated_load.judging import judged
from specimens.simulated_load.world import World


def trial(
    world: World,
    name: str,
    seconds: float,
    failure: str = "",
    *,
    late: float = 0.0,
    phase: str = "burst",
    role: str = "subject",
) -> None:
    """A trial that was meant to start now, did so `late` and took `seconds`."""
    meant = world.now
    world.now += late
    world.begin(name, role=role)
    world.launched(name, meant, phase)
    world.now += seconds
    world.end(name, failure)
    world.now = meant


def alone(world: World, *cases: str, seconds: float = 1.0, failure: str = "") -> None:
    world.scenario("sequential")
    for case in cases:
        trial(world, f"{case}@sequential:1", seconds, failure)
    world.now += seconds


def check(world: World) -> Checked:
    return judged("burst", world.entries)


def test_each_trial_that_fails_though_its_case_passes_alone_is_a_finding() -> None:
    world = World(0)
    alone(world, "a", "b")
    world.scenario("burst")
    for number, failure in enumerate(("", "timeout", "agent", "limit")):
        trial(world, f"a@burst:{number}", 1.0, failure)
    found = check(world)
    assert (found.verdict, found.found) == ("invalid", 3)
    assert [one.trials for one in found.findings] == [(f"a@burst:{n}",) for n in (1, 2, 3)]
    assert found.measures["case:a"] == 0.25


@pytest.mark.parametrize(("scenario", "found"), [("burst", 1), ("crash_mid_write", 0)])
def test_to_wait_for_the_lock_of_a_dead_holder_is_no_tail(scenario: str, found: int) -> None:
    world = World(0)
    alone(world, "a", seconds=0.05)
    world.scenario(scenario)
    for number in range(4):
        trial(world, f"a@{scenario}:{number}", 2.0, phase="after before_write")
    assert check(world).found == found


@pytest.mark.parametrize("failure", ["infra", "harness"])
def test_what_failed_around_the_agent_was_not_measured(failure: str) -> None:
    world = World(0)
    alone(world, "a")
    world.scenario("burst")
    trial(world, "a@burst:1", 1.0)
    trial(world, "a@burst:2", 1.0, failure)
    found = check(world)
    assert (found.verdict, found.exposure["unmeasured"]) == ("valid", 1)


def test_a_case_that_fails_alone_is_no_finding_and_an_unknown_one_is_unknown() -> None:
    world = World(0)
    alone(world, "a", failure="agent")
    world.scenario("burst")
    trial(world, "a@burst:1", 1.0, "agent")
    found = check(world)
    assert (found.verdict, found.found) == ("unknown", 0)
    assert found.says.startswith("no case passed alone, so nobody could fail for the load alone: ")


def test_a_case_that_passes_alone_tells_beside_one_that_fails_alone() -> None:
    world = World(0)
    alone(world, "a", failure="agent")
    trial(world, "b@sequential:1", 1.0)
    world.scenario("burst")
    trial(world, "a@burst:1", 1.0, "agent")
    trial(world, "b@burst:2", 1.0)
    assert check(world).verdict == "valid"
    trial(world, "new@burst:2", 1.0, "agent")
    assert check(world).verdict == "valid"  # the scenario had ended
    world.scenario("burst")
    trial(world, "new@burst:2", 1.0, "agent")
    assert check(world).verdict == "unknown"


@pytest.mark.parametrize(
    ("params", "seconds", "verdict"),
    [
        ({}, 9.9, "valid"),
        ({}, 10.1, "invalid"),
        ({"tail_ratio": 5}, 5.1, "invalid"),
        ({"tail_ratio": 1}, 1.4, "valid"),  # less than half a second more
        ({"tail_s": 2}, 2.1, "invalid"),
        ({"tail_s": 60}, 20.0, "valid"),
    ],
)
def test_the_tail(params: dict[str, Any], seconds: float, verdict: str) -> None:
    world = World(0)
    alone(world, "a")
    world.scenario("burst", params=params)
    for number in range(20):
        trial(world, f"a@burst:{number}", seconds if number in (7, 8) else 1.0)
    found = check(world)
    assert found.verdict == verdict
    if verdict == "invalid":
        assert found.findings[0].trials == ("a@burst:7", "a@burst:8")


def test_one_slow_trial_is_no_tail() -> None:
    world = World(0)
    alone(world, "a")
    world.scenario("burst")
    for number in range(20):
        trial(world, f"a@burst:{number}", 60.0 if number == 7 else 1.0)
    assert check(world).verdict == "valid"


def test_a_case_that_takes_long_alone_may_take_long() -> None:
    world = World(0)
    alone(world, "quick")
    trial(world, "slow@sequential:2", 30.0)
    world.now += 30
    world.scenario("burst")
    for number in range(10):
        trial(world, f"quick@burst:{number}", 1.0)
        trial(world, f"slow@burst:{number + 10}", 40.0)
    assert check(world).verdict == "valid"


def test_latency_is_from_the_intended_start() -> None:
    world = World(0)
    alone(world, "a")
    world.scenario("burst")
    for number in range(10):
        trial(world, f"a@burst:{number}", 1.0, late=9.0)
    found = check(world)
    assert (found.verdict, found.found) == ("unknown", 0)  # it was the harness that was late
    assert "the harness started trials 9,000 ms late" in found.says
    assert found.measures["latency_p50_ms"] == pytest.approx(10_000)
    assert found.measures["service_p50_ms"] == pytest.approx(1_000)
    assert found.measures["backlog_max"] == 10


def test_judging_is_no_part_of_the_latency() -> None:
    world = World(0)
    alone(world, "a")
    world.scenario("burst")
    meant = world.now
    world.begin("a@burst:1")
    times = {"intended_ns": meant, "started_ns": meant + 0.5, "ended_ns": meant + 2.0}
    world.note("launch", trial="a@burst:1", **{k: round(at * 1e9) for k, at in times.items()})
    world.now += 100
    world.end("a@burst:1")
    measures = check(world).measures
    assert measures["latency_p99_ms"] == pytest.approx(2_000)
    assert measures["service_p99_ms"] == pytest.approx(1_500)


def test_helpers_do_not_count() -> None:
    world = World(0)
    alone(world, "a")
    world.scenario("burst")
    trial(world, "a@burst:1", 1.0)
    trial(world, "a@burst:2", 50.0, "agent", role="helper")
    assert check(world).verdict == "valid"


def test_an_attempt_that_was_tried_again_does_not_count() -> None:
    world = World(0)
    alone(world, "a")
    world.scenario("burst")
    world.begin("a@burst:1")
    attrs = {"passed": False, "failure": "infra", "retried": True}
    world._write("trial", "end", trial="a@burst:1", attrs=attrs)
    trial(world, "a@burst:1~2", 1.0)
    found = check(world)
    assert (found.verdict, found.exposure["trials"]) == ("valid", 1)


def test_alone_it_is_the_baseline_and_without_one_it_is_unknown() -> None:
    world = World(0)
    alone(world, "a")
    assert check(world).verdict == "unknown"
    other = World(0)
    other.scenario("burst")
    trial(other, "a@burst:1", 1.0)
    assert "no sequential scenario" in check(other).says


def test_recovery_after_the_load() -> None:
    world = World(0)
    alone(world, "a")
    world.scenario("drain")
    begun = world.now
    for number in range(10):
        trial(world, f"a@drain:{number}", 4.0, phase="drain")
    for number, seconds in enumerate((4.0, 3.0, 1.5, 1.0)):
        world.now = begun + 0.5 + number
        trial(world, f"a@drain:{10 + number}", seconds, phase="drain")
    assert check(world).measures["recovery_ms"] == 2_000
