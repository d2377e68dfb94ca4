"""Events in another order: which move, how far, and when nothing can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fault_rig import APIS, call_at, events_of, fault_rig, said_in, through, whole
from llm_rig import turn
from proofrig.faults.reordered_events import ReorderedEvents
from proofrig.wire.sse import EventSplitter

PLAIN = call_at("egress", "plain")
EVENTS = [b"data: %d\n\n" % n for n in range(10)]


def cut(body: bytes) -> list[bytes]:
    return EventSplitter().feed(body)


@pytest.mark.parametrize("window", [2, 3, 4, 100])
@pytest.mark.parametrize("seed", range(5))
async def test_events_move_inside_their_window_only(window: int, seed: int) -> None:
    seen = await through([ReorderedEvents(window=window)], events_of(*EVENTS), PLAIN, seed=seed)
    got = cut(seen.body)
    for start in range(0, 10, window):
        inside = slice(start, start + window)
        assert sorted(got[inside]) == EVENTS[inside]
        if len(EVENTS[inside]) > 1:
            assert got[inside] != EVENTS[inside]
    (fact,) = seen.facts
    assert fact["window"] == min(window, 10)


@pytest.mark.parametrize("api", APIS)
async def test_framing_and_the_end_keep_their_places(tmp_path: Path, api: str) -> None:
    said = turn(api, text="one two three four five six seven eight")
    async with fault_rig(tmp_path, [ReorderedEvents(window=100)]) as rig:
        got = await rig.ask(api, stream=True)
        (end,) = rig.ends()
    events, came = said_in(api, said), cut(got.body)
    assert sorted(came) == sorted(events) and came != events
    moved = [place for place, pair in enumerate(zip(events, came, strict=True)) if len({*pair}) > 1]
    assert all(b"delta" in events[place] for place in moved)
    assert came[-1] == events[-1] and end.attrs["struck"] == ["reordered_events"]


@pytest.mark.parametrize(
    ("settings", "last_stays"),
    [({"which": "all"}, True), ({"which": "all", "terminal": True}, False)],
)
async def test_the_last_event_moves_only_when_it_is_asked_for(
    settings: dict[str, Any], last_stays: bool
) -> None:
    events = said_in("chat_completions", turn(text="a b c"))
    ends = set()
    for seed in range(12):
        seen = await through(
            [ReorderedEvents(window=100, **settings)], events_of(*events), seed=seed
        )
        ends.add(seen.body.endswith(b"data: [DONE]\n\n"))
    assert (False in ends) is not last_stays


@pytest.mark.parametrize(
    "answer",
    [
        events_of(b"data: 1\n\n", b"data: 1\n\n"),
        events_of(b"data: 1\n\n", b": note\n\n", b"data: 2\n\n"),
        events_of(b"data: 1\n\n"),
        whole(b"[1, 2]"),
    ],
)
async def test_where_no_order_can_change_nothing_is_struck(answer: Any) -> None:
    assert (await through([ReorderedEvents()], answer, PLAIN)).facts == []
