"""Lost updates: histories of reads and writes in, verdicts out."""

from __future__ import annotations

import pytest

from checkers.shared_things import check, do, get, note, put
from proofrig.checkers.lost_update import LostUpdate
from proofrig.history.action import Entry


def both(**attrs: object) -> list[list[Entry]]:
    """Two trials read, then both write."""
    version = {"version": 1} if attrs.pop("versions", True) else {}
    outcome = str(attrs.pop("outcome", "ok"))
    return [
        get("a", 0, 1, "k", "old", id="ra", **version),
        get("b", 0, 2, "k", "old", id="rb", **version),
        put("a", 3, 4, "k", attrs.pop("first", "of a"), id="wa"),
        put("b", 3, 5, "k", attrs.pop("second", "of b"), id="wb", outcome=outcome),
    ]


@pytest.mark.parametrize("versions", [True, False])
def test_two_that_changed_what_both_had_read(versions: bool) -> None:
    checked = check(LostUpdate, *both(versions=versions))
    assert (checked.verdict, checked.found) == ("invalid", 1)
    [finding] = checked.findings
    assert finding.kind == "lost_update"
    assert [one.id for one in finding.witness] == ["ra", "rb", "wa", "wb"]
    assert finding.trials == ("a", "b")
    assert checked.measures == {"lost_updates": 1.0, "write_conflicts": 0.0}


def test_each_overwriting_update_is_found_once() -> None:
    many = [get(str(n), 0, 1, "k", "old", version=1) for n in range(5)]
    many += [put(str(n), 2 + n, 2.5 + n, "k", f"of {n}") for n in range(5)]
    assert check(LostUpdate, *many).found == 4


def test_the_same_version_is_the_same_state_even_long_after() -> None:
    """A read that is served from an old copy: the version says so, the times do not."""
    late = [get("b", 10, 11, "k", "old", version=1), put("b", 12, 13, "k", "of b")]
    assert check(LostUpdate, *both()[::2], *late).verdict == "invalid"


def test_an_observed_key_that_was_deleted_may_count_anew() -> None:
    late = [
        do("kv.delete", "c", 6, 7, key="k", rig=False),
        get("b", 10, 11, "k", "old", version=1, rig=False),
        put("b", 12, 13, "k", "of b", rig=False),
    ]
    assert check(LostUpdate, *both()[::2], *late).verdict != "invalid"


GOOD = {
    "one after another": [
        get("a", 0, 1, "k", "old", version=1),
        put("a", 2, 3, "k", "of a"),
        get("b", 4, 5, "k", "of a", version=2),
        put("b", 6, 7, "k", "of b"),
    ],
    "nobody knows whether the second happened": both(outcome="unknown"),
    "the second was refused": both(outcome="fail"),
    "both write the same": both(first="settled", second="settled"),
    "the second never read": [both()[0], *both()[2:]],
    "the second wrote it itself since": [*both(), put("b", 2.1, 2.2, "k", "x", outcome="unknown")],
    "other keys": [
        *both()[::2],
        get("b", 0, 2, "j", "old", version=1),
        put("b", 3, 5, "j", "of b"),
    ],
    "the second read began before, and saw the first": [
        get("a", 0, 1, "k", "old"),
        put("a", 2, 4, "k", "of a"),
        get("b", 3, 5, "k", "of a"),
        put("b", 6, 7, "k", "of b"),
    ],
    "one trial": [
        get("a", 0, 1, "k", "old", version=1),
        get("a", 0, 2, "k", "old", version=1),
        put("a", 3, 4, "k", "x"),
        put("a", 3, 5, "k", "y"),
    ],
    "instances of their own": [note("phase", 0, phase="clean", state="begin", fresh=True), *both()],
    "compared": [
        get("a", 0, 1, "k", "old", version=1),
        get("b", 0, 1, "k", "old", version=1),
        do("kv.cas", "a", 2, 3, key="k", value="of a", expected=1),
        do("kv.cas", "b", 2, 4, key="k", value="of b", expected=1, outcome="fail"),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_no_update_is_lost(name: str) -> None:
    assert check(LostUpdate, *GOOD[name]).found == 0


def test_counters_are_declared() -> None:
    same = both(first="6", second="6")
    assert check(LostUpdate, *same).exposure["equal_writes"] > 0
    assert check(LostUpdate, *same, topology={"memory": {"counters": True}}).verdict == "invalid"


def test_numbers_count_unless_it_is_declared_that_they_do_not() -> None:
    five = [get(who, 0, 1, "k", "5", version=1) for who in ("a", "b")]
    six = [put(who, 2, 3, "k", "6") for who in ("a", "b")]
    assert check(LostUpdate, *five, *six).verdict == "invalid"
    apart = {"memory": {"counters": False}}
    assert check(LostUpdate, *five, *six, topology=apart).verdict == "valid"


@pytest.mark.parametrize(
    ("read", "wrote", "verdict"),
    [
        ('{"visits": 5}', '{"visits": 6}', "invalid"),
        ('{"by": {"day": [1, 5]}}', '{"by": {"day": [1, 6]}}', "invalid"),
        ('{"state": "open", "of": 2}', '{"state": "done", "of": 2}', "valid"),
        ('{"open": true}', '{"open": false}', "valid"),
        ('{"visits": 5}', '{"visits": 6', "valid"),
        ("five", '{"visits": 6}', "valid"),
    ],
)
def test_numbers_count_within_documents_too(read: str, wrote: str, verdict: str) -> None:
    gets = [get(who, 0, 1, "k", read, version=1) for who in ("a", "b")]
    puts = [put(who, 2, 3, "k", wrote) for who in ("a", "b")]
    checked = check(LostUpdate, *gets, *puts)
    assert checked.verdict == verdict
    assert ("some wrote the same value" in checked.says) == (verdict == "valid")


def test_who_reads_a_file_and_writes_it_updates_it() -> None:
    files = [
        [*do("file.read", who, 0, 1, path="f", value="old", rig=False)] for who in ("a", "b")
    ] + [do("file.write", who, 2, 3, path="f", value=who, rig=False) for who in ("a", "b")]
    assert check(LostUpdate, *files).verdict == "invalid"


def test_refusals_are_conflicts_and_exposure() -> None:
    checked = check(LostUpdate, *GOOD["compared"])
    assert (checked.verdict, checked.measures["write_conflicts"]) == ("valid", 1.0)
    assert check(LostUpdate, *both()[::2]).verdict == "unknown"
