"""What comes in at the port before it is a request: garbage, heads without end, silence."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from egress_rig import TOKEN, egress_rig, raw, wire
from proofrig.gateways.egress.front import MAX_HEAD
from proofrig.gateways.egress.limits import EgressLimits


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS to the proxy itself
        b"\x05\x01\x00",  # SOCKS
        b"\r\n\r\n",
        b"get / HTTP/1.1\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_refused_at_its_first_byte(
    tmp_path: Path, garbage: bytes
) -> None:
    async with egress_rig(tmp_path) as rig:
        said = await raw(rig, garbage)
        assert rig.entries() == []
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"this port is a proxy" in said


@pytest.mark.parametrize(
    "head",
    [
        b"PRI * HTTP/2.0\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET http:///nowhere HTTP/1.1\r\n\r\n",
        b"CONNECT nowhere HTTP/9\r\n\r\n",
        b"CONNECT a:99999 HTTP/1.1\r\n\r\n",
        b"CONNECT a:443 HTTP/1.1\r\nno colon\r\n\r\n",
    ],
)
async def test_a_head_that_cannot_be_read_is_answered_with_400(tmp_path: Path, head: bytes) -> None:
    async with egress_rig(tmp_path) as rig:
        assert (await raw(rig, head)).split(b" ")[1] == b"400"


async def test_a_head_without_end_is_refused(tmp_path: Path) -> None:
    async with egress_rig(tmp_path) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        writer.write(b"CONNECT a:1 HTTP/1.1\r\nx: " + b"a" * MAX_HEAD)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 431 ")
        writer.close()


async def test_a_large_head_with_an_end_is_read(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    large = b"".join(b"x-%d: %s\r\n" % (n, b"a" * 1000) for n in range(50))
    async with egress_rig(tmp_path) as rig, wire(silent) as port:
        said = await raw(
            rig,
            b"CONNECT localhost:%d HTTP/1.1\r\nproxy-authorization: Basic "
            b"dG9rLTAxMjM0NTY3ODlhYmNkZWY6eA==\r\n%s\r\n" % (port, large),
        )
    assert said == b"HTTP/1.1 200 Connection established\r\n\r\n"


async def test_who_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    async with egress_rig(tmp_path, limits=EgressLimits(head_s=0.1)) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        for byte in b"GET":  # a byte now and then does not help
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_a_head_in_single_bytes_is_read(tmp_path: Path) -> None:
    async with egress_rig(tmp_path) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        for byte in b"CONNECT a:1 HTTP/1.1\r\nproxy-authorization: Basic eDp4\r\n\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        assert b" 403 " in await reader.readuntil(b"\r\n")
        writer.close()


async def test_what_comes_behind_a_connect_is_not_taken_without_end(tmp_path: Path) -> None:
    from proofrig.faults.latency import Latency

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got = 0
        while data := await reader.read(1 << 16):
            got += len(data)
        writer.write(b"%d" % got)
        writer.close()

    async with egress_rig(tmp_path, faults=[Latency(ms=150)]) as rig, wire(echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        writer.write(
            b"CONNECT localhost:%d HTTP/1.1\r\nproxy-authorization: Basic "
            b"dG9rLTAxMjM0NTY3ODlhYmNkZWY6eA==\r\n\r\n" % port
        )
        size = 16 << 20
        writer.write(bytes(size))
        sending = asyncio.create_task(writer.drain())
        await asyncio.sleep(0.1)
        assert not sending.done()
        await reader.readuntil(b"\r\n\r\n")
        await sending
        writer.write_eof()
        assert await reader.read() == b"%d" % size
        assert rig.context.bindings.live(TOKEN) is not None
        writer.close()
