"""Two connections joined: half-close, backpressure, and what each ending does to the other side."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from egress_rig import EgressRig, connect, egress_rig, wire
from proofrig.gateways.egress.limits import EgressLimits
from proofrig.history.action import Action


@dataclass
class Pair:
    """Both ends of one tunnel."""

    rig: EgressRig
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    far_reader: asyncio.StreamReader
    far_writer: asyncio.StreamWriter

    async def action(self) -> Action:
        return (await self.rig.ended(1))[0]


@asynccontextmanager
async def pair(run_dir: Path, **settings: object) -> AsyncIterator[Pair]:
    got: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
        asyncio.get_running_loop().create_future()
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.set_result((reader, writer))

    async with egress_rig(run_dir, **settings) as rig, wire(serve) as port:
        reader, writer, head = await connect(rig, f"localhost:{port}")
        assert head.startswith(b"HTTP/1.1 200 ")
        far_reader, far_writer = await got
        try:
            yield Pair(rig, reader, writer, far_reader, far_writer)
        finally:
            writer.close()
            far_writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by RST."""
    ours = writer.get_extra_info("socket")
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def test_bytes_pass_and_are_counted(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        both.writer.write(b"\x00\xffhello")
        assert await both.far_reader.readexactly(7) == b"\x00\xffhello"
        both.far_writer.write(b"welcome")
        assert await both.reader.readexactly(7) == b"welcome"
        both.writer.close()
        assert await both.far_reader.read() == b""
        both.far_writer.close()
        action = await both.action()
    assert (action.name, action.outcome) == ("egress.connect", "ok")
    assert action.attr("seen") == "tunnel"
    assert (action.attr("bytes_up"), action.attr("bytes_down")) == (7, 7)
    assert action.attr("actual")["bytes"] == 14
    assert action.attr("ended_by") == "agent"


async def test_one_direction_ends_and_the_other_goes_on(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        both.writer.write(b"all of it")
        both.writer.write_eof()
        assert await both.far_reader.read() == b"all of it"
        both.far_writer.write(b"an answer ")
        await asyncio.sleep(0.02)
        both.far_writer.write(b"in pieces")
        both.far_writer.close()
        assert await both.reader.read() == b"an answer in pieces"
        action = await both.action()
    assert (action.outcome, action.attr("ended_by")) == ("ok", "agent")


async def test_the_host_ends_first(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        both.far_writer.write(b"bye")
        both.far_writer.write_eof()
        assert await both.reader.read() == b"bye"
        both.writer.write(b"one more")
        both.writer.close()
        assert await both.far_reader.read() == b"one more"
        action = await both.action()
    assert (action.outcome, action.attr("ended_by")) == ("ok", "host")


async def test_a_reset_of_the_host_reaches_the_agent(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        reset(both.far_writer)
        with pytest.raises(ConnectionResetError):
            await both.reader.readexactly(1)
        action = await both.action()
    assert (action.outcome, action.attr("ended_by")) == ("fail", "host")
    assert "broke off" in action.attr("error")


async def test_an_agent_that_is_gone_ends_the_hosts_side(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        reset(both.writer)
        with pytest.raises(ConnectionResetError):
            await both.far_reader.readexactly(1)
        action = await both.action()
    assert (action.outcome, action.attr("ended_by")) == ("ok", "agent")


async def test_who_does_not_read_is_not_sent_more_than_fits(tmp_path: Path) -> None:
    size = 64 << 20
    async with pair(tmp_path) as both:
        sending = asyncio.create_task(_send(both.writer, size))
        await asyncio.sleep(0.2)
        assert not sending.done()  # the host does not read
        held = both.rig.gateway._desk.allowances["tok-0123456789abcdef"].used
        assert held < size / 2
        got = 0
        while chunk := await both.far_reader.read(1 << 20):
            got += len(chunk)
        await sending
        both.far_writer.close()
        action = await both.action()
    assert (got, action.attr("bytes_up")) == (size, size)


async def _send(writer: asyncio.StreamWriter, size: int) -> None:
    for _ in range(size >> 20):
        writer.write(bytes(1 << 20))
        await writer.drain()
    writer.write_eof()


async def test_bytes_used_up_cut_the_tunnel_at_the_last_one(tmp_path: Path) -> None:
    async with pair(tmp_path, max_bytes=10) as both:
        both.writer.write(b"1234")
        assert await both.far_reader.readexactly(4) == b"1234"
        both.far_writer.write(b"abcdefgh")
        assert await both.reader.read() == b"abcdef"
        assert await both.far_reader.read() == b""
        action = await both.action()
        assert (action.outcome, action.attr("blocked")) == ("fail", "byte_cap")
        assert action.attr("actual")["bytes"] == 10
        assert both.rig.notes("egress_cap") == [{"limit": 10, "used": 10}]
        _, writer, head = await connect(both.rig, "localhost:2")
        writer.close()
        assert b" 403 " in head and b"x-proofrig-blocked: byte_cap" in head
        assert len(both.rig.notes("egress_cap")) == 1


async def test_half_open_and_silent_is_closed(tmp_path: Path) -> None:
    async with pair(tmp_path, limits=EgressLimits(half_s=0.05)) as both:
        both.writer.write_eof()
        assert await both.far_reader.read() == b""
        assert await both.reader.read() == b""
        assert (await both.action()).attr("ended_by") == "agent"


async def test_half_open_and_busy_is_not_closed(tmp_path: Path) -> None:
    async with pair(tmp_path, limits=EgressLimits(half_s=0.1)) as both:
        both.writer.write_eof()
        for _ in range(6):
            await asyncio.sleep(0.05)
            both.far_writer.write(b"x")
        both.far_writer.close()
        assert await both.reader.read() == b"xxxxxx"
