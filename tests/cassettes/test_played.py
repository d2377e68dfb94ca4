"""Recorded answers, given again."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from cassette_tapes import call, chat, drained, never, played, player, recorded, says, streamed
from proofrig.cassettes.played import id_of
from proofrig.errors import ProviderError
from proofrig.wire.answer import Answer, Cut
from proofrig.wire.outbound import Outbound

CHUNKS = [b"data: o", b"ne\n\nda", b"ta: two\n\n"]


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)


async def timed(tmp_path: Path, pace: float) -> list[int]:
    """When the head and each chunk come, in ms, of what was recorded at 5, 10, 30 and 60."""
    clock = Clock()
    waits = iter([0.005, 0.020, 0.030])

    async def chunks() -> object:
        for chunk in CHUNKS:
            await clock.sleep(next(waits))
            yield chunk

    from proofrig.cassettes.cassette import load
    from proofrig.cassettes.recorder import Recorder, RecorderSettings
    from proofrig.wire.answer import Made

    recorder = Recorder(tmp_path, RecorderSettings(clock=clock))

    async def send() -> Answer:
        await clock.sleep(0.005)
        return Made(200, chunks(), {"content-type": "text/event-stream"})  # type: ignore[arg-type]

    one = call(chat("hi"))
    await drained(await recorder.carry(one, send))
    recorder.close()
    clock.now = 0
    tape = player(load(tmp_path), pace=pace, clock=clock, sleep=clock.sleep)
    answer = await tape.carry(one, never)
    times = [clock.now]
    while await answer.readany():
        times.append(clock.now)
    return [time // 1_000_000 for time in times]


@pytest.mark.parametrize(
    ("pace", "times"), [(1.0, [5, 10, 30, 60]), (0.5, [2, 5, 15, 30]), (0.0, [0, 0, 0, 0])]
)
async def test_chunks_come_at_their_times(tmp_path: Path, pace: float, times: list[int]) -> None:
    assert await timed(tmp_path, pace) == times


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (None, "complete"),
        (Cut("reset"), "reset"),
        (Cut("close"), "close"),
        (ProviderError("it broke off"), "it broke off"),
    ],
)
async def test_an_answer_breaks_where_it_broke(tmp_path: Path, end: Exception, said: str) -> None:
    one = call(chat("hi"))
    tape = player(await recorded(tmp_path, [(one, streamed(CHUNKS, end))]))
    assert await played(tape, one) == (CHUNKS, said)


async def test_status_headers_and_length_come_back(tmp_path: Path) -> None:
    one = call(chat("hi"))
    given = says({"error": "busy"}, 429, retry_after="3", set_cookie="x")
    cassette = await recorded(tmp_path, [(one, given)])
    answer = await player(cassette).carry(one, never)
    assert answer.status == 429
    assert dict(answer.headers) == {"content-type": "application/json", "retry-after": "3"}
    assert getattr(answer, "length") == len(b'{"error":"busy"}')  # noqa: B009


def rpc(id: object, **more: object) -> Outbound:
    body = {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "look"}}
    return call(body | more, form="mcp", tool="look")


async def test_a_json_rpc_answer_carries_the_id_that_was_asked(tmp_path: Path) -> None:
    answer = {"jsonrpc": "2.0", "id": 1, "result": {"content": [], "id": 1}}
    cassette = await recorded(tmp_path, [(rpc(1), says(answer))])
    for id in (1, 17, "text"):
        chunks, _ = await played(player(cassette), rpc(id))
        assert msgspec.json.decode(b"".join(chunks)) == answer | {"id": id}


async def test_in_a_stream_only_the_answer_to_it_gets_the_id(tmp_path: Path) -> None:
    def event(value: object) -> bytes:
        return b"event: message\ndata: " + msgspec.json.encode(value) + b"\n\n"

    asks = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    note = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}
    answer = {"jsonrpc": "2.0", "id": 1, "result": {}}
    chunks = [event(note), event(asks), event(answer)]
    cassette = await recorded(tmp_path, [(rpc(1), streamed(chunks))])
    got, end = await played(player(cassette), rpc(1234))
    assert got == [*chunks[:2], event({"jsonrpc": "2.0", "id": 1234, "result": {}})]
    assert end == "complete"


def test_ids_of_messages() -> None:
    assert id_of(b'{"id": "a"}') == b'"a"'
    assert id_of(b'{"q": 1}') == id_of(b"[1]") == id_of(b"no") == b""
