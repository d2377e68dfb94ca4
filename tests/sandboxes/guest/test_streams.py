"""The guest's multiplexer, on this host: pipes on one side, frames on the other."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import pytest

from proofrig.sandboxes.guest import frames
from proofrig.sandboxes.guest.streams import Channel, Loop, Stream


class Far:
    """The other end of a channel, and what was heard there."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)
        self.loop = Loop()
        self.asked: list[bytes] = []
        self.channel = Channel(self.loop, theirs.detach(), lambda _, data: self.asked.append(data))
        self.parser = frames.Parser()
        self.ended = 0

    def done(self) -> None:
        self.ended += 1

    def say(self, kind: int, stream: int, payload: bytes = b"") -> None:
        self.socket.sendall(frames.frame(kind, stream, payload))

    def hear(self) -> list[tuple[int, int, bytes]]:
        """Let the loop turn until nothing comes any more."""
        found: list[tuple[int, int, bytes]] = []
        for _ in range(50):
            self.loop.turn(0)
            with contextlib.suppress(BlockingIOError):
                found += self.parser.feed(self.socket.recv(1 << 20))
        return found


@pytest.fixture
def far() -> Iterator[Far]:
    made = Far()
    yield made
    made.socket.close()
    os.close(made.channel.fd)
    made.loop.close()


def test_what_is_asked_is_handed_on(far: Far) -> None:
    far.say(frames.ASK, 7, b"{}")
    far.hear()
    assert far.asked == [b"{}"]


def test_output_stops_at_its_window_and_goes_on_with_credit(far: Far) -> None:
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    Stream(far.channel, 4, ours, -1, far.done)
    got = 0
    for _ in range(20):
        try:
            os.write(theirs, bytes(1 << 15))
        except BlockingIOError:
            break
        got += sum(len(data) for kind, _, data in far.hear() if kind == frames.DATA)
    assert got == frames.WINDOW
    far.say(frames.CREDIT, 4, frames.NUMBER.pack(1000))
    assert [len(data) for _, _, data in far.hear()] == [1000]
    far.say(frames.CREDIT, 4, frames.NUMBER.pack(frames.WINDOW))
    os.close(theirs)
    assert far.hear()[-1] == (frames.END, 4, b"")
    assert far.ended == 1 and not far.channel.streams


def test_input_is_paid_for_when_it_was_taken(far: Far) -> None:
    ours, theirs = os.pipe()
    Stream(far.channel, 4, -1, theirs, far.done)
    heard = []
    for _ in range(frames.WINDOW // frames.CHUNK):
        far.say(frames.DATA, 4, bytes(frames.CHUNK))
        heard += far.hear()
    assert sum(frames.NUMBER.unpack(data)[0] for _, _, data in heard) < frames.WINDOW // 2
    far.say(frames.END, 4)
    read = 0
    while read < frames.WINDOW:
        read += len(os.read(ours, 1 << 20))
        heard += far.hear()
    assert sum(frames.NUMBER.unpack(data)[0] for _, _, data in heard) >= frames.WINDOW // 2
    assert os.read(ours, 1) == b"" and far.ended == 1
    os.close(ours)


def test_a_reader_that_goes_is_no_harm(far: Far) -> None:
    ours, theirs = os.pipe()
    Stream(far.channel, 4, -1, theirs, far.done)
    os.close(ours)
    far.say(frames.DATA, 4, b"x")
    far.hear()
    assert far.ended == 1


@pytest.mark.parametrize("first", ["program", "rig"])
def test_a_connection_is_closed_half_by_half(far: Far, first: str) -> None:
    near, made = socket.socketpair()
    near.settimeout(10)
    fd, number = made.detach(), frames.GUEST + 1
    Stream(far.channel, number, fd, fd, far.done)
    if first == "program":
        near.shutdown(socket.SHUT_WR)
        assert far.hear() == [(frames.END, number, b"")]
        far.say(frames.DATA, number, b"still")
        far.hear()
        assert (near.recv(10), far.ended) == (b"still", 0)
        far.say(frames.END, number)
        far.hear()
        assert near.recv(10) == b""
    else:
        far.say(frames.END, number)
        far.hear()
        assert near.recv(10) == b""
        near.sendall(b"still")
        assert far.hear() == [(frames.DATA, number, b"still")]
        assert far.ended == 0
        near.shutdown(socket.SHUT_WR)
        assert far.hear() == [(frames.END, number, b"")]
    assert far.ended == 1 and not far.channel.streams
    near.close()


def test_an_aborted_connection_is_gone_at_once(far: Far) -> None:
    near, made = socket.socketpair()
    fd = made.detach()
    Stream(far.channel, frames.GUEST + 1, fd, fd, far.done)
    far.say(frames.ABORT, frames.GUEST + 1)
    far.hear()
    assert far.ended == 1 and near.recv(1) == b""
    near.close()
