"""What gateways share: the live trials and the run's clock."""

from __future__ import annotations

import time

from proofrig.gateways.gateway import Binding, Bindings, RunClock

ONE = Binding("one", "case:1", "acme", "acme/one")
TWO = Binding("two", "case:2", "acme", "acme/two")


def bindings() -> Bindings:
    made = Bindings()
    made.add(ONE)
    made.add(TWO)
    return made


def test_a_trial_is_live_then_ended_and_never_both() -> None:
    made = bindings()
    assert (made.live("one"), made.ended("one"), len(made)) == (ONE, None, 2)
    assert made.end("one") == ONE
    assert (made.live("one"), made.ended("one"), len(made)) == (None, ONE, 1)
    assert (made.live("nobody"), made.ended("nobody"), made.end("nobody")) == (None, None, None)


def test_the_end_of_a_trial_is_told_once() -> None:
    made, heard = bindings(), list[str]()
    made.on_end.append(lambda binding: heard.append(binding.trial))
    made.end("one")
    made.end("one")
    assert heard == ["case:1"]


def test_ended_trials_are_remembered_in_a_bounded_number() -> None:
    made = Bindings()
    for number in range(10_001):
        made.add(Binding(f"t{number}", f"case:{number}", "acme", "acme"))
        made.end(f"t{number}")
    assert made.ended("t0") is None
    assert made.ended("t1") is not None and made.ended("t10000") is not None


def test_the_clock_counts_from_its_origin() -> None:
    now = time.monotonic_ns()
    first, second = RunClock(now)(), RunClock(now - 1_000_000_000)()
    assert first >= 0 and second >= 1_000_000_000
