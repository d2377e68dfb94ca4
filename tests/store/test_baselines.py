"""Baselines are kept by branch; what is held against a run is as near to it as there is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proofrig.store import BaselineRecord, Circumstances, Store
from proofrig.store.baselines import usable

SUITE = {"suite": "desk", "suite_digest": "d1", "branch": "main"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/store.db")
    yield opened
    opened.close()


def record(run: str, saved_ns: int, **more: Any) -> BaselineRecord:
    return BaselineRecord(**{"run": run, "saved_ns": saved_ns} | SUITE | more)


def names(records: list[BaselineRecord]) -> list[str]:
    return [record.run for record in records]


def test_baselines_come_newest_first_by_suite_and_branch(store: Store) -> None:
    whole = record("b", 2, commit="c0ffee", scenarios=("burst",), conditions="tenants 4", cases=3)
    for one in (record("a", 1), whole, record("c", 3, branch="release")):
        store.save_baseline(one, b"")
    store.save_baseline(record("d", 4, suite="shop"), b"")
    assert names(store.baselines()) == ["d", "c", "b", "a"]
    assert names(store.baselines("desk")) == ["c", "b", "a"]
    assert store.baselines("desk", "main") == [whole, record("a", 1)]
    assert store.baselines("desk", "mai") == []


def test_a_sample_comes_back_as_it_was(store: Store) -> None:
    sample = bytes(range(256)) * 100
    store.save_baseline(record("a", 1), sample)
    store.save_baseline(record("a", 2, branch="release"), b"other")
    assert store.baseline("desk", "main", Circumstances()) == [(record("a", 1), sample)]
    assert store.baseline("desk", "release", Circumstances())[0][1] == b"other"
    assert store.baseline("desk", "nowhere", Circumstances()) == []


def test_what_is_kept_of_a_run_is_found_by_the_beginning_of_its_id(store: Store) -> None:
    for run, branch in (("2026-a", "main"), ("2026-a", "release"), ("2025", "main")):
        store.save_baseline(record(run, 1, branch=branch), branch.encode())
    found = [(one.branch, data) for one, data in store.kept("2026")]
    assert sorted(found) == [("main", b"main"), ("release", b"release")]
    assert store.kept("2027") == []


def test_saving_again_renews_it_and_takes_no_pin_away(store: Store) -> None:
    store.save_baseline(record("a", 5, pinned=True, measured=4), b"one")
    store.save_baseline(record("a", 9, measured=8), b"two")
    renewed = record("a", 5, pinned=True, measured=8)
    assert store.baseline("desk", "main", Circumstances()) == [(renewed, b"two")]
    store.save_baseline(record("a", 12, pinned=True), b"three")
    assert store.baselines() == [record("a", 12, pinned=True)]


def test_what_was_saved_on_its_own_can_be_forgotten(store: Store) -> None:
    store.save_baseline(record("a", 1), b"")
    store.save_baseline(record("a", 1, branch="release", pinned=True), b"")
    store.save_baseline(record("b", 2), b"")
    store.forget_autosaved("a")
    assert [(one.run, one.branch) for one in store.baselines()] == [("b", "main"), ("a", "release")]


PLAIN: dict[str, Any] = {"scenarios": ("",)}
BURST = {"scenarios": ("burst",)}
BOTH = {"scenarios": ("burst", "drain")}
RECORDS = {
    "plain": [record("c", 3), record("b", 2), record("a", 1)],
    "pinned": [record("c", 3), record("b", 2, pinned=True), record("a", 1)],
    "pinned twice": [record("c", 3, pinned=True), record("b", 2, pinned=True)],
    "other suite last": [record("c", 3, suite_digest="d2"), record("b", 2), record("a", 1)],
    "mixed": [
        record("e", 5, conditions="faultless true"),
        record("d", 4, **BOTH),
        record("c", 3),
        record("b", 2, **BURST),
        record("a", 1, conditions="tenants 4"),
    ],
}


@pytest.mark.parametrize(
    ("records", "wanted", "found"),
    [
        ("plain", {}, ["c", "b", "a"]),
        ("plain", PLAIN | {"digest": "d1"}, ["c", "b", "a"]),
        ("plain", {"digest": "gone"}, ["c", "b", "a"]),  # what changed is for the comparison
        ("plain", {"but": "c"}, ["b", "a"]),
        ("plain", {"scenarios": ("burst",)}, []),
        ("pinned", {}, ["b", "c"]),
        ("pinned", {"but": "b"}, ["c", "a"]),
        ("pinned twice", {}, ["c"]),
        ("other suite last", {"digest": "d1"}, ["b", "a"]),
        ("other suite last", {"digest": "d2"}, ["c"]),
        ("other suite last", {"digest": "d3"}, ["c"]),
        ("other suite last", {}, ["c"]),
        ("mixed", {}, ["e"]),  # whatever is the newest
        ("mixed", {"digest": "d1", "but": "e"}, ["d"]),
        ("mixed", PLAIN, ["c"]),
        ("mixed", PLAIN | {"conditions": "tenants 4"}, ["a"]),
        ("mixed", PLAIN | {"conditions": "agents 9"}, ["e"]),
        ("mixed", {"scenarios": ("burst",)}, ["d"]),  # the newest that has it
        ("mixed", {"scenarios": ("burst",), "but": "d"}, ["b"]),
        ("mixed", {"scenarios": ("drain", "burst")}, ["d"]),
        ("mixed", {"scenarios": ("burst", "ramp")}, ["d"]),
        ("mixed", {"scenarios": ("ramp",)}, []),
        ("mixed", PLAIN | {"digest": "d1", "conditions": "tenants 4"}, ["a"]),
    ],
)
def test_the_nearest_is_held_against_a_run_with_what_is_like_it(
    records: str, wanted: dict[str, Any], found: list[str]
) -> None:
    assert names(usable(RECORDS[records], Circumstances(**wanted), 20)) == found


def test_the_order_of_scenarios_does_not_matter() -> None:
    one, other = record("a", 1, **BOTH), record("b", 2, scenarios=("drain", "burst"))
    wanted = Circumstances(scenarios=("drain", "burst"))
    assert names(usable([other, one], wanted, 20)) == ["b", "a"]


def test_no_more_than_asked_for_and_the_pinned_one_is_among_them() -> None:
    records = [record(str(n), n) for n in range(9, 1, -1)] + [record("1", 1, pinned=True)]
    assert names(usable(records, Circumstances(), 3)) == ["1", "9", "8"]


SAVER = """
import sys
from proofrig.store import BaselineRecord, Store

