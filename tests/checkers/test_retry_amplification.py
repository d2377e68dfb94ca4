"""Requests over logical requests, per service and layer."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.checkers.checker import Checked
from specimens.simulated_load.judging import judged
from specimens.simulated_load.world import World


def llm(world: World, status: int, *, attempt: int = 1, **said: Any) -> str:
    id = world.reserve("llm.messages", "c@burst:1", attempt=attempt, **said)
    world.now += 0.1
    outcome = "ok" if status == 200 else "fail"
    world.commit(id, "llm.messages", "c@burst:1", outcome=outcome, status=status)
    return id


def burst(**params: Any) -> World:
    world = World(0)
    world.scenario("burst", params=params)
    world.begin("c@burst:1")
    return world


def check(world: World) -> Checked:
    return judged("retry_amplification", world.entries)


def stormy(world: World, requests: int, retries: int) -> None:
    """So many logical requests, each tried again so often and refused each time."""
    for _ in range(requests):
        before = llm(world, 429)
        for number in range(retries):
            before = llm(world, 429, attempt=number + 2, retry_of=before)


def test_a_storm_is_proved_by_the_request_that_was_tried_most() -> None:
    world = burst()
    stormy(world, 10, 1)
    stormy(world, 1, 3)
    found = check(world)
    assert (found.verdict, found.found) == ("invalid", 1)
    assert [one.says for one in found.findings[0].witness] == [
        f"attempt {number}: 429" for number in (1, 2, 3, 4)
    ]
    assert found.measures["max_attempts"] == 4
    assert found.measures["retry_amplification"] == pytest.approx(24 / 11)
    assert found.measures["llm_429_rate"] == 1


@pytest.mark.parametrize(
    ("requests", "retries", "budget", "verdict"),
    [(10, 0, 0.2, "valid"), (5, 1, 0.2, "unknown"), (10, 1, 0.2, "invalid"), (10, 1, 1.0, "valid")],
)
def test_the_budget_and_its_floor(requests: int, retries: int, budget: float, verdict: str) -> None:
    world = burst(retry_budget=budget)
    stormy(world, requests, retries)
    assert check(world).verdict == verdict


def test_what_was_never_refused_tells_nothing_of_retries() -> None:
    world = burst()
    for _ in range(20):
        before = llm(world, 500)
        llm(world, 200, attempt=2, retry_of=before)
    found = check(world)
    assert found.verdict == "unknown"
    assert found.measures["retry_amplification"] == 2


def test_layers_multiply_to_the_whole() -> None:
    world = burst()
    for _ in range(10):
        before = llm(world, 503, said=0)
        before = llm(world, 503, attempt=2, retry_of=before, said=1)
        before = llm(world, 503, attempt=3, retry_of=before, said=0)
        llm(world, 503, attempt=4, retry_of=before, said=1)
        world.note("retry", trial="c@burst:1", why="HTTP 503", wait_ns=1)
    measures = check(world).measures
    assert measures["amplification:llm"] == 5
    assert measures["amplification_sdk"] == 2
    assert measures["amplification_agent"] == 2
    assert measures["amplification_gateway"] == 1.25
    assert measures["rejects"] == 50


def test_a_tool_asked_again_with_other_arguments_is_no_retry() -> None:
    def amplification(again: str) -> float:
        world = burst()
        for number in range(12):
            for arguments in (f"{number}", again or f"{number}"):
                id = world.reserve("tool.find", "c@burst:1", arguments=arguments)
                world.now += 0.1
                error = "rate limit exceeded"
                world.commit(id, "tool.find", "c@burst:1", outcome="fail", error=error)
        found = check(world)
        assert found.measures["tool_429_rate"] == 1
        return found.measures["retry_amplification"]

    assert amplification("") == 2
    assert amplification("other") < 2


def take(world: World, status: int, trial: str = "c@burst:1") -> None:
    id = world.start("quota.take", trial, service="api", limit="bucket", amount=1)
    world.now += 0.1
    outcome = "ok" if status == 200 else "fail"
    world.commit(id, "quota.take", trial, outcome=outcome, status=status)


def test_a_take_after_the_trial_went_on_is_no_retry() -> None:
    at_once, later = burst(), burst()
    for _ in range(6):
        for _ in range(2):
            take(at_once, 429)
        take(at_once, 200)
        for _ in range(3):
            take(later, 429)
            llm(later, 200)
    assert check(at_once).measures["amplification:api.bucket"] == 3
    assert check(later).measures["amplification:api.bucket"] == 1


def test_a_take_in_the_same_tool_call_is_a_retry_and_in_another_is_not() -> None:
    def amplification(*parents: str) -> float:
        world = burst()
        for parent in parents:
            id = world.reserve("quota.take", "c@burst:1", parent=parent)
            world.now += 0.1
            attrs = {"service": "api", "status": 429}
            world.commit(id, "quota.take", "c@burst:1", outcome="fail", **attrs)
        return check(world).measures["amplification:api"]

    assert amplification("t1", "t1", "t2", "t2") == 2
    assert amplification("t1", "t2", "t3", "t4") == 1


def test_takes_that_say_they_are_first_attempts_are_no_retries() -> None:
    world = burst()
    for _ in range(20):
        id = world.start("quota.take", "c@burst:1", service="api", attempt=1)
        world.now += 0.1
        world.commit(id, "quota.take", "c@burst:1", outcome="fail", status=429)
    assert check(world).measures["amplification:api"] == 1


def test_takes_of_other_trials_and_two_at_once_are_no_retries() -> None:
    world = burst()
    ids = [
        world.start("quota.take", trial, service="api", limit="bucket", amount=1)
        for trial in ("c@burst:1", "c@burst:1", "c@burst:2")
    ]
    world.now += 0.1
    for id, trial in zip(ids, ("c@burst:1", "c@burst:1", "c@burst:2"), strict=True):
        world.commit(id, "quota.take", trial, outcome="fail", status=429)
    assert check(world).measures["amplification:api.bucket"] == 1


def test_a_pool_that_sees_the_same_requests_does_not_count_them_twice() -> None:
    world = burst()
    for attempt in (1, 2):
        id = world.start("pool.request", "c@burst:1", service="httpx:1", attempt=attempt)
        llm(world, 429)
        world.commit(id, "pool.request", "c@burst:1", outcome="fail", status=429)
    found = check(world)
    assert found.exposure["requests"] == found.exposure["model_requests"] == 2
    assert found.exposure["tool_requests"] == 0, "what a pool saw is no request to a tool"
    assert found.measures["amplification:httpx:1"] == 2


def test_requests_are_counted_by_what_they_go_to() -> None:
    world = burst()
    for _ in range(3):
        llm(world, 200)
    for _ in range(2):
        take(world, 429)
    id = world.reserve("tool.find", "c@burst:1", arguments="a")
    world.now += 0.1
    world.commit(id, "tool.find", "c@burst:1", outcome="ok")
    exposure = check(world).exposure
    assert (exposure["requests"], exposure["model_requests"], exposure["tool_requests"]) == (
        *(6, 3, 3),
    )


def test_what_was_denied_before_it_left_is_no_request() -> None:
    world = burst()
    world._write("reserve", "llm.messages", trial="c@burst:1", id="d1", attrs={"decision": "deny"})
    assert check(world).exposure["requests"] == 0
