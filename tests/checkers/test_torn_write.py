"""Torn writes: histories with a kill in, verdicts out."""

from __future__ import annotations

from typing import Any

import pytest

from checkers.shared_things import check, do, get, note, put
from proofrig.checkers.torn_write import TornWrite
from proofrig.history.action import Entry

KILL = note("kill", 5, "v", point="mid_bytes", at="w")
WHOLE = '{"balance": 100}'


def file(
    name: str, trial: str, begin: float, end: float | None, value: str, **attrs: Any
) -> list[Entry]:
    return do(f"file.{name}", trial, begin, end, path="f", value=value, rig=False, **attrs)


def test_half_of_what_the_killed_was_writing() -> None:
    told = [
        file("write", "v", 4, None, WHOLE, id="w"),
        KILL,
        file("read", "b", 6, 7, WHOLE[:9], id="r"),
    ]
    checked = check(TornWrite, *told)
    assert checked.verdict == "invalid"
    [finding] = checked.findings
    assert finding.kind == "torn_write"
    assert [(one.id, one.name) for one in finding.witness] == [
        ("w", "file.write"),
        ("", "kill"),
        ("r", "file.read"),
    ]


def mixed(*, rig: bool) -> list[list[Entry]]:
    """A value that is neither the old nor the new one."""
    return [
        put("a", 0, 1, "k", "old", rig=rig),
        put("v", 4, None, "k", "new", rig=rig),
        KILL,
        get("b", 6, 7, "k", "n?d", rig=rig),
    ]


def test_any_other_value_where_all_writers_are_seen() -> None:
    assert check(TornWrite, *mixed(rig=True)).verdict == "invalid"
    assert check(TornWrite, *mixed(rig=False)).verdict == "valid"
    closed = {"memory": {"closed": True}}
    assert check(TornWrite, *mixed(rig=False), topology=closed).verdict == "invalid"


def test_long_values_are_looked_up_among_the_payloads() -> None:
    told = [file("write", "v", 4, None, "blake2:ab"), KILL, file("read", "b", 6, 7, "blake2:cd")]
    assert check(TornWrite, *told).verdict == "valid"
    kept = {"ab": WHOLE.encode(), "cd": WHOLE[:9].encode()}
    assert check(TornWrite, *told, payloads=kept).verdict == "invalid"


def test_what_a_file_was_given_before_it_was_closed_is_whole() -> None:
    told = [
        file("write", "a", 0, 1, "old"),
        file("write", "v", 2, 4, "new", now="new, and more"),
        KILL,
    ]
    for value, verdict in (("new", "valid"), ("new, and more", "valid"), ("new, a", "invalid")):
        read = file("read", "b", 6, 7, value)
        files = {"memory": {"type": "files"}}
        assert check(TornWrite, *told, read, topology=files).verdict == verdict


BEFORE = put("a", 0, 1, "k", "old")
GOOD = {
    "the old value": [BEFORE, put("v", 4, None, "k", "new"), KILL, get("b", 6, 7, "k", "old")],
    "the new value": [BEFORE, put("v", 4, None, "k", "new"), KILL, get("b", 6, 7, "k", "new")],
    "what another wrote": [*mixed(rig=True), put("c", 5, 8, "k", "n?d")],
    "what another may have written": [*mixed(rig=True), put("c", 5, None, "k", "n?d")],
    "nothing": [BEFORE, put("v", 4, None, "k", "new"), KILL, get("b", 6, 7, "k", None)],
    "it may have been there": mixed(rig=True)[1:],
    "it was there before": [get("c", 1.5, 2, "k", "n?d"), *mixed(rig=True)],
    "a sum of unknown size": [*mixed(rig=True), do("kv.incr", "c", 2, None, key="k", value="1")],
}


@pytest.mark.parametrize("name", GOOD)
def test_nothing_is_torn(name: str) -> None:
    assert check(TornWrite, *GOOD[name]).verdict == "valid"


def test_without_a_kill_or_a_read_after_it_nothing_can_be_said() -> None:
    quiet = [entry for entry in mixed(rig=True) if entry is not KILL]
    assert check(TornWrite, *quiet).verdict == "unknown"
    assert check(TornWrite, *mixed(rig=True)[:3]).verdict == "unknown"
