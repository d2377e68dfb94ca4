"""The checkers of data and locks against any history of a store that does what it says."""

from __future__ import annotations

import random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from checkers.shared_things import MS, check, do, give, note, take
from proofrig.checkers.deadlock import Deadlock
from proofrig.checkers.dirty_read import DirtyRead
from proofrig.checkers.lock_order import LockOrder
from proofrig.checkers.lost_update import LostUpdate
from proofrig.checkers.lost_write import LostWrite
from proofrig.checkers.stale_read import StaleRead
from proofrig.checkers.torn_write import TornWrite
from proofrig.history.action import Entry

SAFE = (LostWrite, StaleRead, DirtyRead, TornWrite)
NAMES = ("kv.get", "kv.get", "kv.put", "kv.put", "kv.cas", "kv.incr", "kv.append", "kv.delete")


class Asked(msgspec.Struct, frozen=True):
    """What a trial does next. ways: milliseconds before it, to its effect, and back."""

    trial: int
    name: str
    key: int
    value: int
    ways: tuple[int, int, int]
    fate: str  # ok; fail; dropped: never happens; late: happens after its end; open: never ends


ASKED = st.builds(
    Asked,
    st.integers(0, 3),
    st.sampled_from(NAMES),
    st.integers(0, 1),
    st.integers(0, 3),  # few, so that values come again
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 4)),
    st.sampled_from(("ok",) * 12 + ("fail", "dropped", "late", "open")),
)


class Store:
    """A linearisable memory: each operation takes effect at one instant between its ends."""

    def __init__(self, *, rig: bool, versions: bool) -> None:
        self.rig, self.versions = rig, versions
        self.values: dict[str, str | None] = {}
        self.counts: dict[str, int] = {}

    def run(self, asked: list[Asked]) -> list[list[Entry]]:
        """The history of what was asked for."""
        clock: dict[int, int] = {}
        plans = []
        for place, one in enumerate(asked):
            begin = clock.get(one.trial, 0) + one.ways[0]
            effect = begin + one.ways[1]
            clock[one.trial] = end = effect + one.ways[2]
            plans.append((effect + (7 if one.fate == "late" else 0), place, begin, end, one))
        return [self.apply(begin, end, one) for _, _, begin, end, one in sorted(plans)]

    def apply(self, begin: int, end: int, one: Asked) -> list[Entry]:
        key, value = f"k{one.key}", str(one.value)
        attrs: dict[str, Any] = {"key": key, "rig": self.rig}
        outcome = {"ok": "ok", "fail": "fail"}.get(one.fate, "unknown")
        if one.name == "kv.get":
            attrs["value"] = self.values.get(key)
        elif one.name != "kv.delete":
            attrs["value"] = value
        if one.name == "kv.cas":
            expected = self.counts.get(key, 0) if one.value else -1
            attrs["expected"] = expected
            if expected < 0 and outcome == "ok":
                outcome = "fail"
        if one.name != "kv.get" and outcome != "fail" and one.fate != "dropped":
            now = self.value_of(one.name, self.values.get(key), value)
            if now != self.values.get(key) or one.name != "kv.delete":
                self.values[key] = now
                self.counts[key] = self.counts.get(key, 0) + 1
            if one.name in ("kv.incr", "kv.append") and outcome == "ok":
                attrs["now"] = now
        if self.versions and outcome == "ok":
            attrs["version"] = self.counts.get(key, 0)
        last = None if one.fate == "open" else end
        return do(one.name, f"t{one.trial}", begin, last, outcome=outcome, **attrs)

    def value_of(self, name: str, before: str | None, value: str) -> str | None:
        if name == "kv.delete":
            return None
        if name == "kv.incr":
            return str((int(before) if before and before.isdigit() else 0) + int(value))
        if name == "kv.append":
            return f"{before or ''},{value}"
        return value


