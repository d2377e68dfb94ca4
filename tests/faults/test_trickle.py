"""A trickle: how bodies are cut, and pings that keep a reader waiting."""

from __future__ import annotations

from pathlib import Path

import pytest

from fault_rig import call_at, events_of, fault_rig, through, whole
from proofrig.faults.trickle import Trickle
from proofrig.wire.answer import Made


@pytest.mark.parametrize(
    ("answer", "chunks", "waits"),
    [
        (whole(b"12345"), [b"12", b"34", b"5"], 2),
        (whole(b"12"), [b"12"], 0),
        (whole(b""), [], 0),
        (events_of(b"data", b": 1\n\n"), [b"da", b"ta", b": ", b"1\n", b"\n"], 4),
    ],
)
async def test_a_body_comes_in_pieces(answer: Made, chunks: list[bytes], waits: int) -> None:
    said = answer.length
    seen = await through([Trickle(bytes=2, ms=250)], answer)
    assert (seen.chunks, seen.slept, seen.said) == (chunks, [0.25] * waits, said)
    assert len(seen.facts) == min(waits, 1)


@pytest.mark.parametrize(
    ("form", "ping"),
    [
        ("chat_completions", b": ping\n\n"),
        ("messages", b'event: ping\ndata: {"type": "ping"}\n\n'),
    ],
)
async def test_pings_come_before_each_event(form: str, ping: bytes) -> None:
    call = call_at(form=form)
    answer = events_of(b"data: 1\n\n: own\n\nda", b"ta: 2\n\n")
    seen = await through([Trickle(pings=2, ms=100)], answer, call)
    assert seen.chunks == [ping, ping, b"data: 1\n\n", b": own\n\n", ping, ping, b"data: 2\n\n"]
    assert seen.slept == [0.1] * 6


async def test_pings_have_no_place_in_a_body_that_is_no_stream() -> None:
    seen = await through([Trickle(pings=2, bytes=3)], whole(b"12345"))
    assert seen.chunks == [b"123", b"45"]


@pytest.mark.parametrize("pings", [0, 3])
@pytest.mark.parametrize("api", ["chat_completions", "responses", "messages"])
async def test_the_agent_gets_the_same_turn(tmp_path: Path, api: str, pings: int) -> None:
    async with fault_rig(tmp_path, [Trickle(pings=pings, bytes=40)]) as rig:
        got = await rig.ask(api, stream=True)
        whole = await rig.ask(api)
        first, second = rig.ends()
    assert got.turn(api).text == whole.turn(api).text == "one two three four five six seven eight"
    assert got.ended == whole.ended == "whole"
    assert first.attrs["struck"] == second.attrs["struck"] == ["trickle"]
    assert first.attrs["source"] == second.attrs["source"] == "measured"
