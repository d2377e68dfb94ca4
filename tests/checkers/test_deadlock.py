"""Deadlocks: histories of locks in, verdicts out."""

from __future__ import annotations

import pytest

from checkers.shared_things import check, end, give, note, take
from proofrig.checkers.deadlock import Deadlock, merged

HELD = [take("t", 0, 1, "a", id="ta"), take("u", 0, 1, "b", id="ub")]
NEVER = [take("t", 2, None, "b", id="tb"), take("u", 3, None, "a", id="ua")]
LATER = end("w", 9_000)


def test_two_that_wait_for_each_other_and_are_never_answered() -> None:
    checked = check(Deadlock, *HELD, *NEVER, LATER)
    assert checked.verdict == "invalid"
    [finding] = checked.findings
    assert finding.kind == "deadlock"
    assert {one.id for one in finding.witness} == {"ta", "ub", "tb", "ua"}
    assert finding.trials == ("t", "u")
    assert checked.measures["deadlocks"] == 1.0


def test_one_gives_up_and_the_other_goes_on() -> None:
    waits = [
        take("t", 2, 8_000, "b", outcome="fail", holder="u"),
        give("t", 8_001, 8_002, "a"),
        take("u", 3, 8_003, "a"),
    ]
    assert check(Deadlock, *HELD, *waits).found == 1


def test_three_in_a_ring_and_one_alone() -> None:
    held = [*HELD, take("v", 0, 1, "c")]
    ring = [take("t", 2, None, "b"), take("u", 2, None, "c"), take("v", 2, None, "a")]
    assert check(Deadlock, *held, *ring, LATER).findings[0].trials == ("t", "u", "v")
    assert check(Deadlock, *HELD, take("t", 2, None, "a"), LATER).found == 1


GOOD = {
    "short": [
        *HELD,
        take("t", 2, 500, "b", outcome="fail"),
        take("u", 3, 600, "a", outcome="fail"),
    ],
    "only one waits": [*HELD, NEVER[0], LATER],
    "the trials were over": [*HELD, *NEVER, end("t", 100), end("u", 100), LATER],
    "one was killed": [*HELD, *NEVER, note("kill", 100, "t", point="after_ack"), LATER],
    "one lock had been given back": [*HELD, give("t", 1.5, 1.6, "a"), *NEVER, LATER],
    "one lock ran out": [
        *HELD,
        *NEVER,
        note("lock_expired", 900, service="locks", key="a", holder="t"),
        LATER,
    ],
    "one lock must have run out unseen": [
        take("t", 0, 1, "a", ttl_ns=10**9),
        HELD[1],
        *NEVER,
        LATER,
    ],
    "not at the same time": [
        *HELD,
        take("t", 2, 7_000, "b", outcome="fail"),
        take("u", 6_000, 12_000, "a", outcome="fail"),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_no_deadlock(name: str) -> None:
    assert check(Deadlock, *GOOD[name]).verdict == "valid"


def test_how_long_is_long_is_a_parameter() -> None:
    assert check(Deadlock, *GOOD["short"], deadlock_s=0.2).verdict == "invalid"


def test_where_all_wait_for_long_a_deadlock_is_longer() -> None:
    slow = [take("s", 20_000 + n, 22_000 + n, "z") for n in range(100)]
    assert check(Deadlock, *HELD, *NEVER, *slow, end("w", 7_000)).verdict == "invalid"
    ended = [end("t", 7_000), end("u", 7_000)]
    assert check(Deadlock, *HELD, *NEVER, *slow, *ended).verdict == "valid"


def test_without_nesting_nothing_can_be_said() -> None:
    assert check(Deadlock, *HELD).verdict == "unknown"


def test_spans_are_merged() -> None:
    assert merged([(5, 6), (0, 2), (1, 3), (3, 4)]) == [(0, 4), (5, 6)]