@settings(max_examples=150, deadline=None)
@given(st.lists(ASKED, max_size=40), st.booleans(), st.booleans(), st.booleans())
def test_a_store_that_does_what_it_says_is_never_flagged(
    asked: list[Asked], rig: bool, versions: bool, killed: bool
) -> None:
    told = Store(rig=rig, versions=versions).run(asked)
    if killed:
        told.append(note("kill", 15, "t0", point="after_write", at=""))
    strict = {"memory": {"linearizable": True, "closed": True}}
    for checker in SAFE:
        assert check(checker, *told, topology=strict).findings == [], checker.name


@settings(max_examples=60, deadline=None)
@given(st.lists(ASKED, max_size=40), st.booleans())
def test_a_store_that_counts_anew_after_deletes_is_never_flagged(
    asked: list[Asked], strict: bool
) -> None:
    class Anew(Store):
        def apply(self, begin: int, end: int, one: Asked) -> list[Entry]:
            told = super().apply(begin, end, one)
            if self.values.get(f"k{one.key}") is None:
                self.counts.pop(f"k{one.key}", None)
            return told

    told = Anew(rig=False, versions=True).run(asked)
    for checker in SAFE:
        said = {"memory": {"linearizable": strict}}
        assert check(checker, *told, topology=said).findings == [], checker.name


@settings(max_examples=60, deadline=None)
@given(st.lists(ASKED, max_size=40), st.randoms(use_true_random=False))
def test_what_nobody_saw_the_end_of_adds_no_lost_update(
    asked: list[Asked], chance: random.Random
) -> None:
    told = Store(rig=True, versions=True).run(asked)
    known = check(LostUpdate, *told).found
    less = [
        part[:-1] if part[-1].name == "kv.put" and chance.random() < 0.3 else part for part in told
    ]
    found = check(LostUpdate, *less)
    # A put of unknown outcome still ends what its trial knew: only other puts can be held to it.
    assert found.found <= known


SERIAL = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=30
)


@settings(max_examples=60, deadline=None)
@given(SERIAL, st.booleans())
def test_updates_that_follow_one_another_lose_nothing(
    steps: list[tuple[int, int, int]], versions: bool
) -> None:
    told, t, counts = [], 0, dict.fromkeys(range(3), 0)
    for trial, key, gap in steps:
        told.append(
            do("kv.get", f"t{trial}", t, t + 1, key=f"k{key}", value=str(counts[key]))
            if not versions
            else do("kv.get", f"t{trial}", t, t + 1, key=f"k{key}", value="v", version=counts[key])
        )
        told.append(do("kv.put", f"t{trial}", t + 1, t + 2, key=f"k{key}", value=f"{trial}/{t}"))
        counts[key] += 1
        t += 3 + gap
    assert check(LostUpdate, *told).found == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.sampled_from("abcd"), min_size=1), min_size=1, max_size=12))
def test_who_takes_locks_in_one_order_is_no_hazard_and_never_deadlocks(
    wanted: list[set[str]],
) -> None:
    """Each waits for its turn at each lock; the waits may be long."""
    free = dict.fromkeys("abcd", 0)
    told = []
    for n, keys in enumerate(wanted):
        t = n
        for key in sorted(keys):
            got = max(t + 1, free[key] + 1)
            told.append(take(f"t{n}", t, got, key))
            t = got + 1
        t += 9_000
        for key in sorted(keys):
            told.append(give(f"t{n}", t, t + 1, key))
            free[key] = t = t + 1
    assert check(LockOrder, *told).found == 0
    assert check(Deadlock, *told).found == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(ASKED, max_size=30))
def test_the_same_history_gives_the_same_verdict(asked: list[Asked]) -> None:
    told = Store(rig=True, versions=False).run(asked)
    shifted = [
        [msgspec.structs.replace(entry, t=entry.t + 5 * MS) for entry in part] for part in told
    ]
    for checker in (LostUpdate, *SAFE):
        assert check(checker, *told) == check(checker, *told)
        assert check(checker, *told).found == check(checker, *shifted).found