url, who = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
store = Store(url)
for n in range(20):
    for run in (f"{who}-{n}", f"shared-{n}"):
        told = BaselineRecord(run=run, branch="main", suite="desk", suite_digest="d", saved_ns=n)
        store.save_baseline(told, who.encode() * 5000)
    store.save_figures(f"shared-{n}", {"": {"accuracy": 0.5, who: 1.0}})
store.close()
"""


def test_two_processes_save_to_one_new_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    savers = [
        subprocess.Popen(
            [sys.executable, "-c", SAVER, url, who],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for who in ("left", "right")
    ]
    for saver in savers:
        assert saver.stdout is not None
        assert saver.stdout.readline() == "ready\n"
    ends = []
    for saver in savers:  # both wait for this line, so that both open the store at once
        assert saver.stdin is not None
        saver.stdin.write("go\n")
        saver.stdin.flush()
    for saver in savers:
        _, said = saver.communicate(timeout=60)
        ends.append((saver.returncode, said))
    assert ends == [(0, ""), (0, "")]
    store = Store(url)
    kept = store.baselines("desk")
    samples = dict(store.baseline("desk", "main", Circumstances(), most=100))
    store.close()
    assert len(kept) == 60
    assert set(samples.values()) == {b"left" * 5000, b"right" * 5000}
