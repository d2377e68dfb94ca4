"""The request as bytes, and the answer out of them."""

from __future__ import annotations

import asyncio
import json

import pytest

from proofrig.agents.probe_request import Refused, filled, probe, request


def test_placeholders_are_filled_at_any_depth() -> None:
    values = {"task": "T", "tenant": "acme"}
    assert filled({"{tenant}": ["{task}", 1, {"a": "x{task}x"}]}, values) == {
        "acme": ["T", 1, {"a": "xTx"}]
    }


def test_the_request_is_whole_before_it_is_sent() -> None:
    settings = {"path": "/tools/{tenant}", "body": {"q": "{task}"}, "headers": {"x-a": "{seed}"}}
    data = request(settings, "h:1", "tok", {"task": "ü", "tenant": "acme", "seed": "7"})
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /t/tok/tools/acme HTTP/1.1"
    assert {b"host: h:1", b"x-a: 7", f"content-length: {len(body)}".encode()} <= set(lines)
    assert json.loads(body) == {"q": "ü"}


def test_a_request_without_a_body_has_none() -> None:
    data = request({"path": "/x", "method": "GET"}, "h:1", "tok", {})
    assert data.startswith(b"GET /t/tok/x ") and data.endswith(b"\r\n\r\n")


async def answered(answer: bytes) -> str:
    import socket

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        connection = socket.socket()
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, server.sockets[0].getsockname())
        return await probe("t", (connection, request({"path": "/x"}, "h", "tok", {})))


async def test_the_answer_is_the_body() -> None:
    assert await answered(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi") == "hi"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked = head + b"2\r\nhi\r\n1;x=1\r\n!\r\n0\r\n\r\n"
    assert await answered(chunked) == "hi!"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 429 No\r\n\r\nslow down", "HTTP 429: slow down"),
        (b"", "the connection was closed"),
    ],
)
async def test_an_error_is_an_error_of_the_agent(answer: bytes, said: str) -> None:
    with pytest.raises(Refused, match=said):
        await answered(answer)
