"""Acknowledged writes that are gone: histories in, verdicts out."""

from __future__ import annotations

from typing import Any

import pytest

from checkers.shared_things import check, do, get, note, put
from proofrig.checkers.lost_write import LostWrite
from proofrig.history.action import Entry

LOG = '["one","two"]'


def append(trial: str, begin: float, end: float | None, value: str, **attrs: Any) -> list[Entry]:
    return do("kv.append", trial, begin, end, key="log", value=value, **attrs)


def older(begin: float = 6, **attrs: Any) -> list[list[Entry]]:
    """One value after another is acknowledged, then the first one is read."""
    return [
        put("a", 0, 1, "k", "first", id="w1", **attrs),
        put("b", 2, 4, "k", "second", id="w2", **attrs),
        get("c", begin, begin + 1, "k", "first", id="r", **attrs),
    ]


def test_a_read_that_was_asked_for_after_the_acknowledgement_shows_what_was_before() -> None:
    checked = check(LostWrite, *older())
    assert checked.verdict == "invalid"
    [finding] = checked.findings
    assert finding.kind == "lost_write"
    assert [one.id for one in finding.witness] == ["w1", "w2", "r"]
    assert finding.trials == ("a", "b", "c")


def test_versions_tell_it_too() -> None:
    told = [put("b", 2, 4, "k", "x", version=7), get("c", 6, 7, "k", "never seen", version=6)]
    assert check(LostWrite, *told).verdict == "invalid"


PUTS = {
    "read before the end of the write": older(begin=3),
    "seen later": [*older(), get("d", 9, 10, "k", "second")],
    "nobody knows whether it was written": [
        put("a", 0, 1, "k", "first"),
        put("b", 2, 4, "k", "second", outcome="unknown"),
        get("c", 6, 7, "k", "first"),
    ],
    "the first was written again meanwhile": [*older(), put("d", 5, 8, "k", "first")],
    "the first was written again by one that never ended": [
        *older(),
        put("d", 5, None, "k", "first"),
    ],
    "at the same time": [
        put("a", 0, 5, "k", "first"),
        put("b", 2, 4, "k", "second"),
        get("c", 6, 7, "k", "first"),
    ],
    "deleted from the very instant on that the read ended": [
        put("a", 0, 1, "k", "first"),
        get("c", 6, 7, "k", None),
        do("kv.delete", "b", 7, 8, key="k"),
    ],
    "deleted": [
        put("a", 0, 1, "k", "first"),
        do("kv.delete", "b", 2, None, key="k"),
        get("c", 6, 7, "k", None),
    ],
    "another place": [*older()[:2], get("c", 6, 7, "j", "first")],
    "each its own": [note("phase", 0, phase="clean", state="begin", fresh=True), *older()],
}


@pytest.mark.parametrize("name", PUTS)
def test_no_put_is_lost(name: str) -> None:
    assert check(LostWrite, *PUTS[name]).found == 0


def test_what_goes_by_itself_is_not_lost() -> None:
    gone = [put("a", 0, 1, "k", "x"), get("c", 6, 7, "k", None)]
    assert check(LostWrite, *gone).verdict == "invalid"
    for said in ({"ttl_s": 1.0}, {"max_entries": 5}, {"eviction": "lru"}):
        assert check(LostWrite, *gone, topology={"memory": said}).verdict == "valid"
    short = [put("a", 0, 1, "k", "x", ttl_ns=9), get("c", 6, 7, "k", None)]
    assert check(LostWrite, *short).verdict == "valid"


def test_a_store_may_be_declared_to_lag() -> None:
    lagging = {"memory": {"linearizable": False}}
    assert check(LostWrite, *older(), topology=lagging).verdict == "unknown"


def test_two_writes_under_one_version() -> None:
    twins = [
        do("kv.incr", "a", 0, 2, key="n", value="1", now="1", version=1, id="w1"),
        do("kv.incr", "b", 1, 3, key="n", value="1", now="1", version=1, id="w2"),
    ]
    [finding] = check(LostWrite, *twins).findings
    assert [one.id for one in finding.witness] == ["w1", "w2"]


def test_an_element_is_missing_from_a_later_read() -> None:
    lost = [append("a", 0, 1, "one"), append("b", 0, 2, "three"), get("c", 3, 4, "log", LOG)]
    [finding] = check(LostWrite, *lost).findings
    assert "'three'" in finding.says


APPENDS = {
    "all there": [append("a", 0, 1, "one"), append("b", 0, 2, "two"), get("c", 3, 4, "log", LOG)],
    "not yet acknowledged": [append("a", 0, 5, "three"), get("c", 3, 4, "log", LOG)],
    "nobody knows": [append("a", 0, 1, "three", outcome="unknown"), get("c", 3, 4, "log", LOG)],
    "overwritten": [
        append("a", 0, 1, "three"),
        put("b", 2, 3, "log", LOG),
        get("c", 4, 5, "log", LOG),
    ],
    "perhaps deleted by one that never ended": [
        append("a", 0, 1, "three"),
        do("kv.delete", "b", 2, None, key="log"),
        get("c", 4, 5, "log", LOG),
    ],
    "made a number of": [
        append("a", 0, 1, "three"),
        do("kv.incr", "b", 2, 3, key="log", value="1", now="1"),
        get("c", 4, 5, "log", "1"),
    ],
    "there later": [
        append("a", 0, 1, "three"),
        get("c", 3, 4, "log", LOG),
        get("c", 5, 6, "log", '["three"]'),
    ],
    "written in another way": [
        append("a", 0, 1, '{"n": 1}'),
        append("b", 0, 1, 'say "hi"'),
        get("c", 3, 4, "log", '[{"n":1},"say \\"hi\\""]'),
    ],
}


@pytest.mark.parametrize("name", APPENDS)
def test_no_element_is_lost(name: str) -> None:
    assert check(LostWrite, *APPENDS[name]).found == 0


def test_a_line_is_missing_from_a_file() -> None:
    def line(trial: str, t: int, value: str) -> list[Entry]:
        return do("file.append", trial, t, t + 1, path="log", value=value, rig=False)

    read = do("file.read", "c", 6, 7, path="log", value="one\n", rig=False)
    assert check(LostWrite, line("a", 0, "one\n"), read).verdict == "valid"
    assert check(LostWrite, line("a", 0, "one\n"), line("b", 2, "two\n"), read).found == 1


def test_long_lists_are_looked_up_among_the_payloads() -> None:
    lost = [append("a", 0, 1, "three"), get("c", 3, 4, "log", "blake2:ab")]
    assert check(LostWrite, *lost).found == 0
    assert check(LostWrite, *lost, payloads={"ab": b'["three"]'}).verdict == "valid"
    assert check(LostWrite, *lost, payloads={"ab": b'["two"]'}).verdict == "invalid"


def test_without_reads_or_versions_nothing_can_be_said() -> None:
    assert check(LostWrite, *older()[:2]).verdict == "unknown"
