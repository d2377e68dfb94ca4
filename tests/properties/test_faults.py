"""Properties of the draws: they depend on nothing but what they are for."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from fault_rig import Bench, call_at, events_of, said_in, through, whole
from llm_rig import turn
from proofrig.faults._events import Midway
from proofrig.faults.duplicate_events import DuplicateEvents
from proofrig.faults.fault import Fault, Hit, Onward, Target
from proofrig.faults.reordered_events import ReorderedEvents
from proofrig.faults.split_utf8 import SplitUtf8
from proofrig.faults.stall import Stall
from proofrig.faults.trickle import Trickle
from proofrig.wire.answer import Answer
from proofrig.wire.sse import EventSplitter

TRIALS = st.sampled_from(["a:1", "a:2", "b:1", "b:1~2"])
NAMES = st.sampled_from(["llm.messages", "tool.buy", "egress.get"])
CALLS = st.lists(st.tuples(TRIALS, NAMES), max_size=60)


class Noted(Fault):
    kind: Literal["noted"] = "noted"

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        hit.struck()
        return await onward()


def drawn(
    bench: Bench, calls: list[tuple[str, str]]
) -> dict[tuple[str, str, int], tuple[float, ...]]:
    """By trial, name and number: the next draw of each fault that strikes there."""
    found: dict[tuple[str, str, int], tuple[float, ...]] = {}
    for trial, name in calls:
        number = sum(key[:2] == (trial, name) for key in found)
        hits = bench.injector.upon(call_at(trial=trial, name=name))
        found[trial, name, number] = tuple(hit.rng.random() for _, hit in hits)
    return found


@settings(max_examples=60, deadline=None)
@given(CALLS, st.randoms(use_true_random=False), st.integers(0, 2**32))
def test_neither_other_trials_nor_their_order_change_a_draw(
    calls: list[tuple[str, str]], chance: object, seed: int
) -> None:
    faults = [Noted(probability=0.5), Noted(name="other", probability=0.5)]
    together = drawn(Bench(faults, seed=seed), calls)
    shuffled = list(calls)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert drawn(Bench(faults, seed=seed), shuffled) == together
    for trial in {trial for trial, _ in calls}:
        alone = drawn(Bench(faults, seed=seed), [call for call in calls if call[0] == trial])
        assert alone == {key: together[key] for key in together if key[0] == trial}


@settings(max_examples=30, deadline=None)
@given(CALLS, st.integers(0, 2**32), st.integers(1, 9))
def test_neither_times_nor_another_fault_behind_changes_a_draw(
    calls: list[tuple[str, str]], seed: int, later_s: int
) -> None:
    bench = Bench([Noted(probability=0.5)], seed=seed)
    first = drawn(bench, calls)
    late = Bench([Noted(probability=0.5), Noted(name="behind", on=Target(nth=1))], seed=seed)
    late.now_ns = later_s * 10**9
    again = drawn(late, calls)
    assert all(again[key][: len(first[key])] == first[key] for key in first)


@settings(max_examples=15, deadline=None)
@given(st.floats(0, 1), st.integers(0, 2**32))
def test_a_share_of_the_calls_is_struck(share: float, seed: int) -> None:
    bench = Bench([Noted(probability=share)], seed=seed)
    total = 2_000
    struck = sum(bool(bench.injector.upon(call_at(trial=f"t:{n % 50}"))) for n in range(total))
    deviation = (total * share * (1 - share)) ** 0.5
    assert abs(struck - total * share) <= 6 * deviation


EVENTS = st.lists(
    st.sampled_from([b"data: a\n\n", b"data: b\r\n\r\n", b": note\n\n", b"event: x\ndata: c\n\n"]),
    max_size=12,
).map(b"".join)
CUTS = st.lists(st.integers(0, 200), max_size=8)


def chunked(body: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    return [body[a:b] for a, b in pairwise(places)]


HARMLESS = st.one_of(
    st.integers(0, 14).map(lambda n: Stall(after_events=n)),
    st.integers(0, 200).map(lambda n: Stall(after_events=None, after_bytes=n)),
    st.integers(1, 30).map(lambda n: Trickle(bytes=n)),
    st.just(SplitUtf8()),
)


@settings(max_examples=80, deadline=None)
@given(EVENTS, CUTS, HARMLESS)
async def test_a_fault_of_time_changes_no_byte(body: bytes, cuts: list[int], fault: Fault) -> None:
    seen = await through([fault], events_of(*chunked(body, cuts)))
    assert seen.body == body
    assert bool(seen.facts) == bool(seen.slept)
    if isinstance(fault, Midway) and not seen.facts:
        assert seen.chunks == chunked(body, cuts)


@settings(max_examples=60, deadline=None)
@given(CUTS, st.sampled_from(["chat_completions", "responses", "messages"]), st.integers(0, 99))
async def test_what_is_made_of_events_does_not_depend_on_their_chunks(
    cuts: list[int], api: str, seed: int
) -> None:
    events = said_in(api, turn(api, text="one two three four five"))
    body = b"".join(events)
    for fault in (DuplicateEvents(share=0.5), ReorderedEvents(window=3)):
        at = call_at(form=api)
        first = await through([fault], events_of(*events), at, seed=seed)
        again = await through([fault], events_of(*chunked(body, cuts)), at, seed=seed)
        assert again.body == first.body
        assert set(EventSplitter().feed(again.body)) == set(events)


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=30), st.integers(1, 6))
async def test_characters_are_split_exactly_where_there_are_any(text: str, splits: int) -> None:
    body = text.encode("utf-8", "replace")
    seen = await through([SplitUtf8(splits=splits)], whole(body, "text/plain"))
    several = sum(len(character.encode("utf-8", "replace")) > 1 for character in text)
    assert (seen.body, len(seen.slept)) == (body, min(several, splits))
