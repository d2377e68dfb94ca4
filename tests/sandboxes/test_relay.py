"""The relay between real sockets, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import uvloop

from proofrig.sandboxes.relay import Relay

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=list(LOOPS))
def on_loop(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    def run(work: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(asyncio.wait_for(work, 60))

    return run


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write(b"!")  # said after the other side had ended its own
    writer.close()


@contextlib.asynccontextmanager
async def relayed(
    handler: Handler = echo, cap: int | None = None, most: int | None = None
) -> AsyncIterator[tuple[Relay, int, list[int]]]:
    """A relay in front of a server: (relay, port to connect to, times it was broken)."""
    broken: list[int] = []
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    relay = Relay(cap, lambda: broken.append(1), most=most)
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    relay.serve(listener, server.sockets[0].getsockname()[1])
    try:
        yield relay, listener.getsockname()[1], broken
    finally:
        relay.close()
        relay.close()
        await settled(lambda: not relay.live and not relay.tasks)
        server.close()


async def settled(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - any condition
        await asyncio.sleep(0.001)


async def asked(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        writer.write_eof()
        return await reader.read()
    finally:
        writer.close()


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_bytes_pass_and_are_counted_and_a_half_close_stays_one(on_loop: Any, size: int) -> None:
    async def body() -> None:
        async with relayed() as (relay, port, _):
            data = os.urandom(size)
            assert await asked(port, data) == data + b"!"
            await settled(lambda: not relay.live)
            assert (relay.bytes_out, relay.bytes_in) == (size, size + 1)
            assert (relay.connections, relay.broken) == (1, False)

    on_loop(body())  # the loop opens some of its own, for good
    before = open_fds()
    on_loop(body())
    assert open_fds() == before


def test_many_connections_at_once(on_loop: Any) -> None:
    async def body() -> None:
        async with relayed(most=8) as (relay, port, _):
            answers = await asyncio.gather(*(asked(port, b"%d" % n) for n in range(40)))
            assert answers == [b"%d!" % n for n in range(40)]
            assert relay.connections == 40

    on_loop(body())


@pytest.mark.parametrize(
    ("cap", "sent", "passed"), [(10, [10], 10), (10, [4, 6], 10), (10, [11], 0), (10, [6, 5], 6)]
)
def test_the_cap_is_never_crossed(on_loop: Any, cap: int, sent: list[int], passed: int) -> None:
    heard = bytearray()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(100):
                heard.extend(data)
                writer.write(b"." * len(data))
        writer.close()

    async def body() -> None:
        async with relayed(hear, cap=cap) as (relay, port, broken):
            breaks = sum(sent) > cap
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for size in sent:
                writer.write(b"x" * size)
                if relay.bytes_out + size <= cap:
                    assert await reader.readexactly(size) == b"." * size
            if breaks:
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
                assert await asked_and_cut(port) == b""
            assert (relay.broken, broken) == (breaks, [1] if breaks else [])
            assert relay.bytes_out == len(heard) == passed
            writer.close()

    on_loop(body())


async def asked_and_cut(port: int) -> bytes:
    try:
        return await asked(port, b"x")
    except OSError:  # which one depends on how far it came
        return b""


def test_beyond_the_most_connections_wait_for_room(on_loop: Any) -> None:
    """None of them is lost, and none costs a descriptor before its turn."""

    async def body() -> None:
        async with relayed(most=3) as (relay, port, _):
            opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10)]
            await settled(lambda: relay.connections == 3)
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert (relay.connections, len(relay.live)) == (3, 3)
            for reader, writer in opened:
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"
                writer.close()
            await settled(lambda: not relay.live)
            assert relay.connections == 10

    on_loop(body())


def test_a_slow_reader_slows_the_writer(on_loop: Any) -> None:
    """What is on its way stays far below what the writer has to say."""
    gate = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await echo(reader, writer)

    async def body() -> None:
        async with relayed(slow) as (relay, port, _):
            client = socket.create_connection(("127.0.0.1", port))
            client.setblocking(False)
            sent = 0
            quiet = 0
            while quiet < 50:
                try:
                    sent += client.send(bytes(1 << 16))
                    quiet = 0
                except BlockingIOError:
                    quiet += 1
                await asyncio.sleep(0.001)
                assert sent < 64 << 20
            assert relay.bytes_out < 32 << 20
            gate.set()
            client.close()

    on_loop(body())


def test_a_reset_of_the_box_ends_the_rigs_end(on_loop: Any) -> None:
    gone: list[bool] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        gone.append(True)
        writer.close()

    async def body() -> None:
        async with relayed(hear) as (relay, port, _):
            with socket.create_connection(("127.0.0.1", port)) as client:
                assert await asyncio.to_thread(client.recv, 5) == b"hello"
                linger = struct.pack("ii", 1, 0)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            await settled(lambda: bool(gone) and not relay.live)

    on_loop(body())


def test_without_the_rig_the_box_sees_its_connection_end(on_loop: Any) -> None:
    async def body() -> None:
        async with relayed() as (relay, port, _):
            with socket.create_server(("127.0.0.1", 0)) as unused:
                free = unused.getsockname()[1]
            for listener in relay.listeners:
                relay.listeners[listener] = free
            assert await asked_and_cut(port) == b""
            await settled(lambda: not relay.live)
            assert relay.bytes_in == 0

    on_loop(body())


def test_closing_cuts_what_goes_on(on_loop: Any) -> None:
    async def body() -> None:
        async with relayed() as (relay, port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            waiting = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
            relay.close()
            for left, each in [(reader, writer), *waiting]:
                with contextlib.suppress(ConnectionError):
                    assert await left.read() == b""
                each.close()
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", port)

    on_loop(body())  # the loop opens some of its own, for good
    before = open_fds()
    on_loop(body())
    assert open_fds() == before


def test_a_forgotten_listener_takes_nothing_new_and_keeps_what_it_had(on_loop: Any) -> None:
    async def body() -> None:
        async with relayed() as (relay, port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await settled(lambda: bool(relay.live))
            (listener,) = relay.listeners
            relay.forget(listener)
            relay.forget(listener)
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"still")
            assert await reader.readexactly(5) == b"still"
            writer.close()

    on_loop(body())


def test_another_carrier_shares_counts_and_cap(on_loop: Any, tmp_path: Any) -> None:
    """`connect` as the factory of a server on a unix socket."""
    path = str(tmp_path / "carrier")

    async def body() -> None:
        async with relayed(cap=100) as (relay, port, broken):
            target = next(iter(relay.listeners.values()))
            loop = asyncio.get_running_loop()
            carrier = await loop.create_unix_server(lambda: relay.connect(target), path)
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"x" * 60)
            assert await reader.readexactly(60) == b"x" * 60
            assert await asked(port, b"y" * 40) == b"y" * 40 + b"!"
            assert relay.bytes_out == 100
            writer.write(b"z")
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            assert broken == [1]
            writer.close()
            carrier.close()

    on_loop(body())
