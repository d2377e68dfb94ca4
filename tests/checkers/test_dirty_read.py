"""Dirty reads: histories in, verdicts out."""

from __future__ import annotations

import pytest

from checkers.shared_things import check, do, get, put
from proofrig.checkers.dirty_read import DirtyRead

BEFORE = put("w", 0, 1, "k", "before")
FAILED = put("a", 2, 5, "k", "taken back", outcome="fail", id="w")
READ = get("b", 3, 4, "k", "taken back", id="r")


def test_a_value_that_only_a_failed_write_wrote() -> None:
    checked = check(DirtyRead, BEFORE, FAILED, READ)
    assert checked.verdict == "invalid"
    [finding] = checked.findings
    assert finding.kind == "dirty_read"
    assert [one.id for one in finding.witness] == ["r", "w"]
    assert checked.measures == {"dirty_reads": 1.0}


GOOD = {
    "nothing of it was read": [BEFORE, FAILED, get("b", 3, 4, "k", "before")],
    "another wrote the same": [BEFORE, FAILED, put("c", 2, 3, "k", "taken back"), READ],
    "another may have, and nobody saw": [
        BEFORE,
        FAILED,
        put("c", 2, None, "k", "taken back"),
        READ,
    ],
    "written again later": [BEFORE, FAILED, put("a", 6, 7, "k", "taken back"), READ],
    "it may have been there before": [FAILED, READ],
    "it was there before": [get("c", 0, 1, "k", "taken back"), FAILED, READ],
    "a sum may have come to it": [
        *(BEFORE, FAILED, READ),
        do("kv.incr", "c", 2, None, key="k", value="1"),
    ],
    "another key": [BEFORE, FAILED, get("b", 3, 4, "j", "taken back")],
}


@pytest.mark.parametrize("name", GOOD)
def test_nothing_is_dirty(name: str) -> None:
    assert check(DirtyRead, *GOOD[name]).verdict == "valid"


def test_without_reads_nothing_can_be_said() -> None:
    assert check(DirtyRead, BEFORE, FAILED).verdict == "unknown"
