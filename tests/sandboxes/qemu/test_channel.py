"""The runner's multiplexer against what a guest may say, true or not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from proofrig.errors import SandboxError
from proofrig.sandboxes.guest import frames
from proofrig.sandboxes.qemu.channel import Channel
from proofrig.sandboxes.relay import Relay


class Guest:
    """The other end: says frames, and hears them."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.lost: list[str] = []
        self.channel = Channel(self.told.append, self.lost.append)
        self.parser = frames.Parser()
        self.waiting: list[tuple[int, int, bytes]] = []

    async def connect(self) -> None:
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self.channel, sock=ours)
        self.reader, self.writer = await asyncio.open_unix_connection(sock=theirs)

    def say(self, kind: int, stream: int, payload: bytes = b"") -> None:
        self.writer.write(frames.frame(kind, stream, payload))

    async def hear(self) -> tuple[int, int, bytes]:
        while not self.waiting:
            data = await self.reader.read(1 << 16)
            assert data, "the channel was closed"
            self.waiting += self.parser.feed(data)
        return self.waiting.pop(0)


@pytest_asyncio.fixture
async def guest() -> AsyncIterator[Guest]:
    made = Guest()
    await made.connect()
    yield made
    made.channel.end("")
    made.writer.close()


async def until(condition: Callable[[], object]) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come to pass")


async def test_answers_find_who_asked(guest: Guest) -> None:
    first = asyncio.create_task(guest.channel.ask("one"))
    second = asyncio.create_task(guest.channel.ask("two", x=1))
    (_, one, _), (_, two, text) = await guest.hear(), await guest.hear()
    assert b'"x":1' in text
    guest.say(frames.ANSWER, two, b'{"errno": 2, "error": "no"}')
    guest.say(frames.ANSWER, one, b'{"yes": 1}')
    assert await first == {"yes": 1}
    with pytest.raises(FileNotFoundError):
        await second
    last = asyncio.create_task(guest.channel.ask("three"))
    await guest.hear()
    guest.writer.close()
    with pytest.raises(SandboxError):
        await last
    assert len(guest.lost) == 1


@pytest.mark.parametrize(
    "lie",
    [
        frames.HEADER.pack(frames.DATA, 1, frames.MOST + 1),
        frames.frame(frames.TELL, 0, b"{no json"),
        frames.frame(frames.OPEN, 5, frames.NUMBER.pack(80)),
        frames.frame(frames.OPEN, frames.GUEST, b"?"),
        b"".join(frames.frame(frames.DATA, 4, bytes(frames.CHUNK)) for _ in range(9)),
    ],
    ids=["length", "json", "number", "port", "credit"],
)
async def test_a_guest_that_breaks_the_rules_is_cut_off(guest: Guest, lie: bytes) -> None:
    guest.channel.pull(4, lambda data: None, lambda: None)
    guest.channel.streams[4].reading = False
    guest.writer.write(lie)
    await until(lambda: guest.lost)
    assert "no sense" in guest.lost[0]


async def test_what_is_written_waits_for_credit(guest: Guest) -> None:
    stream = guest.channel.push(4)
    stream.write(bytes(frames.WINDOW + 10))
    stream.write_eof()
    got = 0
    while got < frames.WINDOW:
        got += len((await guest.hear())[2])
    assert got == frames.WINDOW and not stream.write_ended
    guest.say(frames.CREDIT, 4, frames.NUMBER.pack(100))
    assert [(await guest.hear())[0], (await guest.hear())[0]] == [frames.DATA, frames.END]


async def test_connections_reach_their_port_and_no_other(guest: Guest) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    relay = guest.channel.relay = Relay(None, lambda: None)
    guest.channel.ports = frozenset([port])
    allowed, other = frames.GUEST + 1, frames.GUEST + 2
    guest.say(frames.OPEN, other, frames.NUMBER.pack(port ^ 1))
    assert await guest.hear() == (frames.ABORT, other, b"")
    guest.say(frames.OPEN, allowed, frames.NUMBER.pack(port))
    guest.say(frames.DATA, allowed, b"hello")
    guest.say(frames.END, allowed)
    assert await guest.hear() == (frames.DATA, allowed, b"hello")
    assert await guest.hear() == (frames.END, allowed, b"")
    await until(lambda: not relay.live)
    assert (relay.bytes_out, relay.bytes_in, relay.connections) == (5, 5, 1)
    assert not guest.channel.streams
    relay.close()
    server.close()
    await server.wait_closed()
