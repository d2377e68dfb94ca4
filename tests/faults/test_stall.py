"""A stall: what comes before it, how long it lasts, and bodies that are too short for one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fault_rig import APIS, ask, call_at, events_of, fault_rig, said_in, through, whole
from proofrig.faults.stall import Stall
from proofrig.wire.answer import Made

EVENTS = [b"data: 1\n\n", b": note\n\n", b"data: 2\n\n", b"data: 3\n\n"]


@pytest.mark.parametrize(
    ("settings", "chunks", "expected"),
    [
        ({}, EVENTS, [EVENTS[0], *EVENTS[1:]]),
        ({"after_events": 0}, EVENTS, EVENTS),
        ({"after_events": 2}, EVENTS, EVENTS),
        ({"after_events": 2}, [b"".join(EVENTS)], [b"".join(EVENTS[:3]), EVENTS[3]]),
        ({"after_events": 1}, [b"data: 1", b"\n\ndata: 2\n\n"], [b"data: 1", b"\n\n", EVENTS[2]]),
        ({"after_events": None, "after_bytes": 12}, [b"".join(EVENTS)], None),
    ],
)
async def test_a_stream_stops_after_so_many_events(
    settings: dict[str, int], chunks: list[bytes], expected: list[bytes] | None
) -> None:
    seen = await through([Stall(for_s=30, **settings)], events_of(*chunks))  # type: ignore[arg-type]
    assert seen.chunks == (expected or [b"data: 1\n\n: n", b"ote\n\ndata: 2\n\ndata: 3\n\n"])
    assert (seen.slept, seen.cut) == ([30.0], "")
    (fact,) = seen.facts
    assert fact["lasts_ns"] == 30_000_000_000


@pytest.mark.parametrize(
    ("settings", "answer"),
    [
        ({"after_events": 3}, events_of(*EVENTS)),
        ({"after_events": 3}, events_of(*EVENTS, b"")),
        ({"after_events": 9}, events_of(*EVENTS)),
        ({"after_bytes": 4}, whole(b"1234")),
        ({"after_bytes": None}, whole(b"1234")),
        ({}, whole(b"")),
    ],
)
async def test_a_body_that_is_not_longer_is_not_struck(
    settings: dict[str, int | None], answer: Made
) -> None:
    seen = await through([Stall(**settings)], answer)  # type: ignore[arg-type]
    assert (seen.facts, seen.slept) == ([], [])


@pytest.mark.parametrize("api", APIS)
async def test_nothing_stalls_behind_the_event_that_ends_a_turn(api: str) -> None:
    events = said_in(api)
    call = call_at(form=api)
    for sent in ([*events, b": bye\n\n"], [b"".join([*events, b": bye\n\n"])]):
        seen = await through([Stall(after_events=len(events))], events_of(*sent), call)
        assert seen.facts == []
        seen = await through([Stall(after_events=len(events) - 1)], events_of(*sent), call)
        assert len(seen.facts) == 1 and seen.body == b"".join(sent)


async def test_a_whole_body_stops_after_so_many_bytes_and_keeps_its_length() -> None:
    seen = await through([Stall(after_bytes=3, for_s=2)], whole(b"123456"))
    assert (seen.chunks, seen.said, seen.slept) == ([b"123", b"456"], 6, [2.0])


@pytest.mark.parametrize("stream", [False, True])
async def test_an_agent_that_goes_away_meanwhile_leaves_a_call_that_is_settled_once(
    tmp_path: Path, stream: bool
) -> None:
    async with fault_rig(tmp_path, [Stall()], waits=True) as rig:
        asking = asyncio.create_task(ask(rig.base, "chat_completions", stream=stream))
        await rig.until("fault")
        asking.cancel()
        (end,) = await rig.until("commit")
        held = rig.rig.reserved()
    assert (end.kind, end.attrs["outcome"], end.attrs["struck"]) == ("commit", "unknown", ["stall"])
    assert "infra" not in end.attrs and not any(held.values())


async def test_the_end_of_the_trial_ends_a_stall(tmp_path: Path) -> None:
    async with fault_rig(tmp_path, [Stall()], waits=True) as rig:
        asking = asyncio.create_task(rig.ask(stream=True))
        await rig.until("fault")
        rig.end_trial()
        got = await asking
        (end,) = rig.ends()
    assert got.ended != "whole"
    assert (end.attrs["outcome"], end.attrs["struck"]) == ("unknown", ["stall"])
