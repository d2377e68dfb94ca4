"""Results that were believed and should not have been."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.checkers.checker import Checked
from specimens.simulated_load.judging import judged
from specimens.simulated_load.world import World

TRIAL = "c@out_of_order:1"


class Told:
    """A trial, told step by step."""

    def __init__(self) -> None:
        self.world = World(0)
        self.world.scenario("out_of_order")
        self.world.begin(TRIAL)

    def call(self, arguments: str = "x", outcome: str = "ok", fault: str = "") -> str:
        id = self.world.reserve("tool.find", TRIAL, arguments=arguments)
        self.world.now += 1
        if fault:
            kind, _, what = fault.partition(" ")
            self.world.fault(kind, id, TRIAL, what=what)
        self.world.commit(id, "tool.find", TRIAL, outcome=outcome)
        return id

    def note(self, name: str, **attrs: Any) -> None:
        self.world.now += 1
        self.world.note(name, trial=TRIAL, **attrs)

    def check(self) -> Checked:
        return judged("stale_result", self.world.entries)


def test_a_superseded_call_that_is_accepted_is_stale() -> None:
    told = Told()
    first, second = told.call(fault="late_result"), told.call()
    told.note("superseded", call=first, by=second)
    told.note("accepted", call=first)
    found = told.check()
    assert [one.kind for one in found.findings] == ["stale_result"]
    assert [one.name for one in found.findings[0].witness] == [
        "tool.find",
        "late_result",
        "superseded",
        "accepted",
    ]
    assert found.measures["stale_accepted"] == 1


def test_what_was_superseded_after_it_was_accepted_is_fine() -> None:
    told = Told()
    first = told.call(fault="late_result")
    told.note("accepted", call=first)
    told.note("superseded", call=first)
    assert told.check().verdict == "valid"


@pytest.mark.parametrize(("outcome", "found"), [("unknown", 1), ("fail", 0), ("ok", 0)])
def test_a_call_of_which_nobody_saw_the_end(outcome: str, found: int) -> None:
    told = Told()
    told.note("accepted", call=told.call(outcome=outcome))
    assert told.check().found == found


@pytest.mark.parametrize(
    ("versions", "same", "found"),
    [((1, 2), True, 0), ((2, 2), True, 0), ((2, 1), True, 1), ((2, 1), False, 0)],
)
def test_versions_of_the_same_call_do_not_go_back(
    versions: tuple[int, int], same: bool, found: int
) -> None:
    told = Told()
    for number, version in enumerate(versions):
        call = told.call("x" if same else f"{number}")
        told.note("accepted", call=call, version=version)
    assert told.check().found == found


def test_taken_for_another_and_stale_is_one_result() -> None:
    told = Told()
    one, other = told.call("a"), told.call("b")
    told.note("superseded", call=one)
    told.note("accepted", call=one, given_as=other)
    found = told.check()
    assert [finding.kind for finding in found.findings] == ["misbound_result", "stale_result"]
    assert found.measures["stale_accepted"] == 1


def test_twice_counts_only_where_it_was_delivered_twice() -> None:
    twice = "duplicate_delivery"
    for fault, found in ((f"{twice} result", 1), (f"{twice} request", 0), ("", 0)):
        told = Told()
        call = told.call(fault=fault)
        told.note("accepted", call=call)
        told.note("accepted", call=call)
        assert told.check().found == found


def test_exposure_is_disorder_and_somebody_who_accepts() -> None:
    quiet, deaf = Told(), Told()
    quiet.note("accepted", call=quiet.call())
    deaf.call(fault="late_result")
    assert (quiet.check().verdict, deaf.check().verdict) == ("unknown", "unknown")
    assert "no agent said what it accepted" in deaf.check().says


@pytest.mark.parametrize(
    ("delivery", "who", "second", "found"),
    [
        (2, "c@out_of_order:2", "ok", 1),
        (2, "c@out_of_order:2", "fail", 0),
        (2, TRIAL, "ok", 0),  # it says so again
        (1, "c@out_of_order:2", "ok", 0),  # it was not delivered again
    ],
)
def test_a_message_done_twice(delivery: int, who: str, second: str, found: int) -> None:
    told = Told()
    world = told.world
    for name, trial, outcome, attrs in (
        ("queue.receive", who, "ok", {"message": "m", "delivery": delivery}),
        ("queue.ack", TRIAL, "ok", {}),
        ("queue.ack", who, second, {}),
    ):
        id = world.start(name, trial, service="jobs", message="m")
        world.now += 1
        world.commit(id, name, trial, outcome=outcome, **attrs)
    assert [one.kind for one in told.check().findings] == ["duplicate_effect"] * found


def test_a_call_may_be_named_as_the_model_does() -> None:
    told = Told()
    id = told.world.reserve("tool.find", TRIAL, arguments="x", call_id="call_1")
    told.note("superseded", call=id)
    told.world.commit(id, "tool.find", TRIAL)
    told.note("accepted", call="call_1", given_as=id)
    assert [one.kind for one in told.check().findings] == ["stale_result"]


def test_a_name_that_several_calls_have_proves_nothing() -> None:
    told = Told()
    ids = [
        told.world.reserve("tool.find", TRIAL, arguments="x", call_id="call_1") for _ in range(2)
    ]
    told.note("superseded", call=ids[0], by=ids[1])
    for id in ids:
        told.world.commit(id, "tool.find", TRIAL)
    told.note("accepted", call="call_1")
    assert told.check().found == 0


def test_an_acceptance_that_is_told_later_counts_when_it_was() -> None:
    told = Told()
    first = told.call()
    at = round(told.world.now * 1e9)
    told.note("superseded", call=first)
    told.note("accepted", call=first, at_ns=at)
    assert told.check().found == 0


def test_an_acceptance_that_two_tell_of_is_one() -> None:
    told = Told()
    call = told.call(fault="duplicate_delivery result")
    told.note("accepted", call=call)
    told.world._tenants.clear()  # the agent's own word names no tenant
    told.note("accepted", call=call)
    found = told.check()
    assert (found.found, found.exposure["accepted"]) == (0, 1)
