"""The runner's ends of pipes, against real pipes."""

from __future__ import annotations

import asyncio
import os

import pytest

from proofrig.sandboxes.pipes import Capture, Feed


@pytest.mark.parametrize(
    ("cap", "tail", "kept"),
    [
        (0, False, b""),
        (4, False, b"abcd"),
        (4, True, b"efgh"),
        (0, True, b""),
        (99, True, b"abcdefgh"),
    ],
)
async def test_capture_keeps_its_cap(cap: int, tail: bool, kept: bytes) -> None:
    capture = Capture(cap, tail=tail)
    for part in (b"abc", b"defg", b"h"):
        os.write(capture.write_fd, part)
        await asyncio.sleep(0)
    os.close(capture.write_fd)
    assert capture.finish() == kept
    assert capture.total == 8


async def test_capture_hands_to_its_sink_and_keeps_nothing() -> None:
    heard: list[bytes] = []
    capture = Capture(100, sink=heard.append)
    os.write(capture.write_fd, b"line\n")
    os.close(capture.write_fd)
    assert capture.finish() == b""
    assert heard == [b"line\n"]


async def test_feed_waits_for_a_slow_reader() -> None:
    feed = Feed(b"a" * 200_000, keep=False)
    received = bytearray()
    while len(received) < 200_000:
        await asyncio.sleep(0.001)
        received += os.read(feed.read_fd, 50_000)
    assert os.read(feed.read_fd, 10) == b""
    os.close(feed.read_fd)
    assert feed.closed


async def test_feed_to_a_reader_that_is_gone_closes_itself() -> None:
    feed = Feed(b"", keep=True)
    os.close(feed.read_fd)
    feed.send(b"x")
    assert feed.closed
    feed.send(b"y")
