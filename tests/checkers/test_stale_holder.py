"""Writes of those who lost the lock: histories in, verdicts out."""

from __future__ import annotations

import pytest

from checkers.shared_things import check, do, give, note, put, take
from proofrig.checkers.stale_holder import StaleHolder
from proofrig.history.action import Entry

NEWER = put("b", 2, 3, "k", "of b", fencing=2, id="newer")
LATE = put("a", 4, 5, "k", "of a", fencing=1, id="late")


def test_a_write_under_an_older_token_is_acknowledged() -> None:
    checked = check(StaleHolder, NEWER, LATE)
    assert checked.verdict == "invalid"
    [finding] = checked.findings
    assert (finding.kind, finding.trials) == ("stale_holder", ("b", "a"))
    assert [one.id for one in finding.witness] == ["newer", "late"]


FENCED: dict[str, list[list[Entry]]] = {
    "at the same time": [NEWER, put("a", 2, 5, "k", "of a", fencing=1)],
    "refused": [NEWER, put("a", 4, 5, "k", "of a", fencing=1, outcome="fail")],
    "nobody knows": [NEWER, put("a", 4, 5, "k", "of a", fencing=1, outcome="unknown")],
    "in order": [put("a", 0, 1, "k", "of a", fencing=1), NEWER],
    "other keys": [NEWER, put("a", 4, 5, "j", "of a", fencing=1)],
    "tokens of two locks": [
        take("b", 0, 1, "x", fencing=2),
        take("a", 0, 1, "y", fencing=1),
        NEWER,
        LATE,
    ],
}


@pytest.mark.parametrize("name", FENCED)
def test_tokens_are_in_order(name: str) -> None:
    assert check(StaleHolder, *FENCED[name]).verdict == "valid"


TTL = {"ttl_ns": 10 * 10**6}
UP = note("lock_expired", 11, service="locks", key="l", holder="a")
A, B = take("a", 0, 1, "l", **TTL), take("b", 2, 12, "l", **TTL)
BS, AS = put("b", 13, 14, "k", "of b", id="newer"), put("a", 15, 16, "k", "of a", id="late")


def test_without_tokens_who_lost_the_lock_writes_after_the_holder() -> None:
    checked = check(StaleHolder, A, UP, B, BS, AS)
    assert checked.verdict == "invalid"
    [finding] = checked.findings
    assert [one.name for one in finding.witness][:2] == ["lock.acquire", "lock_expired"]
    assert [one.id for one in finding.witness][-2:] == ["newer", "late"]


def test_that_the_time_was_up_may_follow_from_the_time_to_live() -> None:
    assert check(StaleHolder, A, B, BS, AS).verdict == "invalid"


UNFENCED: dict[str, list[list[Entry]]] = {
    "the holder did not write": [A, UP, B, AS],
    "before the holder": [A, UP, B, put("a", 13, 15, "k", "of a"), put("b", 14, 16, "k", "of b")],
    "renewed": [A, do("lock.renew", "a", 9, 9.5, service="locks", key="l"), B, BS, AS],
    "perhaps renewed": [A, do("lock.renew", "a", 9, None, service="locks", key="l"), B, BS, AS],
    "taken again": [A, UP, B, BS, give("b", 14.1, 14.2, "l"), take("a", 14.3, 14.4, "l"), AS],
    "another lock": [A, UP, take("b", 2, 12, "other"), BS, AS],
    "a key that the lock does not protect": [A, UP, B, BS, AS, put("c", 20, 21, "k", "of c")],
}


@pytest.mark.parametrize("name", UNFENCED)
def test_no_stale_holder(name: str) -> None:
    assert check(StaleHolder, *UNFENCED[name]).found == 0


def test_overlaps_are_counted_alone() -> None:
    checked = check(StaleHolder, A, take("b", 2, 3, "l"), put("b", 4, 5, "k", "x"))
    assert (checked.verdict, checked.exposure["overlaps"]) == ("valid", 1)


def test_without_writes_under_locks_nothing_can_be_said() -> None:
    assert check(StaleHolder, put("a", 0, 1, "k", "x")).verdict == "unknown"
