"""Disorder: which results come late or swapped, that they really do, and what is said of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import pytest

from proofrig.faults.disorder import Disorder, Disordering, Disorders


@dataclass(frozen=True)
class Trial:
    trial: str
    disorder: Disorder | None


def trial(name: str = "c:1", **given: Any) -> Trial:
    fields: dict[str, Any] = {"kinds": ("late",), "rate": 1.0, "late_s": 0.05, "seed": 1}
    return Trial(name, Disorder(**fields | given))


class Record:
    """A rig's `Disorders` whose notes are kept. `order`: the actions as they were delivered."""

    def __init__(self) -> None:
        self.notes: list[dict[str, Any]] = []
        self.order: list[str] = []
        self.disorders = Disorders(lambda whose, attrs: self.notes.append(attrs))

    async def deliver(self, whose: Trial, action: str) -> None:
        await self.disorders.deliver(whose, action)
        self.order.append(action)

    async def all(self, whose: Trial, count: int) -> list[str]:
        """Deliver calls one after another; those of which something was noted."""
        for number in range(1, count + 1):
            await self.deliver(whose, f"a{number}")
        return [note["call"] for note in self.notes]


async def test_without_a_disorder_everything_is_delivered_at_once() -> None:
    record = Record()
    await record.deliver(Trial("c:1", None), "a1")
    await record.deliver(trial(rate=0.0), "a2")
    assert (record.order, record.notes) == (["a1", "a2"], [])


async def test_a_late_result_is_delivered_late() -> None:
    record = Record()
    before = time.monotonic()
    await record.deliver(trial(late_s=0.05), "a1")
    assert time.monotonic() - before >= 0.05
    assert record.notes == [{"call": "a1", "kind": "late", "by_ns": 50_000_000}]


async def test_a_swapped_result_is_overtaken_by_the_one_after_it() -> None:
    record, whose = Record(), trial(kinds=("swapped",), late_s=30.0)
    first = asyncio.create_task(record.deliver(whose, "a1"))
    await asyncio.sleep(0)
    await record.deliver(whose, "a2")
    await first
    assert record.order == ["a2", "a1"]
    assert record.notes == [{"call": "a1", "kind": "swapped", "with": "a2"}]


async def test_a_swapped_result_that_nothing_follows_is_late() -> None:
    record, whose = Record(), trial(kinds=("swapped",), late_s=0.02)
    await record.deliver(whose, "a1")
    assert record.notes == [{"call": "a1", "kind": "late", "by_ns": 20_000_000}]
    await record.deliver(trial(kinds=("swapped",), rate=0.0), "a2")  # it waits for nobody any more
    assert record.order == ["a1", "a2"]


async def test_only_results_of_the_same_trial_are_swapped() -> None:
    record = Record()
    ours, theirs = (trial(name, kinds=("swapped",), late_s=0.1) for name in ("c:1", "c:2"))
    await asyncio.gather(record.deliver(ours, "ours"), record.deliver(theirs, "theirs"))
    assert [(note["call"], note["kind"]) for note in record.notes] == [
        ("ours", "late"),
        ("theirs", "late"),
    ]


async def test_a_call_that_is_given_up_while_it_waits_leaves_nothing_behind() -> None:
    record, whose = Record(), trial(kinds=("swapped",), late_s=0.02)
    given_up = asyncio.create_task(record.deliver(whose, "a1"))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    await record.deliver(whose, "a2")
    assert record.order == ["a2"]
    assert record.notes == [{"call": "a2", "kind": "late", "by_ns": 20_000_000}]


async def test_chance_is_the_seeds_the_trials_and_the_numbers_alone() -> None:
    def drawn(seed: int, name: str) -> Trial:
        return trial(name, rate=0.3, late_s=0.0001, seed=seed)

    first = await Record().all(drawn(1, "c:1"), 200)
    assert await Record().all(drawn(1, "c:1"), 200) == first
    assert await Record().all(drawn(2, "c:1"), 200) != first
    assert await Record().all(drawn(1, "c:2"), 200) != first
    assert 35 <= len(first) <= 85  # 0.3 of 200


async def test_all_kinds_are_drawn() -> None:
    kinds: tuple[Disordering, ...] = ("late", "swapped")
    record = Record()
    whose = trial(kinds=kinds, late_s=0.05)
    running = []
    for number in range(60):
        running.append(asyncio.create_task(record.deliver(whose, f"a{number}")))
        await asyncio.sleep(0)
    await asyncio.gather(*running)
    assert {note["kind"] for note in record.notes} == {"late", "swapped"}
    assert sorted(record.order) == sorted(f"a{number}" for number in range(60))


async def test_a_trial_that_ended_is_counted_anew() -> None:
    whose = trial(rate=0.3, late_s=0.0001)
    record, twice = Record(), Record()
    first = await record.all(whose, 50)
    await twice.all(whose, 50)
    twice.disorders.end(whose.trial)
    twice.notes.clear()
    assert await twice.all(whose, 50) == first


@pytest.mark.parametrize(
    ("kind", "done"), [("late", (2.0, False)), ("swapped", (1.0, False)), ("twice", (0.0, True))]
)
def test_a_message_is_held_back_or_comes_twice(kind: Any, done: tuple[float, bool]) -> None:
    notes: list[dict[str, Any]] = []
    disorders = Disorders(lambda whose, attrs: notes.append(attrs))
    assert disorders.message(Trial("t", Disorder((kind,), 1.0, 2.0, 0)), "a.1") == done
    assert [(note["call"], note["kind"]) for note in notes] == [("a.1", kind)]
    assert disorders.message(Trial("t", Disorder((kind,), 0.0, 2.0, 0)), "a.2") == (0.0, False)
    assert disorders.message(Trial("t", None), "a.3") == (0.0, False)


async def test_the_answer_to_a_request_cannot_come_twice() -> None:
    notes: list[dict[str, Any]] = []
    disorders = Disorders(lambda whose, attrs: notes.append(attrs))
    await disorders.deliver(Trial("t", Disorder(("twice",), 1.0, 2.0, 0)), "a.1")
    assert notes == []
