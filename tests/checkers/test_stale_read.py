"""Stale reads: histories in, verdicts out."""

from __future__ import annotations

import pytest

from checkers.shared_things import check, do, get, put
from proofrig.checkers.stale_read import StaleRead
from proofrig.history.action import Entry

WRITES = [put("w", 0, 1, "k", "first", id="w1"), put("w", 2, 3, "k", "second", id="w2")]
BACK = [get("a", 4, 5, "k", "second", id="r1"), get("a", 6, 7, "k", "first", id="r2")]


def test_a_trial_reads_what_is_older_than_what_it_read_before() -> None:
    checked = check(StaleRead, *WRITES, *BACK)
    assert checked.verdict == "invalid"
    [finding] = checked.findings
    assert (finding.kind, finding.trials) == ("stale_read", ("w", "a"))
    assert [one.id for one in finding.witness] == ["w1", "r1", "r2"]


def test_a_version_goes_back() -> None:
    reads = [get("a", 4, 5, "k", "y", version=7), get("a", 6, 7, "k", "x", version=6)]
    assert check(StaleRead, *reads).verdict == "invalid"


def test_a_trial_does_not_see_what_it_wrote() -> None:
    own = [WRITES[0], put("a", 2, 3, "k", "mine", id="own"), get("a", 4, 5, "k", "first")]
    [finding] = check(StaleRead, *own).findings
    assert "had written before" in finding.says and finding.witness[1].id == "own"


def test_between_trials_it_counts_where_the_service_promises_it() -> None:
    told = [*WRITES, get("a", 4, 5, "k", "first")]
    assert check(StaleRead, *told).verdict == "unknown"
    strict = {"memory": {"linearizable": True}}
    assert check(StaleRead, *told, topology=strict).verdict == "invalid"


GOOD: dict[str, list[list[Entry]]] = {
    "forward": [*WRITES, get("a", 4, 5, "k", "first"), get("a", 6, 7, "k", "second")],
    "two trials": [*WRITES, get("a", 4, 5, "k", "second"), get("b", 6, 7, "k", "first")],
    "written at the same time": [
        put("w", 0, 5, "k", "first"),
        put("v", 0, 5, "k", "second"),
        get("a", 6, 7, "k", "second"),
        get("a", 8, 9, "k", "first"),
    ],
    "written again by one that never ended": [*WRITES, *BACK, put("x", 3, None, "k", "first")],
    "written again by one of unknown end": [
        *WRITES,
        put("x", 3.1, 3.2, "k", "first", outcome="unknown"),
        *BACK,
    ],
    "somebody else wrote since": [
        put("a", 0, 1, "k", "mine"),
        put("b", 2, 3, "k", "of b"),
        get("a", 4, 5, "k", "of b"),
    ],
    "deleted": [
        put("a", 0, 1, "k", "mine", rig=False),
        do("kv.delete", "b", 2, 3, key="k", rig=False),
        get("a", 4, 5, "k", None, rig=False),
    ],
    "counted anew": [
        get("a", 0, 1, "k", "x", version=7, rig=False),
        do("kv.delete", "b", 2, None, key="k", rig=False),
        get("a", 4, 5, "k", "y", version=1, rig=False),
    ],
    "nobody saw who wrote it": [put("a", 0, 1, "k", "mine"), get("a", 4, 5, "k", "whose?")],
}


@pytest.mark.parametrize("name", GOOD)
def test_nothing_is_stale(name: str) -> None:
    assert check(StaleRead, *GOOD[name]).found == 0


def test_what_goes_by_itself_may_be_absent() -> None:
    told = [put("a", 0, 1, "k", "mine"), get("a", 4, 5, "k", None)]
    assert check(StaleRead, *told).verdict == "invalid"
    assert check(StaleRead, *told, topology={"memory": {"ttl_s": 1}}).verdict == "valid"
