"""Locks of killed trials: histories in, verdicts out."""

from __future__ import annotations

import pytest

from checkers.shared_things import check, end, give, note, take
from proofrig.checkers.lock_release import LockRelease

HELD = take("v", 0, 1, "a", ttl_ns=2 * 10**9, id="held")
KILL = note("kill", 500, "v", point="after_write", at="")
LIMIT = 500 + 2_000 + 1_000
REFUSED = take("b", 600, LIMIT + 1, "a", outcome="fail", holder="v", id="refused")


def test_it_is_still_refused_when_its_time_and_the_grace_are_up() -> None:
    checked = check(LockRelease, HELD, KILL, REFUSED)
    assert checked.verdict == "invalid"
    [finding] = checked.findings
    assert finding.kind == "lock_not_released"
    assert [(one.id, one.name) for one in finding.witness] == [
        ("held", "lock.acquire"),
        ("", "kill"),
        ("refused", "lock.acquire"),
    ]


def test_a_lock_without_time_to_live_is_never_free() -> None:
    told = [take("v", 0, 1, "a"), KILL, take("b", 600, None, "a"), end("b", 2_000)]
    assert check(LockRelease, *told).verdict == "invalid"


GOOD = {
    "refused before": take("b", 600, LIMIT - 1, "a", outcome="fail", holder="v"),
    "given": take("b", 600, 2_600, "a"),
    "another has it": take("b", 600, LIMIT + 1, "a", outcome="fail", holder="c"),
    "who asked was over": [*take("b", 600, None, "a"), *end("b", LIMIT - 1)],
}


@pytest.mark.parametrize("name", GOOD)
def test_it_is_released(name: str) -> None:
    assert check(LockRelease, HELD, KILL, GOOD[name]).verdict == "valid"


def test_given_to_another_before_it_was_refused() -> None:
    told = [HELD, KILL, take("c", 600, 2_700, "a"), take("b", 700, 9_000, "a", outcome="fail")]
    assert check(LockRelease, *told).verdict == "valid"


def test_given_back_before_the_kill() -> None:
    assert check(LockRelease, HELD, give("v", 2, 3, "a"), KILL, REFUSED).verdict == "unknown"


def test_another_may_have_got_it_unseen() -> None:
    quiet = take("b", 600, LIMIT + 1, "a", outcome="fail")
    perhaps = take("c", 600, 700, "a", outcome="unknown")
    assert check(LockRelease, HELD, KILL, quiet).verdict == "invalid"
    assert check(LockRelease, HELD, KILL, quiet, perhaps).verdict == "valid"


def test_grace_and_lag_are_given() -> None:
    assert check(LockRelease, HELD, KILL, REFUSED, grace_s=2.0).verdict == "valid"
    lag = note("lag", 550, p99_ns=0, max_ns=10**9)
    assert check(LockRelease, HELD, KILL, lag, REFUSED).verdict == "valid"


def test_without_anybody_who_wants_it_nothing_can_be_said() -> None:
    assert check(LockRelease, HELD, KILL).verdict == "unknown"
    assert check(LockRelease, HELD, REFUSED).verdict == "unknown"
