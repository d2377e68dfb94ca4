"""What is recorded, and what is not."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cassette_tapes import TOKEN, call, carried, chat, drained, recorded, result, says, streamed
from proofrig.cassettes.cassette import load
from proofrig.cassettes.recorder import Recorder, RecorderSettings
from proofrig.errors import InfraError, ProviderError
from proofrig.wire.answer import Answer, Cut, Made

SECRET = "sk-proj-abcdEFGH1234567890"
CHUNKS = [b"data: one\n\n", b"data: two\n\n"]


def everything_in(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


async def test_chunks_pass_as_they_come(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, RecorderSettings())
    gate = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield CHUNKS[0]
        await gate.wait()
        yield CHUNKS[1]

    async def send() -> Answer:
        return Made(200, chunks(), {"content-type": "text/event-stream"})

    answer = await recorder.carry(call(chat("hi")), send)
    assert await answer.readany() == CHUNKS[0]  # the second has not come yet
    gate.set()
    assert await drained(answer) == (CHUNKS[1:], "complete")
    recorder.close()
    (exchange,) = load(tmp_path).exchanges
    assert [size for _, size in exchange.chunks] == [11, 11]


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (None, "complete"),
        (Cut("reset"), "reset"),
        (Cut("close"), "close"),
        (ProviderError("x"), "error"),
    ],
)
async def test_how_an_answer_ended(tmp_path: Path, end: Exception | None, said: str) -> None:
    cassette = await recorded(tmp_path, [(call(chat("hi")), streamed(CHUNKS, end))])
    (exchange,) = cassette.exchanges
    assert (exchange.end, exchange.status) == (said, 200)
    assert cassette.response(exchange) == b"".join(CHUNKS)


async def test_what_never_came(tmp_path: Path) -> None:
    given = [
        (call(chat("a")), ProviderError(f"no connection to http://u:passw0rd@x, key {SECRET}")),
        (call(chat("b")), Cut("reset")),
        (call(chat("c")), ValueError("what a tool raises")),
    ]
    cassette = await recorded(tmp_path, given)
    assert [exchange.end for exchange in cassette.exchanges] == ["error", "reset", "error"]
    assert {exchange.status for exchange in cassette.exchanges} == {0}
    failure = cassette.exchanges[0].failure
    assert failure is not None
    assert "redacted:openai-key" in failure.message
    assert b"passw0rd" not in everything_in(tmp_path)


async def test_what_its_agent_did_not_wait_for(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, RecorderSettings())

    async def send() -> Answer:
        return streamed(CHUNKS)

    async def hangs() -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    answer = await recorder.carry(call(chat("closed")), send)
    await answer.readany()
    answer.close()
    waiting = asyncio.ensure_future(recorder.carry(call(chat("given up")), hangs))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    left_open = await recorder.carry(call(chat("open")), send)
    await left_open.readany()
    recorder.close()
    left_open.close()
    cassette = load(tmp_path)
    assert [exchange.end for exchange in cassette.exchanges] == ["client_gone"] * 3
    assert [exchange.status for exchange in cassette.exchanges] == [200, 0, 200]
    assert cassette.response(cassette.exchanges[0]) == CHUNKS[0]


async def test_streams_that_interleave_are_kept_apart(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, RecorderSettings())

    async def one(number: int) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            for at in range(5):
                await asyncio.sleep(0)
                yield f"data: {number} {at}\n\n".encode()

        async def send() -> Answer:
            await asyncio.sleep(0)
            return Made(200, chunks(), {"content-type": "text/event-stream"})

        await drained(await recorder.carry(call(chat(f"agent {number}")), send))

    await asyncio.gather(*(one(number) for number in range(20)))
    recorder.close()
    cassette = load(tmp_path)
    for number, exchange in enumerate(cassette.exchanges):
        body = "".join(f"data: {number} {at}\n\n" for at in range(5)).encode()
        assert f"agent {number}".encode() in cassette.request(exchange)
        assert cassette.response(exchange) == body
        assert len(exchange.chunks) == 5


async def test_nothing_secret_is_written(tmp_path: Path) -> None:
    named = {"DB_PASSWORD": "hunter2-hunter2"}
    pieces = [b"data: x " + SECRET[:9].encode(), SECRET[9:].encode() + b"\n\n", b"data: hunter2-hu"]
    given = [
        (
            call(
                chat(f"use {SECRET} and {TOKEN}", key="hunter2-hunter2"),
                key=SECRET,
                headers={"authorization": f"Bearer {SECRET}"},
                path=f"/x?key={SECRET}",
            ),
            says({"text": SECRET}, location=f"/t/{TOKEN}", set_cookie=SECRET),
        ),
        (call(chat("stream")), streamed([*pieces, b"nter2\n\n"])),
        (
            call(chat("zip")),
            Made(200, gzip.compress(SECRET.encode()), {"content-encoding": "gzip"}),
        ),
        (
            call(chat("deep", result("c", f'{{"token": "{SECRET}"}}'))),
            says({"x": "y" * 70_000 + SECRET}),
        ),
    ]
    cassette = await recorded(tmp_path, given, secrets=named)
    written = everything_in(tmp_path)
    for secret in (SECRET, SECRET[9:], "hunter2", TOKEN):
        assert secret.encode() not in written
    taken = cassette.manifest.redaction.taken
    assert taken["openai-key"] >= 6
    assert taken["env-DB_PASSWORD"] == 2
    assert taken["trial-token"] >= 1
    assert taken["headers"] >= 1
    stream = cassette.exchanges[1]
    assert sum(size for _, size in stream.chunks) == len(cassette.response(stream))
    assert cassette.exchanges[2].headers == {}


async def test_a_body_above_the_cap_breaks_off_there(tmp_path: Path) -> None:
    given = [
        (call(chat("hi")), streamed([b"abcd", b"efgh", b"ijkl"])),
        (call(chat("ho")), streamed([b"abcdef"])),
        (call(chat("hm")), streamed([b"abc", b"def", b"g"])),
    ]
    cassette = await recorded(tmp_path, given, cap=6)
    long, fits, full = cassette.exchanges
    assert (cassette.response(full), full.end) == (b"abcdef", "error")
    assert (cassette.response(long), long.end) == (b"abcdef", "error")
    assert long.failure is not None
    assert "only 6 bytes" in long.failure.message
    assert (cassette.response(fits), fits.end) == (b"abcdef", "complete")


async def test_a_disk_that_is_full_disturbs_no_agent(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, RecorderSettings())
    (tmp_path / "blobs").rmdir()  # a big body has no place any more
    (tmp_path / "blobs").write_text("")
    big = {"x": "y" * 70_000}
    chunks, end = await carried(recorder, call(chat("hi")), says(big))
    assert (len(b"".join(chunks)) > 70_000, end) == (True, "complete")
    assert "cannot write the cassette" in recorder.trouble
    with pytest.raises(InfraError, match="cannot write the cassette"):
        recorder.close()


async def test_the_manifest_says_what_the_recording_is_of(tmp_path: Path) -> None:
    suite = {"name": "shop", "digest": "abc"}
    given = [(call(chat("hi")), says(1)), (call({"q": 1}, form="tool", tool="t"), says(2))]
    cassette = await recorded(tmp_path, given, suite=suite, run="run-1", seed=7)
    manifest = cassette.manifest
    assert (manifest.suite, manifest.run, manifest.seed) == (suite, "run-1", 7)
    assert manifest.counts == {"bytes": 2, "exchanges": 2, "llm": 1, "tool": 1, "trials": 1}
    assert "uuid" in manifest.canonical["scrub"]
    assert manifest.seal is not None
